"""Read masks (https://google.aip.dev/157): which fields of each listed resource the caller wants back.

Paths are spelled as in proto or in JSON, may go into messages, repeated messages and maps, and may start at the answer
(`customJobs.name`) as well as at the resource (`name`); `*` means everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trainyard.core.errors import FieldViolation, InvalidArgument

Tree = dict[str, "Tree"]
"""Field name (or map key) to what is wanted below it; nothing below means all of it."""

_EVERYTHING = "*"


def read_tree(paths: Iterable[str], descriptor: Any, items: Any) -> Tree | None:
    """The wanted fields of `descriptor`'s message; None for all of them. Raises InvalidArgument on an unknown path.

    `items` is the answer's field that holds the resources.
    """
    tree: Tree = {}
    whole = False
    list_names, everything = {items.name, items.json_name}, {_EVERYTHING, items.name, items.json_name}
    for path in paths:
        parts = path.split(".")
        if len(parts) > 1 and parts[0] in list_names:
            parts = parts[1:]
        if len(parts) == 1 and parts[0] in everything:
            whole = True
        elif path not in ("next_page_token", "nextPageToken"):
            _plant(tree, parts, descriptor, path)
    return None if whole or not tree else tree


def _plant(tree: Tree, parts: list[str], descriptor: Any, path: str) -> None:
    keys = []
    for number, part in enumerate(parts):
        field = _field(descriptor, part)
        if field is None:
            raise _unknown(path)
        keys.append(field.name)
        rest = parts[number + 1 :]
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            keys += [".".join(rest)] if rest else []
            break
        if rest and field.message_type is None:
            raise _unknown(path)
        descriptor = field.message_type
    _insert(tree, keys)


def _insert(tree: Tree, keys: list[str]) -> None:
    """A whole message wins over parts of it, in whichever order they come."""
    for key in keys[:-1]:
        below = tree.get(key)
        if below is not None and not below:
            return
        tree = tree.setdefault(key, {})
    tree[keys[-1]] = {}


def _field(descriptor: Any, part: str) -> Any:
    return descriptor.fields_by_name.get(part) or descriptor.fields_by_camelcase_name.get(part)


def _unknown(path: str) -> InvalidArgument:
    message = f"read_mask: there is no field {path[:200]!r}."
    return InvalidArgument(message, [FieldViolation("read_mask", message)])


def prune(message: Any, tree: Tree) -> None:
    """Clear, in place, every field of the message that the tree does not want."""
    for field, value in message.ListFields():
        below = tree.get(field.name)
        if below is None:
            message.ClearField(field.name)
        elif below and field.message_type.GetOptions().map_entry:
            for key in [key for key in value if str(key) not in below]:
                del value[key]
        elif below:
            for item in value if field.is_repeated else (value,):
                prune(item, below)
