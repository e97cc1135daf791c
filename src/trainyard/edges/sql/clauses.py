"""The parts of a statement that is ours to carry out, found in its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trainyard.edges.sql.errors import SYNTAX_ERROR, SqlError
from trainyard.edges.sql.lexer import Token
from trainyard.edges.sql.names import Chain

AWAIT: Final = "AWAIT"


class Reader:
    """Walks through the tokens of one statement."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        """From the beginning; hints before the verb say nothing."""
        self.tokens = tokens
        self.at = 0
        while self.at < len(tokens) and tokens[self.at].kind == "hint":
            self.at += 1

    @property
    def next(self) -> Token | None:
        """The token ahead; None at the end."""
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, *words: str) -> bool:
        """Pass over one of these keywords (or a mark, such as `(`), if it is ahead."""
        token = self.next
        if token is not None and (token.is_word(*words) or (token.kind == "operator" and token.text in words)):
            self.at += 1
            return True
        return False

    def need(self, *words: str) -> None:
        """Pass over one of these; raises SqlError where another token is ahead."""
        if not self.take(*words):
            raise self.fault(f"{' or '.join(words)} is expected")

    def hints(self) -> frozenset[str]:
        """The words of the hints ahead, in capitals."""
        words: set[str] = set()
        while (token := self.next) is not None and token.kind == "hint":
            words.update(token.text[3:-2].upper().split())
            self.at += 1
        return frozenset(words)

    def chain(self) -> Chain:
        """The dotted name ahead; raises SqlError where there is none."""
        token = self.next
        if token is None or not token.is_name:
            raise self.fault("a name is expected")
        found = Chain(self.tokens, self.at)
        self.at = found.end
        return found

    def rest(self) -> Sequence[Token]:
        """All that is left."""
        found, self.at = self.tokens[self.at :], len(self.tokens)
        return found

    def until(self, *words: str) -> Sequence[Token]:
        """The tokens up to one of these keywords outside of all parentheses, or to the end."""
        start, depth = self.at, 0
        while (token := self.next) is not None and not (depth == 0 and token.is_word(*words)):
            depth += (token.text == "(") - (token.text == ")")
            self.at += 1
        return self.tokens[start : self.at]

    def names_in_parentheses(self) -> list[Token]:
        """`(a, b, c)`; raises SqlError where it is not of that form."""
        self.need("(")
        found = []
        while True:
            token = self.next
            if token is None or not token.is_name:
                raise self.fault("a column's name is expected")
            found.append(token)
            self.at += 1
            if not self.take(","):
                self.need(")")
                return found

    def end(self) -> None:
        """Raises SqlError where something is left."""
        if self.next is not None:
            raise self.fault("the statement should end here")

    def fault(self, what: str) -> SqlError:
        """The error for the place that is reached."""
        token = self.next
        near = f"at or near {token.text!r}" if token else "at end of input"
        return SqlError(SYNTAX_ERROR, f"syntax error {near}: {what}.", position=token.start + 1 if token else 0)
