"""What may be wrong with a setting's value: each check answers with a clause, empty where it can be meant."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

from trainyard.kinds.running.simulated import MOST_AN_HOUR, Preemptions

_RESERVATION: Final = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


def port(value: int) -> str:
    """A port, or 0."""
    return "" if 0 <= value <= 65535 else "a port is a number from 0 (any free one) to 65535"


def sql_port(value: str) -> str:
    """A port, or a word."""
    if value in ("auto", "off") or (value.isascii() and value.isdecimal() and not port(int(value))):
        return ""
    return "it is auto, off, or a port from 0 (any free one) to 65535"


def one_of(*choices: str) -> Callable[[str], str]:
    """A word of these."""
    return lambda value: "" if value in choices else f"choose one of {', '.join(choices)}"


def at_least(least: float) -> Callable[[float], str]:
    """A finite number, not below."""
    return lambda value: "" if least <= value < math.inf else f"it is a number of at least {least:g}"


def port_range(value: str) -> str:
    """Two ports and a dash."""
    first, dash, last = value.partition("-")
    if dash and first.isdecimal() and last.isdecimal() and 1024 <= int(first) <= int(last) <= 65535:
        return ""
    return "a range of ports is two numbers from 1024 to 65535, such as 20000-29999"


def reserved(value: str) -> tuple[tuple[str, int], ...]:
    """`a=2,b=1` as names and replicas; raises ValueError."""
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    found = {name.strip(): int(count) for name, _, count in pairs}
    if (
        len(found) < len(pairs)
        or not all(_RESERVATION.fullmatch(name) for name in found)
        or min(found.values(), default=1) < 1
    ):
        raise ValueError(value)
    return tuple(sorted(found.items()))


def reservations(value: str) -> str:
    """Names, each with a number of replicas."""
    try:
        reserved(value)
    except ValueError:
        return "it is NAME=REPLICAS, separated by commas, such as team-a=2,team-b=1, each name once"
    return ""


def preemptions(value: str) -> str:
    """A rate, perhaps with a seed."""
    try:
        Preemptions.parse(value)
    except ValueError:
        return f"it is a number an hour from 0 to {MOST_AN_HOUR:g}, or that and a seed, such as 12,7"
    return ""
