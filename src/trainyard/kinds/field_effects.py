"""What each field does here, as a table: it has its effect, a part of it, none, or is refused; never just ignored.

The sentences reach people twice: in the job's service log when a job uses the field, and in the documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from trainyard.core.errors import ApiError, FailedPrecondition, NotFound


class Effect(StrEnum):
    """How much of a field's meaning holds here."""

    FULL = "has its effect"
    PART = "has its effect in part"
    NONE = "has no effect here"
    REFUSED = "is refused"
    OUTPUT = "is set by the service"


@dataclass(frozen=True, slots=True)
class FieldEffect:
    """One field (`path` in snake_case, without indexes), its effect, and one sentence saying what or why.

    `when` narrows it to some values of the field; `refusal` is the error of Effect.REFUSED.
    """

    path: str
    effect: Effect
    sentence: str
    when: Callable[[Any], bool] | None = None
    refusal: type[ApiError] = FailedPrecondition

    def under(self, prefix: str) -> FieldEffect:
        """The same field where its message is a part of a larger one."""
        return replace(self, path=f"{prefix}.{self.path}")

    def is_used(self, message: Any) -> bool:
        """Whether the message sets the field (to a value that `when` is about)."""
        return any(self.when is None or self.when(value) for value in values_at(message, self.path.split(".")))

    def told(self) -> str:
        """For people: `jobSpec.network has no effect here: …`."""
        return f"{camel(self.path)} {self.effect}: {self.sentence}"


def notes(message: Any, effects: Iterable[FieldEffect]) -> tuple[str, ...]:
    """One sentence for each field in use that has not all of its effect, in the order of the table."""
    partial = (effect for effect in effects if effect.effect in (Effect.PART, Effect.NONE))
    return tuple(effect.told() for effect in partial if effect.is_used(message))


def refuse(message: Any, effects: Iterable[FieldEffect]) -> None:
    """Raises the error of the refused fields in use: NotFound for what cannot exist here, else FailedPrecondition."""
    refused = [effect for effect in effects if effect.effect is Effect.REFUSED and effect.is_used(message)]
    missing = [effect for effect in refused if effect.refusal is NotFound]
    chosen = missing if len(missing) == len(refused) else [effect for effect in refused if effect not in missing]
    if chosen:
        raise chosen[0].refusal(" ".join(effect.told() for effect in chosen))


def values_at(message: Any, path: list[str]) -> Iterator[Any]:
    """Every value that is set at a path, through all entries of repeated fields."""
    name, *rest = path
    field = message.DESCRIPTOR.fields_by_name[name]
    for value in _set_values(message, field):
        if rest:
            yield from values_at(value, rest)
        else:
            yield value


def _set_values(message: Any, field: Any) -> Iterator[Any]:
    value = getattr(message, field.name)
    if field.is_repeated:
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        yield from value.values() if is_map else value
    elif field.has_presence:
        if message.HasField(field.name):
            yield value
    elif value:
        yield value


def camel(path: str) -> str:
    """`job_spec.base_output_directory` as JSON spells it."""
    first, *rest = path.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
