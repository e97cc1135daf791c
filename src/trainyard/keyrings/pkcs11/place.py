"""Where a token is: the part of PKCS#11 URIs (RFC 7512) that says which module, which token and whose PIN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

SCHEME: Final = "pkcs11:"


@dataclass(frozen=True, slots=True)
class Place:
    """A token by its label, its serial number or both (empty: any), in a module; the file holds the user's PIN."""

    token: str
    serial: str
    module: Path
    pin_file: Path

    @property
    def which(self) -> str:
        """The token as the URI names it."""
        named = (("token", self.token), ("serial", self.serial))
        return ";".join(f"{name}={value}" for name, value in named if value)

    @classmethod
    def parse(cls, uri: str) -> Place:
        """Read `pkcs11:token=LABEL;serial=NUMBER?module-path=/PATH&pin-source=file:/PATH`.

        Raises ValueError with a clause that says what is wrong.
        """
        if not uri.startswith(SCHEME):
            raise ValueError("it begins with neither")
        path, _, query = uri.removeprefix(SCHEME).partition("?")
        which = _attributes(path.split(";"), ("token", "serial"))
        how = _attributes(query.split("&"), ("module-path", "pin-source"))
        if not which:
            raise ValueError("it says neither token= nor serial=")
        for name in ("module-path", "pin-source"):
            if name not in how:
                raise ValueError(f"{name}= is missing behind the ?")
        source = how["pin-source"].removeprefix("file://").removeprefix("file:")
        for name, value in (("module-path", how["module-path"]), ("pin-source", source)):
            if not value.startswith("/"):
                raise ValueError(f"{name} is {value!r}, which is no absolute path")
        return cls(which.get("token", ""), which.get("serial", ""), Path(how["module-path"]), Path(source))


def _attributes(pairs: list[str], known: tuple[str, ...]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for pair in filter(None, pairs):
        name, _, value = pair.partition("=")
        if name not in known:
            raise ValueError(f"{name!r} stands where there can be {' and '.join(known)}")
        if name in found or not value:
            raise ValueError(f"{name} is there {'twice' if name in found else 'without a value'}")
        found[name] = unquote(value)
    return found
