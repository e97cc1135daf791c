"""What may be wrong with a setting's value: each check answers with a clause, empty where it can be meant."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final, NamedTuple

from trainyard.keyrings.pkcs11.place import Place
from trainyard.kinds.running.simulated import MOST_AN_HOUR, Preemptions

_PLACE: Final = re.compile(r"https?://(?P<host>[a-z0-9-]+(\.[a-z0-9-]+)*)(:[1-9][0-9]{0,4})?")
_RESERVATION: Final = re.compile(
    r"(?P<name>[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)=(?P<replicas>[1-9][0-9]{0,5})"
    r"(?::(?P<machine>[A-Za-z0-9-]+))?(?:\+(?P<gpus>[0-9]{1,4})gpus?)?"
)


_HOST_NAME: Final = re.compile(
    r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*|[0-9a-fA-F:.]+"
)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address (localhost, or an IP address); raises ValueError on others."""
    return host == "localhost" or ip_address(host).is_loopback


def names_in(value: str) -> tuple[str, ...]:
    """The names of a list separated by commas."""
    return tuple(filter(None, (name.strip() for name in value.split(","))))


def address(value: str) -> str:
    """An address to listen on."""
    try:
        is_loopback(value)
    except ValueError:
        return "it is neither localhost nor an IP address"
    return ""


def host_names(value: str) -> str:
    """Names of hosts and addresses, in a list."""
    bad = [name for name in names_in(value) if not _HOST_NAME.fullmatch(name)]
    return f"{bad[0]!r} is neither a host name (a first label of * stands for any) nor an IP address" if bad else ""


def sources(value: str) -> str:
    """What stands in for file systems, in a list."""
    bad = [pair for pair in names_in(value) if not re.fullmatch(r"[^=]+:[^=]+=/.*", pair)]
    return f"{bad[0]!r} is not of the form SERVER:/PATH=/DIRECTORY" if bad else ""


def key_ring(value: str) -> str:
    """The word local, or a token's URI. One with a PIN in it is refused elsewhere, in words that do not show it."""
    if value == "local" or "pin-value=" in value:
        return ""
    try:
        Place.parse(value)
    except ValueError as error:
        return f"{error}; it is local, or pkcs11:token=LABEL?module-path=/LIBRARY.so&pin-source=file:/FILE"
    return ""


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


def dashboards_at(value: str) -> str:
    """Scheme, host name and perhaps port."""
    good = _PLACE.fullmatch(value)
    if not value or (good and not good["host"].replace(".", "").isdecimal()):
        return ""
    return "it is http:// or https://, a host name and perhaps a port, such as https://dashboards.example.com"


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
