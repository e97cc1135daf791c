"""What may be wrong with a setting's value: each check answers with a clause, empty where it can be meant."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from trainyard.kinds.running.simulated import MOST_AN_HOUR, Preemptions

_RESERVATION: Final = re.compile(
    r"(?P<name>[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)=(?P<replicas>[1-9][0-9]{0,5})"
    r"(?::(?P<machine>[A-Za-z0-9-]+))?(?:\+(?P<gpus>[0-9]{1,4})gpus?)?"
)


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


class Reserved(NamedTuple):
    """One share as the setting has it; `gpus` of each replica, None where they are those of the machine type."""

    name: str
    replicas: int
    machine: str
    gpus: int | None


def reserved(value: str) -> tuple[Reserved, ...]:
    """`a=2,b=1:n1-standard-8+1gpu` in the order of their names; raises ValueError."""
    found = [_RESERVATION.fullmatch(share.strip()) for share in value.split(",") if share.strip()]
    shares = {
        each["name"]: Reserved(
            each["name"], int(each["replicas"]), each["machine"] or "", int(each["gpus"]) if each["gpus"] else None
        )
        for each in found
        if each
    }
    if len(shares) < len(found):
        raise ValueError(value)
    return tuple(shares[name] for name in sorted(shares))


def reservations(value: str) -> str:
    """Names, each with a number of replicas, and perhaps a machine type and GPUs."""
    try:
        reserved(value)
    except ValueError:
        return (
            "it is NAME=REPLICAS[:MACHINE_TYPE][+GPUSgpu], separated by commas, such as "
            "team-a=2,team-b=1:n1-standard-8+1gpu, each name once"
        )
    return ""


def preemptions(value: str) -> str:
    """A rate, perhaps with a seed."""
    try:
        Preemptions.parse(value)
    except ValueError:
        return f"it is a number an hour from 0 to {MOST_AN_HOUR:g}, or that and a seed, such as 12,7"
    return ""
