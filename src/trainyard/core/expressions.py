"""What the languages of filters and of log queries share: AND, OR and NOT, and how they are read.

NOT and a leading `-` bind tightest, OR binds tighter than AND, and terms side by side mean AND (https://google.aip.dev/160).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, NoReturn, TypeAlias, TypeVar

from trainyard.core.errors import FieldViolation, InvalidArgument

DEEPEST_NESTING = 32
Leaf = TypeVar("Leaf")


@dataclass(frozen=True, slots=True)
class And(Generic[Leaf]):
    """Every term holds; without terms: always."""

    terms: tuple[Tree[Leaf], ...]


@dataclass(frozen=True, slots=True)
class Or(Generic[Leaf]):
    """At least one term holds; without terms: never."""

    terms: tuple[Tree[Leaf], ...]


@dataclass(frozen=True, slots=True)
class Not(Generic[Leaf]):
    """The term does not hold."""

    term: Tree[Leaf]


Tree: TypeAlias = Leaf | And[Leaf] | Or[Leaf] | Not[Leaf]


def refused(message: str) -> InvalidArgument:
    """The error for a filter that is none."""
    return InvalidArgument(message, [FieldViolation("filter", message)])


class Reader(ABC, Generic[Leaf]):
    """One pass over one text, left to right; each method reads one rule of the grammar, and comparisons are its own."""

    space: ClassVar[re.Pattern[str]]
    most_comparisons: ClassVar[int]
    refusal: ClassVar[str]
    """What stands before the reason, with `{}` for the place."""

    def __init__(self, text: str) -> None:
        """Nothing is read yet."""
        self._text = text
        self._position = 0
        self._depth = 0
        self._comparisons = 0

    def whole(self) -> Tree[Leaf]:
        """All of the text. Raises InvalidArgument, with the position, on all that is not one."""
        tree = self._expression(self._term)
        if self._position < len(self._text):
            self._fail("this closing parenthesis was never opened")
        return tree

    @abstractmethod
    def _comparison(self) -> Tree[Leaf]: ...

    def _expression(self, term: Callable[[], Tree[Leaf]]) -> Tree[Leaf]:
        terms: list[Tree[Leaf]] = []
        while True:
            terms.append(self._factor(term))
            self._space()
            if self._position >= len(self._text) or self._at(")"):
                return terms[0] if len(terms) == 1 else And(tuple(terms))
            self._keyword("AND")

    def _factor(self, term: Callable[[], Tree[Leaf]]) -> Tree[Leaf]:
        terms = [term()]
        while self._keyword("OR"):
            terms.append(term())
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def _term(self) -> Tree[Leaf]:
        self._space()
        if self._at("-"):
            self._position += 1
            return Not(self._simple())
        return Not(self._simple()) if self._keyword("NOT") else self._simple()

    def _simple(self) -> Tree[Leaf]:
        self._space()
        return self._parenthesised(self._term) if self._at("(") else self._comparison()

    def _parenthesised(self, term: Callable[[], Tree[Leaf]]) -> Tree[Leaf]:
        opened = self._position
        self._depth += 1
        if self._depth > DEEPEST_NESTING:
            self._fail(f"parentheses are nested deeper than {DEEPEST_NESTING}")
        self._position += 1
        inner = self._expression(term)
        if not self._at(")"):
            self._fail("this parenthesis is never closed", opened)
        self._position += 1
        self._depth -= 1
        return inner

    def _count(self) -> None:
        self._comparisons += 1
        if self._comparisons > self.most_comparisons:
            self._fail(f"there are more than {self.most_comparisons} comparisons")

    def _take(self, pattern: re.Pattern[str], wanted: str) -> str:
        found = pattern.match(self._text, self._position)
        if found is None:
            self._fail(wanted)
        self._position = found.end()
        return found.group()

    def _keyword(self, word: str) -> bool:
        self._space()
        after = self._position + len(word)
        follows = self._text[after : after + 1]
        if not self._at(word) or not (follows in ("", "(") or follows.isspace()):
            return False
        self._position = after
        return True

    def _at(self, word: str) -> bool:
        return self._text.startswith(word, self._position)

    def _space(self) -> None:
        found = self.space.match(self._text, self._position)
        self._position = found.end() if found else self._position

    def _fail(self, what: str, position: int | None = None) -> NoReturn:
        place = (self._position if position is None else position) + 1
        raise refused(f"{self.refusal.format(place)} {what}.")
