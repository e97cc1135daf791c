"""How far a program is, read from what it prints: the documented line, or the bars that trainers draw anyway.

The documented form is a JSON line with `progress` (0 to 1, or `{"done": 30, "of": 100}`) and, if the program knows it,
`secondsLeft`. Recognised besides: tqdm (and with it Hugging Face's Trainer and Lightning), Keras, and `epoch 3 of 10`.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Final

MOST_LINE: Final = 2000
"""Characters of a line that are looked at: a bar is at its start."""

_TQDM: Final = re.compile(
    r"(?:(?P<name>[^|\r\n]{0,80}?): +)?\s*\d{1,3}%\|[^|]*\| *"
    r"(?P<done>[\d.]+)(?P<unit>[kMGT]?)/(?P<of>[\d.]+)(?P<of_unit>[kMGT]?)"
    r"(?: \[(?P<passed>[\d:]+)<(?P<left>[\d:]+|\?))?"
)
_KERAS: Final = re.compile(
    r"\s*(?P<done>\d+)/(?P<of>\d+) (?:\[[=>.]+\] - ETA: (?P<eta>[\d:]+)s?|\S*━\S* (?P<left>[\d:]+)s? )"
)
_COUNTED: Final = re.compile(
    r"\b(?:epoch|step|round|iteration|batch)s?[ :=\[]*(?P<done>\d{1,18}) ?(?:/|of) ?(?P<of>\d{1,18})", re.IGNORECASE
)
_EPOCH: Final = re.compile(r"\s*epoch[ :]*(?P<done>\d{1,18}) ?(?:/|of) ?(?P<of>\d{1,18})", re.IGNORECASE)
_SCALE: Final = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


@dataclass(frozen=True, slots=True)
class Progress:
    """`fraction` is from 0 to 1; `seconds_left` None where the program does not say; `line` is what was read."""

    fraction: float
    seconds_left: float | None
    line: str


def left_at_this_pace(fraction: float, seconds: float) -> float | None:
    """How many seconds are left of what came to `fraction` in so many; None where that says nothing."""
    return seconds * (1 - fraction) / fraction if 0 < fraction < 1 and seconds > 0 else None


def newest(text: str) -> Progress | None:
    """The last line of this output that says how far the program is; a bar's redrawings count as lines."""
    lines = re.split(r"[\r\n]+", text)
    for number in range(len(lines) - 1, -1, -1):
        line = lines[number][:MOST_LINE]
        if bar := _keras(line):
            return _within_epoch(bar, next(filter(None, map(_EPOCH.match, reversed(lines[:number]))), None))
        if found := of_line(line):
            return found
    return None


def of_line(line: str) -> Progress | None:
    """What one line says, if it says anything."""
    line = line[:MOST_LINE]
    return _declared(line) or _tqdm(line) or _keras(line) or _counted(line)


def _declared(line: str) -> Progress | None:
    """The documented form."""
    if '"progress"' not in line:
        return None
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    told = said.get("progress")
    fraction = _ratio(told.get("done"), told.get("of")) if isinstance(told, dict) else _number(told)
    if fraction is None or not 0 <= fraction <= 1:
        return None
    left = _number(said.get("secondsLeft"))
    return Progress(fraction, left if left is not None and left >= 0 else None, line)


def _tqdm(line: str) -> Progress | None:
    match = _TQDM.search(line)
    if not match:
        return None
    done, whole = _number(match["done"]), _number(match["of"])
    if done is None or whole is None:
        return None
    fraction = _ratio(done * _SCALE[match["unit"]], whole * _SCALE[match["of_unit"]])
    if fraction is None:
        return None
    bar = Progress(fraction, _clock(match["left"]), line.strip())
    return _within_epoch(bar, _EPOCH.match(match["name"] or ""))


def _within_epoch(bar: Progress, epoch: re.Match[str] | None) -> Progress:
    """A bar that fills once an epoch, as a part of all epochs; its time left says nothing of them."""
    if epoch is None or _ratio(epoch["done"], epoch["of"]) is None or int(epoch["done"]) < 1:
        return bar
    return Progress((int(epoch["done"]) - 1 + bar.fraction) / int(epoch["of"]), None, bar.line)


def _keras(line: str) -> Progress | None:
    match = _KERAS.match(line)
    fraction = _ratio(match["done"], match["of"]) if match else None
    if match is None or fraction is None:
        return None
    return Progress(fraction, _clock(match["eta"] or match["left"]) if fraction < 1 else 0.0, line.strip())


def _counted(line: str) -> Progress | None:
    match = _COUNTED.search(line)
    fraction = _ratio(match["done"], match["of"]) if match else None
    return None if fraction is None else Progress(fraction, None, line.strip())


def _ratio(done: Any, of: Any) -> float | None:
    """Their quotient; None where it is no share of a whole."""
    part, whole = _number(done), _number(of)
    if part is None or whole is None or whole <= 0 or not 0 <= part <= whole:
        return None
    return part / whole


def _number(value: Any) -> float | None:
    """A finite number from a number or its text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _clock(text: str | None) -> float | None:
    """`1:02:03`, `02:03` or `3` in seconds; None for `?`."""
    if not text or text == "?":
        return None
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60 + int(part or 0)
    return seconds
