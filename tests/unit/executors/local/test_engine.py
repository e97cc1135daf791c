"""What every container engine's keeper shares."""

from __future__ import annotations

import pytest

from trainyard.executors.local.engine import Image, is_only_an_id

ID = "e96f78f47d2fa622db9d5e10163b79a0d9253fc4e076ce9d84c4f5396ae2a4ce"


@pytest.mark.parametrize(
    ("uri", "names", "only"),
    [
        ("e", (), True),
        ("e96f", ("localhost/trainer:1",), True),
        (f"sha256:{ID}", ("localhost/trainer:1",), True),
        ("e", ("localhost/e:latest",), False),
        ("e:latest", ("localhost/e:latest",), False),
        ("trainer", ("localhost/trainer:1",), False),
        ("docker.io/library/e96f", (), False),
    ],
)
def test_an_image_is_found_by_its_name(uri: str, names: tuple[str, ...], only: bool) -> None:
    """Engines also take the first digits of an id; a job's image `e` must not run whatever begins with it."""
    assert is_only_an_id(uri, f"sha256:{ID}", names) is only
    assert is_only_an_id(uri, ID, names) is only


def test_an_image_is_what_its_configuration_says() -> None:
    """Values may have = in them, and engines say null where there is nothing."""
    config = {"Entrypoint": ["run"], "Cmd": None, "Env": ["PATH=/bin", "FLAGS=a=b"], "User": "me"}
    assert Image.of(ID, config) == Image(ID, ("run",), (), {"PATH": "/bin", "FLAGS": "a=b"}, "me")
    assert Image.of(ID, {}) == Image(ID)
