"""The page docs/fields.md: every field of the API's job messages, from the table that the service itself goes by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.kinds.custom_job import effects as custom_job
from trainyard.kinds.field_effects import Effect, FieldEffect, Runtime, camel
from trainyard.kinds.nas_job import effects as nas_job

HEAD = """# Fields

What each field does here, by the runtime that a replica runs in: this machine itself (`host`), `podman` or `docker`
(setting [`runtime`](settings.md)). A field is *honoured*, honoured *in part*, has *no effect* and the job's service log
says why, or is *refused* with the error named. Values that the API does not allow are `INVALID_ARGUMENT`, with all that
is wrong at once. This page is made by `make docs` from the table that the service goes by.

"""
_WORDS = {
    Effect.FULL: "honoured",
    Effect.PART: "in part",
    Effect.NONE: "no effect",
    Effect.REFUSED: "refused (`FAILED_PRECONDITION`)",
    Effect.OUTPUT: "set by the service",
}
_SPEC_OF_TRIAL = "trial_job_spec"


def fields_page() -> str:
    """docs/fields.md; raises LookupError where the table has nothing on a field."""
    tables = (
        _table("CustomJob", custom_job.EFFECTS.lines),
        _table("NasJob", [line for line in nas_job.EFFECTS.lines if f"{_SPEC_OF_TRIAL}." not in line.path]),
    )
    return HEAD + "\n".join(tables)


def fields_of(message_name: str) -> list[str]:
    """Every field of a message and of the messages in it, as JSON spells it; of a trial's job spec only its name."""
    descriptor = message_class(f"{API_PACKAGE}.{STORED_VERSION}.{message_name}").DESCRIPTOR
    return [camel(path) for path in _paths(descriptor, "")]


def _paths(descriptor: Any, prefix: str) -> Iterator[str]:
    for field in descriptor.fields:
        path, inner = f"{prefix}{field.name}", field.message_type
        yield path
        ours = inner is not None and inner.file.package.startswith(API_PACKAGE) and not inner.GetOptions().map_entry
        if ours and not path.endswith(_SPEC_OF_TRIAL):
            yield from _paths(inner, f"{path}.")


def _table(message_name: str, lines: Sequence[FieldEffect]) -> str:
    by_path = {camel(line.path): line for line in lines}
    rows = "".join(_row(path, by_path) for path in fields_of(message_name))
    return f"## {message_name}\n\n| field | effect | what it does here |\n|---|---|---|\n{rows}"


def _row(path: str, lines: dict[str, FieldEffect]) -> str:
    if path in lines:
        return _told(path, lines[path])
    if path.endswith(camel(f"x_{_SPEC_OF_TRIAL}")[1:]):
        return f"| `{path}` | as in a CustomJob | Each trial is run as a CustomJob with this `jobSpec` is. |\n"
    above = next((each for each in lines if path.startswith(f"{each}.")), None)
    if above is not None:
        return f"| `{path}` | as `{above}` | |\n"
    if any(each.startswith(f"{path}.") for each in lines):
        return f"| **`{path}`** | | |\n"
    raise LookupError(f"no line of the table says what {path} does")


def _told(path: str, line: FieldEffect) -> str:
    host, contained = line.by(Runtime.HOST), line.by(Runtime.PODMAN)
    if host == contained:
        return f"| `{path}` | {_WORDS[host[0]]} | {_sentence(host[1])} |\n"
    effects = [_WORDS[each] for each, _ in (host, contained)]
    effect = effects[0] if effects[0] == effects[1] else f"host: {effects[0]}<br>podman, docker: {effects[1]}"
    said = f"**host:** {_sentence(host[1])}<br>**podman, docker:** {_sentence(contained[1])}"
    return f"| `{path}` | {effect} | {said} |\n"


def _sentence(text: str) -> str:
    return (text[:1].upper() + text[1:]).replace("|", "\\|")
