"""Field masks: which parts of a message or of its JSON are wanted.

Read in every spelling that Google's APIs take: a comma list in camelCase or snake_case, nested by `.` or `/`, grouped
as `customJobs(name,state),nextPageToken`, `*` for everything at its level. A path that the message lacks is refused by
name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from trainyard.contract.json_write import SPECIAL

_TOKEN = re.compile(r"\s*([(),./]|\*|`[^`]*`|[^(),./*`\s]+)\s*")
_MAX_DEPTH = 32
_OPEN = frozenset({"google.protobuf.Any"})  # its fields are those of whatever is in it

Tree = dict[str, Any]
"""Name -> what is wanted below it; an empty tree wants everything."""


class BadMask(ValueError):
    """The text is no mask, or names a field that there is not; `path` is the culprit."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"Invalid field mask path '{path}': {why}")
        self.path = path


@dataclass(frozen=True, slots=True)
class Mask:
    """A mask for messages of one type. `tree` is keyed by proto field names, below maps by their keys."""

    descriptor: Any  # of the message type
    tree: Tree

    def of_message(self, message: Any) -> Any:
        """A copy of `message` with the wanted fields only."""
        copy = type(message)()
        copy.CopyFrom(message)
        if self.tree:
            _prune(copy, self.tree)
        return copy

    def of_json(self, value: Any) -> Any:
        """The wanted part of a rendered message; lists are passed through, element by element."""
        return _pick(value, self.tree, self.descriptor) if self.tree else value


def mask_for(text: str, message_type: type[Message]) -> Mask:
    """Read a mask for messages of this type; an empty text wants everything. Raises BadMask."""
    return Mask(message_type.DESCRIPTOR, _resolve(_read(text), message_type.DESCRIPTOR, ""))


# ------------------------------------------------------------------------------------------------------------ reading


def _read(text: str) -> Tree:
    """`a(b,c/d),e` -> {"a": {"b": {}, "c": {"d": {}}}, "e": {}}."""
    tree: Tree = {}
    if not text.strip():
        return tree
    tokens = _tokens(text)
    _read_list(tokens, tree, text, 0)
    return tree


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise BadMask(text, f"unexpected character at position {at + 1}.")
        tokens.append(found[1])
        at = found.end()
    return [*reversed(tokens)]  # taken from the end, first one first


def _read_list(tokens: list[str], tree: Tree, text: str, depth: int) -> None:
    """Paths, divided by commas, up to a closing parenthesis or the end; each is merged into the tree."""
    if depth > _MAX_DEPTH:
        raise BadMask(text, f"nested deeper than {_MAX_DEPTH} levels.")
    while True:
        node = _read_path(tokens, tree, text)
        if tokens and tokens[-1] == "(":
            tokens.pop()
            _read_list(tokens, node, text, depth + 1)
            if not tokens or tokens.pop() != ")":
                raise BadMask(text, "a parenthesis is not closed.")
        else:
            node["*"] = {}
        if not tokens or tokens[-1] == ")":
            if depth == 0 and tokens:
                raise BadMask(text, "a parenthesis is closed that was not opened.")
            return
        if tokens.pop() != ",":
            raise BadMask(text, "a comma is missing.")


def _read_path(tokens: list[str], tree: Tree, text: str) -> Tree:
    node = tree
    while True:
        if not tokens or tokens[-1] in "(),./":
            raise BadMask(text, "a name is missing.")
        inner: Tree = node.setdefault(tokens.pop().strip("`"), {})
        node = inner
        if not tokens or tokens[-1] not in "./":
            return node
        tokens.pop()


def _resolve(tree: Tree, descriptor: Any, prefix: str) -> Tree:
    """The tree by proto field names, with {} where everything below is wanted."""
    if not tree or "*" in tree:
        return {}
    resolved: Tree = {}
    for name, below in tree.items():
        field = _field(descriptor, name)
        if field is None:
            raise BadMask(f"{prefix}{name}", f"there is no such field in {descriptor.name}.")
        inner = _below(field, below, f"{prefix}{name}.")
        resolved[field.name] = _merged(resolved[field.name], inner) if field.name in resolved else inner
    return resolved


def _merged(one: Tree, other: Tree) -> Tree:
    """What either wants; {} wants everything."""
    if not one or not other:
        return {}
    both = one.keys() & other.keys()
    return {**one, **other, **{name: _merged(one[name], other[name]) for name in both}}


def _field(descriptor: Any, name: str) -> Any:
    return descriptor.fields_by_name.get(name) or descriptor.fields_by_camelcase_name.get(name)


def _below(field: FieldDescriptor, tree: Tree, prefix: str) -> Tree:
    if "*" in tree:
        return {}
    inner: Any = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        value = inner.fields_by_name["value"]
        return {key: _below(value, below, f"{prefix}{key}.") for key, below in tree.items()}
    if inner is not None and inner.full_name in _OPEN:
        return {key: {} if "*" in below else below for key, below in tree.items()}
    if inner is None or inner.full_name in SPECIAL:
        raise BadMask(prefix + next(iter(tree)), f"{prefix.removesuffix('.')} has no fields.")
    return _resolve(tree, inner, prefix)


# ---------------------------------------------------------------------------------------------------------- applying


def _prune(message: Any, tree: Tree) -> None:
    for field, value in message.ListFields():
        below = tree.get(field.name)
        if below is None:
            message.ClearField(field.name)
        elif below:
            _prune_value(field, value, below)


def _prune_value(field: FieldDescriptor, value: Any, tree: Tree) -> None:
    inner: Any = field.message_type
    if inner.GetOptions().map_entry:
        for key in [key for key in value if str(key) not in tree]:
            del value[key]
    elif inner.full_name not in _OPEN:
        for element in value if field.is_repeated else (value,):
            _prune(element, tree)


def _pick(value: Any, tree: Tree, descriptor: Descriptor | None) -> Any:
    """`descriptor` is None below maps and free JSON, where keys are what they are."""
    if not tree:
        return value
    if isinstance(value, list):
        return [_pick(element, tree, descriptor) for element in value]
    if not isinstance(value, dict):
        return value
    return {key: _pick(value[key], below, inner) for key, below, inner in _wanted(tree, descriptor) if key in value}


def _wanted(tree: Tree, descriptor: Descriptor | None) -> Iterator[tuple[str, Tree, Descriptor | None]]:
    for name, below in tree.items():
        if descriptor is None:
            yield name, below, None
        else:
            field: Any = descriptor.fields_by_name[name]
            inner = field.message_type
            closed = inner is not None and not inner.GetOptions().map_entry and inner.full_name not in _OPEN
            yield field.json_name, below, inner if closed else None
