r"""Globs as the original reads them, matched in one pass over a name: no pattern can stall the service.

`*` and `?` stop at `/`, `**` does not; `[a-z]`, `[!a]`, `{a,b}`, `\` before a sign that is meant as it is. Source:
https://cloud.google.com/storage/docs/json_api/v1/objects/list#list-objects-and-prefixes-using-glob
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from trainyard.core.errors import InvalidArgument

MOST_ALTERNATIVES: Final = 256
Accepts = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class _Token:
    """One place of a glob: the signs that it takes, and whether it takes any number of them."""

    accepts: Accepts
    repeats: bool = False


@dataclass(slots=True)
class _Pattern:
    """A glob without braces. Bit n of a state: n tokens are behind us."""

    tokens: list[_Token]
    steps: dict[str, tuple[int, int]] = field(default_factory=dict)

    def matches(self, name: str) -> bool:
        """Every state that the name could have led to is followed at once."""
        skips = sum(1 << at for at, token in enumerate(self.tokens) if token.repeats)
        state = self._closed(1, skips)
        for sign in name:
            forward, stay = self._step(sign)
            state = self._closed((state & forward) << 1 | state & stay, skips)
            if not state:
                return False
        return bool(state >> len(self.tokens) & 1)

    def _step(self, sign: str) -> tuple[int, int]:
        if sign not in self.steps:
            taking = [(at, token) for at, token in enumerate(self.tokens) if token.accepts(sign)]
            forward = sum(1 << at for at, token in taking if not token.repeats)
            self.steps[sign] = forward, sum(1 << at for at, token in taking if token.repeats)
        return self.steps[sign]

    @staticmethod
    def _closed(state: int, skips: int) -> int:
        """What repeats may also be there no times."""
        while (more := state | (state & skips) << 1) != state:
            state = more
        return state


def glob_matcher(glob: str) -> Callable[[str], bool]:
    """Whether a name matches. Raises InvalidArgument where the glob is none."""
    patterns = [_Pattern(_tokens(each, glob)) for each in _alternatives(glob)]
    return lambda name: any(pattern.matches(name) for pattern in patterns)


def _alternatives(glob: str) -> list[str]:
    """The globs without braces that a glob stands for."""
    out, pending = [], [glob]
    while pending:
        text = pending.pop()
        braces = _first_braces(text, glob)
        if braces is None:
            out.append(text)
        else:
            commas = braces
            head, tail = text[: commas[0]], text[commas[-1] + 1 :]
            pending += [head + text[one + 1 : other] + tail for one, other in pairwise(commas)]
        if len(out) + len(pending) > MOST_ALTERNATIVES:
            raise InvalidArgument(f"Invalid matchGlob {glob!r}: it has more than {MOST_ALTERNATIVES} alternatives.")
    return out


def _first_braces(text: str, glob: str) -> list[int] | None:
    """Where the first outermost braces open, have commas, and close."""
    found: list[int] = []
    depth = at = 0
    while at < len(text):
        sign = text[at]
        if sign == "\\":
            at += 1
        elif sign == "[" and (close := text.find("]", at + 2)) > 0:
            at = close
        elif sign == "{":
            depth += 1
            found = found or [at]
        elif sign == "}" and depth:
            depth -= 1
            if not depth:
                return [*found, at]
        elif sign == "," and depth == 1:
            found.append(at)
        at += 1
    if depth:
        raise InvalidArgument(f"Invalid matchGlob {glob!r}: a brace is not closed.")
    return None


def _tokens(text: str, glob: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(text):
        token, width = _token(text, at, glob)
        found.append(token)
        at += width
    return found


def _token(text: str, at: int, glob: str) -> tuple[_Token, int]:
    sign = text[at]
    if text.startswith("**", at):
        return _Token(lambda _: True, repeats=True), 2
    if sign in "*?":
        return _Token(lambda each: each != "/", repeats=sign == "*"), 1
    if sign == "[" and (close := text.find("]", at + 2)) > 0:
        return _Token(_set(text[at + 1 : close], glob)), close + 1 - at
    if sign == "\\" and at + 1 < len(text):
        return _Token(text[at + 1].__eq__), 2
    return _Token(sign.__eq__), 1


def _set(inner: str, glob: str) -> Accepts:
    """The signs of a bracket: single ones and ranges, or all others."""
    negated = inner[0] in "!^"
    signs = inner[1:] if negated else inner
    ranges: list[tuple[str, str]] = []
    at = 0
    while at < len(signs):
        last = signs[at + 2] if signs[at + 1 : at + 2] == "-" and at + 2 < len(signs) else signs[at]
        if last < signs[at]:
            raise InvalidArgument(f"Invalid matchGlob {glob!r}: the range {signs[at : at + 3]} is empty.")
        ranges.append((signs[at], last))
        at += 3 if last is not signs[at] and signs[at + 1 : at + 2] == "-" else 1
    return lambda sign: sign != "/" and negated != any(low <= sign <= high for low, high in ranges)
