"""From flags and files to a create request, with gcloud's meaning of each flag."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainyard.cli.job_specs import (
    add_env,
    add_places,
    comma_list,
    comma_map,
    duration_seconds,
    job_from_file,
    job_from_flags,
)
from trainyard.cli.parser import build_parser
from trainyard.cli.problems import Usage

CONTAINER = "machine-type=n1-standard-4,container-image-uri=img"
PACKAGE = "machine-type=n1-standard-4,executor-image-uri=exe,python-module=trainer.task"


def job_of(*arguments: str) -> dict[str, Any]:
    flags = build_parser({}).parse_args(["custom-jobs", "create", "--display-name=t", *arguments])
    return job_from_flags(flags)


def pools_of(*arguments: str) -> list[dict[str, Any]]:
    return list(job_of(*arguments)["jobSpec"]["workerPoolSpecs"])


def test_a_pool_spec_becomes_a_worker_pool() -> None:
    """Every key of --worker-pool-spec lands in its field; counts default to 1."""
    spec = "machine-type=g2-standard-24,replica-count=3,accelerator-type=NVIDIA_L4,container-image-uri=img:1"
    assert pools_of(f"--worker-pool-spec={CONTAINER}", f"--worker-pool-spec={spec}") == [
        {
            "machineSpec": {"machineType": "n1-standard-4"},
            "replicaCount": "1",
            "containerSpec": {"imageUri": "img"},
        },
        {
            "machineSpec": {"machineType": "g2-standard-24", "acceleratorType": "NVIDIA_L4", "acceleratorCount": 1},
            "replicaCount": "3",
            "containerSpec": {"imageUri": "img:1"},
        },
    ]


def test_an_empty_later_pool_is_skipped() -> None:
    """An empty --worker-pool-spec keeps its place in the list."""
    pools = pools_of("--worker-pool-spec", CONTAINER, "--worker-pool-spec", "", "--worker-pool-spec", CONTAINER)
    assert pools[1] == {}
    assert len(pools) == 3


def test_packages_go_to_every_pool_with_an_executor_image() -> None:
    """--python-package-uris are common to all pools that run a module."""
    pools = pools_of(f"--worker-pool-spec={PACKAGE}", "--python-package-uris=gs://b/a.tar.gz,gs://b/c.tar.gz")
    assert pools[0]["pythonPackageSpec"] == {
        "executorImageUri": "exe",
        "packageUris": ["gs://b/a.tar.gz", "gs://b/c.tar.gz"],
        "pythonModule": "trainer.task",
    }


def test_args_and_command_go_where_they_can() -> None:
    """--args reaches every pool, --command only containers; a custom delimiter keeps commas."""
    pools = pools_of(
        f"--worker-pool-spec={CONTAINER}", f"--worker-pool-spec={PACKAGE}", "--args=^;^--a=1,2;--b", "--command=sh,-c"
    )
    assert pools[0]["containerSpec"]["args"] == pools[1]["pythonPackageSpec"]["args"] == ["--a=1,2", "--b"]
    assert pools[0]["containerSpec"]["command"] == ["sh", "-c"]
    assert "command" not in pools[1]["pythonPackageSpec"]


def test_flags_override_the_file(tmp_path: Path) -> None:
    """A --config file in either spelling is the base; flags win, --worker-pool-spec replaces all pools."""
    config = tmp_path / "c.yaml"
    config.write_text(
        "worker_pool_specs:\n- machine_spec: {machine_type: m}\n  containerSpec: {image_uri: i, args: [x]}\n"
        "network: old\nscheduling: {timeout: 5s}\n"
    )
    job = job_of(f"--config={config}", "--network=new", "--args=y", "--enable-web-access", "--labels=a=b,c=")
    assert job["jobSpec"] == {
        "workerPoolSpecs": [{"machineSpec": {"machineType": "m"}, "containerSpec": {"imageUri": "i", "args": ["y"]}}],
        "network": "new",
        "scheduling": {"timeout": "5s"},
        "enableWebAccess": True,
    }
    assert job["labels"] == {"a": "b", "c": ""}
    assert len(pools_of(f"--config={config}", f"--worker-pool-spec={PACKAGE}")) == 1


def test_the_key_may_be_given_in_parts() -> None:
    """--kms-key is a full name, or a short one with its keyring and location."""
    pool = f"--worker-pool-spec={CONTAINER}"
    full = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
    assert job_of(pool, f"--kms-key-name={full}")["encryptionSpec"] == {"kmsKeyName": full}
    parts = job_of(pool, "--kms-key=k", "--kms-keyring=r", "--kms-location=l", "--kms-project=p")
    assert parts["encryptionSpec"] == {"kmsKeyName": full}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "--config"),
        (("--python-package-uris=gs://b/a",), "--worker-pool-spec"),
        (("--worker-pool-spec=", f"--worker-pool-spec={CONTAINER}"), "first"),
        (("--worker-pool-spec=container-image-uri=i",), "machine-type"),
        (("--worker-pool-spec=machine-type=m",), "exactly one"),
        (("--worker-pool-spec=machine-type=m,container-image-uri=i,executor-image-uri=e",), "exactly one"),
        (("--worker-pool-spec=machine-type=m,executor-image-uri=e",), "go together"),
        (("--worker-pool-spec=machine-type=m,container-image-uri=i,python-module=p",), "go together"),
        ((f"--worker-pool-spec={CONTAINER},accelerator-count=1",), "accelerator-type"),
        ((f"--worker-pool-spec={CONTAINER},replica-count=two",), "whole number"),
        ((f"--worker-pool-spec={CONTAINER},colour=red",), "colour"),
        ((f"--worker-pool-spec={CONTAINER},machine-type=m",), "twice"),
        (("--worker-pool-spec=machine-type",), "KEY=VALUE"),
        ((f"--worker-pool-spec={CONTAINER}", "--python-package-uris=gs://b/a"), "executor-image-uri"),
        ((f"--worker-pool-spec={CONTAINER}", "--labels=a"), "--labels"),
        ((f"--worker-pool-spec={CONTAINER}", "--kms-key=k"), "--kms-keyring"),
        ((f"--worker-pool-spec={CONTAINER}", "--kms-location=l"), "--kms-key"),
        (("--config=/nonexistent.yaml",), "/nonexistent.yaml"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(arguments: tuple[str, ...], named: str) -> None:
    """A refusal names the flag or key that is wrong."""
    with pytest.raises(Usage) as refused:
        job_of(*arguments)
    assert named in refused.value.sentence


def test_autobuild_is_refused_with_what_to_do_instead() -> None:
    """local-package-path says what does the same here."""
    with pytest.raises(Usage) as refused:
        job_of("--worker-pool-spec=machine-type=m,executor-image-uri=e,local-package-path=.,script=t.py")
    assert any("trainyard run" in line for line in refused.value.details)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("- a\n- b\n", "mapping"),
        ("", "mapping"),
        ("a: [\n", "line 2"),
        ("workerPoolSpecs: {machineSpec: {}}\n", "list"),
        ("workerPoolSpecs: [{containerSpec: img}]\n", "workerPoolSpecs[0].containerSpec"),
        ("serviceAccount: a\nservice_account: b\n", "twice"),
        ("1: a\n", "no text"),
        ("jobSpec: {}\n", "whole CustomJob"),
    ],
)
def test_a_bad_config_file_is_refused_with_its_place(tmp_path: Path, text: str, named: str) -> None:
    """A file that is no CustomJobSpec is refused with its name and where it is wrong."""
    config = tmp_path / "c.yaml"
    config.write_text(text)
    with pytest.raises(Usage) as refused:
        job_of(f"--config={config}")
    assert str(config) in refused.value.sentence
    assert named in refused.value.sentence


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are refused, and JSON that is none too."""
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe")
    (tmp_path / "c.json").write_text("{")
    for name in ("c.yaml", "c.json"):
        with pytest.raises(Usage, match=r"no JSON|not text"):
            job_from_file(str(tmp_path / name))


