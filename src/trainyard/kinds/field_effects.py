"""What each field does here, as a table: it has its effect, a part of it, none, or is refused; never just ignored.

The sentences reach people twice: in the job's service log when a job uses the field, and in the documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from trainyard.core.errors import FailedPrecondition


class Effect(StrEnum):
    """How much of a field's meaning holds here."""

    FULL = "has its effect"
    PART = "has its effect in part"
    NONE = "has no effect here"
    REFUSED = "is refused"
    OUTPUT = "is set by the service"


_NOT_WHOLE = frozenset({Effect.PART, Effect.NONE, Effect.REFUSED})


class Runtime(StrEnum):
    """What a replica may run in, by the name that the executor gives it."""

    HOST = "host"
    PODMAN = "podman"
    DOCKER = "docker"


@dataclass(frozen=True, slots=True)
class FieldEffect:
    """One field (`path` in snake_case, without indexes), its effect, and one sentence saying what or why.

    `when` narrows it to some values of the field. `always` marks what holds for every job alike, or what the executor
    tells of each replica: the documentation says it once, and no job's service log again. `in_containers` is the effect
    and the sentence where the runtime is not the host and differs; such a line is told only when it is known what a
    replica runs in.
    """

    path: str
    effect: Effect
    sentence: str
    when: Callable[[Any], bool] | None = None
    always: bool = False
    in_containers: tuple[Effect, str] | None = None

    def under(self, prefix: str) -> FieldEffect:
        """The same field where its message is a part of a larger one."""
        return replace(self, path=f"{prefix}.{self.path}")

    def by(self, runtime: Runtime) -> tuple[Effect, str]:
        """The effect and its sentence where a replica runs in this."""
        if runtime is Runtime.HOST or self.in_containers is None:
            return self.effect, self.sentence
        return self.in_containers

    def told(self, runtime: Runtime = Runtime.HOST) -> str:
        """For people: `jobSpec.network has no effect here: …`."""
        effect, sentence = self.by(runtime)
        return f"{camel(self.path)} {effect}: {sentence}"


@dataclass(slots=True)
class _Node:
    """One step of a path: the lines that end here, each with its place in the table, and the steps below."""

    lines: list[tuple[int, FieldEffect]] = field(default_factory=list)
    below: dict[str, _Node] = field(default_factory=dict)


class EffectTable:
    """The lines of one kind. A message is walked once, and only where a field may not have all of its effect."""

    def __init__(self, lines: Iterable[FieldEffect]) -> None:
        """Keep the lines in their order."""
        self.lines = tuple(lines)
        self._root = _Node()
        for number, line in enumerate(self.lines):
            if any(line.by(runtime)[0] in _NOT_WHOLE for runtime in Runtime) and not line.always:
                self._plant(number, line)

    def _plant(self, number: int, line: FieldEffect) -> None:
        node = self._root
        for name in line.path.split("."):
            node = node.below.setdefault(name, _Node())
        node.lines.append((number, line))

    def used(self, message: Any, within: str = "") -> tuple[FieldEffect, ...]:
        """The lines about fields in use that have not all of their effect in this job, in the order of the table.

        `within` names the field of which `message` is the value, where it is not the whole.
        """
        found: set[int] = set()
        _walk(message, self._root.below[within] if within else self._root, found)
        return tuple(self.lines[number] for number in sorted(found))


def _walk(message: Any, node: _Node, found: set[int]) -> None:
    for descriptor, value in message.ListFields():
        step = node.below.get(descriptor.name)
        if step is None:
            continue
        values = value if descriptor.is_repeated else (value,)
        for number, line in step.lines:
            if line.when is None or any(line.when(item) for item in values):
                found.add(number)
        if step.below:
            for item in values:
                _walk(item, step, found)


def notes(used: Iterable[FieldEffect]) -> tuple[str, ...]:
    """One sentence for each of these lines that is not a refusal and holds whatever the job's replicas run in."""
    return tuple(line.told() for line in used if line.effect is not Effect.REFUSED and line.in_containers is None)


def remarks(used: Iterable[FieldEffect]) -> Mapping[str, tuple[str, ...]]:
    """By runtime, one sentence for each of these lines that depends on it."""
    varied = [line for line in used if line.in_containers is not None]
    if not varied:
        return {}
    return {
        runtime.value: tuple(line.told(runtime) for line in varied if line.by(runtime)[0] in _NOT_WHOLE)
        for runtime in Runtime
    }


def refuse(used: Iterable[FieldEffect], runtime: Runtime = Runtime.HOST) -> None:
    """Raises FailedPrecondition with all of the refusals among these lines.

    `runtime` is the one in which most have their effect, of those that replicas may come to run in.
    """
    refused = [line for line in used if line.by(runtime)[0] is Effect.REFUSED]
    if refused:
        raise FailedPrecondition(" ".join(line.told() for line in refused))


def camel(path: str) -> str:
    """`job_spec.base_output_directory` as JSON spells it."""
    first, *rest = path.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
