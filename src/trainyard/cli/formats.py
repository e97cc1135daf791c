"""How resources are printed: json, yaml, table(...), value(...), csv(...), with gcloud's spelling of each.

`name.basename()` is the one transform, because scripts written for gcloud use it to get a job's id.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from trainyard.cli.problems import Usage

_FORMAT = re.compile(r"(json|yaml|table|value|csv|none|disable|text)(?:\[([^\]]*)\])?(?:\((.*)\))?\Z", re.DOTALL)
_STEP = re.compile(r"([A-Za-z_][\w-]*|\"[^\"]*\")?((?:\[-?\d*\])*)\Z")
_FIELDED = ("table", "value", "csv")


@dataclass(frozen=True, slots=True)
class Format:
    """A parsed --format: its kind and, where it has them, its fields as written."""

    kind: str
    fields: tuple[str, ...] = ()


def parse_format(text: str) -> Format:
    """Read `json`, `value(name,state)` and their like; raises Usage naming what is possible."""
    match = _FORMAT.match(text.strip())
    if not match:
        raise Usage(f"--format={text} is none of json, yaml, table, table(FIELD,…), value(FIELD,…), csv(FIELD,…), none")
    kind, _, inside = match.groups()
    if inside is not None and kind not in _FIELDED:
        raise Usage(f"--format={kind} takes no fields; table(…), value(…) and csv(…) do")
    if inside is None and kind in ("value", "csv"):
        raise Usage(f"--format={kind} wants fields, such as {kind}(name,state)")
    fields = tuple(part.strip() for part in inside.split(",")) if inside is not None else ()
    for field in fields:
        _steps(field)
    return Format("none" if kind == "disable" else kind, fields)


def write(resources: Iterable[dict[str, Any]], format: Format, *, many: bool, out: TextIO | None = None) -> None:  # noqa: A002 - the flag's name
    """Print resources; `many` says that it is a list, which json shows as one and yaml as documents."""
    stream = out or sys.stdout
    match format.kind:
        case "json":
            listed = list(resources)
            json.dump(listed if many else listed[0], stream, indent=2, sort_keys=True, ensure_ascii=False)
            stream.write("\n")
        case "yaml":
            for number, resource in enumerate(resources):
                stream.write(("---\n" if many and number else "") + yaml_text(resource))
        case "value" | "csv":
            separator = "\t" if format.kind == "value" else ","
            if format.kind == "csv":
                stream.write(separator.join(_heading(field).lower() for field in format.fields) + "\n")
            for resource in resources:
                values = [_shown(value_at(resource, field), format.kind) for field in format.fields]
                stream.write(separator.join(values) + "\n")
        case "table":
            headings = [_heading(field) for field in format.fields]
            rows = [[_shown(value_at(resource, field), "table") for field in format.fields] for resource in resources]
            stream.writelines(line + "\n" for line in table_lines(headings, rows))


def yaml_text(resource: object) -> str:
    """Block YAML with sorted keys, as gcloud prints it."""
    import yaml  # noqa: PLC0415 - costs 15 ms, which only YAML's readers and writers pay

    return str(yaml.safe_dump(resource, default_flow_style=False, allow_unicode=True, width=10_000))


def table_lines(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Left-aligned columns, two spaces apart, no trailing blanks. Nothing at all when there are no rows."""
    if not rows:
        return
    widths = [max(len(line[column]) for line in (headings, *rows)) for column in range(len(headings))]
    for line in (headings, *rows):
        yield "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()


def value_at(resource: Any, field: str) -> Any:
    """What stands at a dotted path such as `jobSpec.workerPoolSpecs[0].replicaCount`; None where nothing does."""
    value = resource
    for step in _steps(field):
        if step == "basename()":
            value = str(value).rpartition("/")[2] if value is not None else None
        elif isinstance(step, int):
            value = value[step] if isinstance(value, list) and -len(value) <= step < len(value) else None
        elif isinstance(value, dict):
            value = value.get(step, value.get(_camel(step)))
        else:
            return None
    return value


def _steps(field: str) -> list[str | int]:
    """A path in steps; raises Usage on one that can't be read."""
    steps: list[str | int] = []
    for part in re.findall(r'(?:"[^"]*"|[^."])+', field):
        if part == "basename()":
            steps.append(part)
            continue
        match = _STEP.match(part)
        if not match or not part:
            raise Usage(f"{field!r} is no field; one looks like labels.team or jobSpec.workerPoolSpecs[0].replicaCount")
        if match.group(1):
            steps.append(match.group(1).strip('"'))
        steps.extend(int(index) for index in re.findall(r"\[(-?\d+)\]", match.group(2)))
    if not steps:
        raise Usage("a field in --format is empty")
    return steps


def _camel(snake: str) -> str:
    head, *tail = snake.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in tail)


def _heading(field: str) -> str:
    last = [step for step in _steps(field) if isinstance(step, str) and step != "basename()"][-1]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", last).upper()


def _shown(value: Any, kind: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    text = (
        value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False, sort_keys=True)
        if isinstance(value, dict | list)
        else str(value)
    )
    if kind == "csv" and re.search(r'[",\n]', text):
        return '"' + text.replace('"', '""') + '"'
    return text