def test_a_spec_file_is_a_job_or_just_its_spec(tmp_path: Path) -> None:
    """`run` takes a CustomJob or a CustomJobSpec, which is then called after its file."""
    pools = [{"machineSpec": {"machineType": "m"}, "containerSpec": {"imageUri": "i"}}]
    (tmp_path / "mine.json").write_text(json.dumps({"workerPoolSpecs": pools}))
    (tmp_path / "whole.json").write_text(
        json.dumps({"display_name": "w", "job_spec": {"worker_pool_specs": pools}, "labels": {"a_b": "c"}})
    )
    assert job_from_file(str(tmp_path / "mine.json")) == {"displayName": "mine", "jobSpec": {"workerPoolSpecs": pools}}
    whole = job_from_file(str(tmp_path / "whole.json"))
    assert whole["displayName"] == "w"
    assert whole["labels"] == {"a_b": "c"}


def test_variables_come_first_and_replace_namesakes() -> None:
    """--env goes before a spec's own variables, which may refer to it, and replaces one of the same name."""
    own = [{"name": "A", "value": "old"}, {"name": "B", "value": "$(A)"}]
    job = {"jobSpec": {"workerPoolSpecs": [{"containerSpec": {"env": own}}, {}]}}
    add_env(job, ["A=new=er"])
    assert job["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]["env"] == [
        {"name": "A", "value": "new=er"},
        {"name": "B", "value": "$(A)"},
    ]
    with pytest.raises(Usage, match="NAME=VALUE"):
        add_env(job, ["A"])


def test_a_spec_gets_only_the_places_that_it_names() -> None:
    """$(TRAINYARD_SPEC_DIR) and $(TRAINYARD_PYTHON) are filled in where a spec says them, else left out."""
    job: dict[str, Any] = {
        "jobSpec": {"workerPoolSpecs": [{"containerSpec": {"command": ["$(TRAINYARD_SPEC_DIR)/a$b"]}}]}
    }
    add_places(job, "/some/$dir/spec.yaml", "/python")
    container = job["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]
    assert container["env"] == [{"name": "TRAINYARD_SPEC_DIR", "value": "/some/$$dir"}]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5s", 1.5), ("15m", 900), ("2h", 7200), ("1d", 86400), ("1h30m", 5400)]
)
def test_durations_as_people_write_them(text: str, seconds: float) -> None:
    """A duration is a number with a unit, or several."""
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "5 m", "1h30", "-5", "5w", "m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(Usage):
        duration_seconds(text)


def test_lists_and_maps_split_as_gcloud_does() -> None:
    """Commas split; `^x^` names another delimiter; values may hold `=`."""
    assert comma_list("") == []
    assert comma_list("^::^a,b::c") == ["a,b", "c"]
    assert comma_map("a=1=2,b=", "--f") == {"a": "1=2", "b": ""}
