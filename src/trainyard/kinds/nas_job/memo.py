"""The notebook of a search between two decisions: small JSON in Status.memo, read and written here only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from trainyard.core.jobs import NOTHING_NOTED


@dataclass(frozen=True, slots=True)
class Memo:
    """`asked` and `ended` count search trials, `failed` those of them that failed; `train_…` the train trials.

    `mark` names the sequence of asks and ends so far: a searcher kept in memory that has another mark is of no use.
    `windows`: how often the best were picked for training; `queue`: search trials picked and not trained yet.
    `dry`: the searcher has nothing new. `over`: how the job will end once no trial is open, with `why`.
    `searcher`: what it began with, whatever the server's settings say since.
    `timer`: calendar, steady and carried microseconds of the stopwatch that the job's timeout is measured by.
    """

    asked: int = 0
    ended: int = 0
    failed: int = 0
    measured: int = 0
    train_asked: int = 0
    train_ended: int = 0
    mark: int = 0
    windows: int = 0
    queue: tuple[int, ...] = ()
    dry: bool = False
    over: str = ""
    why: str = ""
    timer: tuple[int, int | None, int] | None = None
    searcher: str = ""

    @property
    def search_open(self) -> int:
        """How many search trials are under way."""
        return self.asked - self.ended

    @property
    def train_open(self) -> int:
        """How many train trials are under way."""
        return self.train_asked - self.train_ended

    def dump(self) -> str:
        """Compact JSON without what has its default; the same memo always gives the same text."""
        kept = {name: value for name, value in asdict(self).items() if value != _DEFAULTS[name]}
        return json.dumps(kept, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Memo:
        """Read what `dump` wrote."""
        if text == NOTHING_NOTED:
            return cls()
        kept = json.loads(text)
        for name in ("queue", "timer"):
            if name in kept:
                kept[name] = tuple(kept[name])
        return cls(**kept)


_DEFAULTS = {field.name: field.default for field in fields(Memo)}
