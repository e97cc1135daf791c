"""`trainyard keys`: the keys of the service that jobs name in their encryptionSpec."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from trainyard.cli.formats import parse_format, write
from trainyard.cli.problems import Problem, Usage
from trainyard.cli.service_api import OWN, ServiceApi, connect
from trainyard.cli.terminal import Terminal

DEFAULT_TABLE: Final = "table(name,state,primaryVersion,jobs,openJobs)"


def create(flags: Namespace) -> int:
    """Create a key."""
    api = connect(flags)
    ring, _, key = _name(api, flags.key).rpartition("/cryptoKeys/")
    found = _object(api.connection.call("POST", f"{OWN}/{ring}/cryptoKeys", body={"cryptoKeyId": key}))
    Terminal().line(f"Created the key [{found['name']}].", err=True)
    write([found], parse_format(flags.format), many=False)
    return 0


def list_(flags: Namespace) -> int:
    """List the keys of the project and region."""
    style, api = parse_format(flags.format), connect(flags)
    if style.kind == "table" and not style.fields:
        style = parse_format(DEFAULT_TABLE)
    found = _object(api.connection.call("GET", f"{OWN}/{api.target.parent}/cryptoKeys"))["cryptoKeys"]
    write(found, style, many=True)
    return 0


def describe(flags: Namespace) -> int:
    """Show one."""
    api = connect(flags)
    write(
        [_object(api.connection.call("GET", f"{OWN}/{_name(api, flags.key)}"))], parse_format(flags.format), many=False
    )
    return 0


def change(flags: Namespace) -> int:
    """Rotate, disable or enable one, as the verb says."""
    api = connect(flags)
    found = _object(api.connection.call("POST", f"{OWN}/{_name(api, flags.key)}:{flags.verb}", body={}))
    write([found], parse_format(flags.format), many=False)
    return 0


def delete(flags: Namespace) -> int:
    """Destroy one, for ever."""
    api = connect(flags)
    name = _name(api, flags.key)
    if not flags.yes:
        use = _object(api.connection.call("GET", f"{OWN}/{name}"))
        raise Usage(
            f"specs and logs of {use['jobs']} job(s), {use['openJobs']} of them not ended, and what {use['outputs']} "
            f"job(s) have written to gs:// could never be read again without {flags.key}; say --yes if that is what "
            "you want"
        )
    api.connection.call("POST", f"{OWN}/{name}:destroy", body={"confirm": name})
    Terminal().line(f"Destroyed the key [{name}]; what it sealed is unreadable from now on.", err=True)
    return 0


def _name(api: ServiceApi, text: str) -> str:
    if text.startswith("projects/"):
        return text
    ring, slash, key = text.partition("/")
    if not (ring and slash and key) or "/" in key:
        raise Usage(f"{text!r} names no key: give RING/KEY, such as team/training, or its full name")
    return f"{api.target.parent}/keyRings/{ring}/cryptoKeys/{key}"


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise Problem("what answers is no Trainyard: its answer is no JSON object")
    return answer
