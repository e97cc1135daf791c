"""Statements over `POST /v1/sql`, their answers one by one while they come; standard library only."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trainyard.cli.connection import Connection, Target
from trainyard.cli.problems import Problem, Refused, Unreachable

Row = list[Any]
PATH = "v1/sql"


class SqlRefused(Problem):
    """A statement that failed: the sentence, then SQLSTATE, hint and detail where there are any."""

    def __init__(self, message: str, told: Mapping[str, Any]) -> None:
        """Keep what the service said."""
        words = {"hint": "hint", "detail": "detail", "sqlstate": "SQLSTATE"}
        super().__init__(message, [f"{shown}: {told[name]}" for name, shown in words.items() if told.get(name)])
        self.told = dict(told)


@dataclass
class Answer:
    """One statement's answer. `columns` None: it gives no rows. What stands behind `rows` is known once they ended."""

    columns: list[tuple[str, str]] | None
    rows: Iterator[Row]
    tag: str = ""
    message: str = ""
    notices: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Wishes:
    """How answers are to be. `defaults`: the target's project and region stand in where a statement names none."""

    nested: bool = False
    go_on: bool = False
    defaults: bool = True


class SqlClient:
    """Asks one service. A statement may take as long as the service lets it."""

    def __init__(self, target: Target, wishes: Wishes) -> None:
        """Nothing is sent yet. Raises Usage on an address that is none."""
        self._target = target
        self._wishes = wishes
        self._connection = Connection(target, None)

    def answers(self, sql: str) -> Iterator[Answer | SqlRefused]:
        """The answers in order; each one's rows are to be read before the next. A refused statement comes as its error.

        Raises Refused, Unreachable, and Problem where the answer is cut off.
        """
        body: dict[str, Any] = {"sql": sql, "nested": self._wishes.nested, "goOn": self._wishes.go_on}
        if self._wishes.defaults:
            body |= {"project": self._target.project, "location": self._target.region}
        try:
            response = self._connection.send("POST", PATH, body=body)
        except Refused as error:
            if "sqlstate" not in error.info:
                raise
            yield SqlRefused(error.sentence, error.info)
            return
        lines = self._lines(response)
        for line in lines:
            if "error" in line:
                yield SqlRefused(line["error"]["message"], line["error"])
            else:
                yield from self._answer(line, lines)

    def close(self) -> None:
        """Hang up; a statement that runs is cancelled by that."""
        self._connection.close()

    def _answer(self, line: Mapping[str, Any], lines: Iterator[dict[str, Any]]) -> Iterator[Answer | SqlRefused]:
        columns = [(each["name"], each["kind"]) for each in line["columns"]] if "columns" in line else None
        last: list[Mapping[str, Any]] = [line] if columns is None else []

        def rows() -> Iterator[Row]:
            for each in lines:
                if "row" not in each:
                    last.append(each)
                    _conclude(answer, each)
                    return
                yield each["row"]
            raise Problem("the answer was cut off, so it is not whole")

        answer = Answer(columns, iter(()) if columns is None else rows())
        if columns is None:
            _conclude(answer, line)
        yield answer
        for _ in answer.rows:  # whoever did not want them all
            pass
        if last and "error" in last[0]:
            yield SqlRefused(last[0]["error"]["message"], last[0]["error"])

    def _lines(self, response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
        try:
            for line in response:
                yield json.loads(line)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unreachable(self._target.endpoint, f"the answer was cut off: {error}") from None


def _conclude(answer: Answer, line: Mapping[str, Any]) -> None:
    done = line.get("done", {})
    answer.tag, answer.message = done.get("tag", ""), done.get("message", "")
    answer.notices = done.get("notices", [])
