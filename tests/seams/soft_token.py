"""A token of SoftHSM 2 in a directory of the test's own; nothing of the machine's own tokens is touched."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Final

import pytest

PIN: Final = "1234"
_LIBRARIES: Final = ("softhsm/libsofthsm2.so", "x86_64-linux-gnu/softhsm/libsofthsm2.so", "pkcs11/libsofthsm2.so")
_PATHS: Final = [Path(base, name) for base in ("/usr/lib", "/usr/lib64", "/usr/local/lib") for name in _LIBRARIES]
LIBRARY: Final = next((path for path in _PATHS if path.exists()), None)


@dataclass(frozen=True)
class SoftToken:
    """A token with the label `yard`, and the file that holds its PIN."""

    directory: Path

    @property
    def configuration(self) -> Path:
        """What SOFTHSM2_CONF has to name."""
        return self.directory / "softhsm2.conf"

    @property
    def tokens(self) -> Path:
        """Where it lies; moved away, it is as if somebody had pulled it out."""
        return self.directory / "tokens"

    @property
    def pin_file(self) -> Path:
        """Readable by its owner alone."""
        return self.directory / "pin"

    @property
    def uri(self) -> str:
        """What the setting key_ring takes."""
        return f"pkcs11:token=yard?module-path={LIBRARY}&pin-source=file:{self.pin_file}"

    def write_pin(self, pin: str) -> None:
        """Another one, right or wrong."""
        self.pin_file.write_text(pin + "\n")
        self.pin_file.chmod(0o600)

    def configure(self, *lines: str) -> None:
        """Write its configuration, with these lines more."""
        own = (f"directories.tokendir = {self.tokens}", "objectstore.backend = file", "log.level = ERROR")
        self.configuration.write_text("\n".join((*own, *lines)) + "\n")

    def initialize(self) -> None:
        """Make one token more of the label."""
        command = ["--init-token", "--free", "--label", "yard", "--pin", PIN, "--so-pin", "87654321"]
        subprocess.run(["softhsm2-util", *command], capture_output=True, check=True)

    def slots(self) -> str:
        """What SoftHSM tells of its tokens."""
        return subprocess.run(["softhsm2-util", "--show-slots"], capture_output=True, text=True, check=True).stdout

    def flags(self) -> str:
        """What the token says of its PIN, as a process of its own sees it."""
        return self._in_another_process("print(repr(token.flags))")

    def labels(self) -> list[str]:
        """Of the secret keys in it."""
        found = f"token.open(user_pin={PIN!r}).get_objects({{pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY}})"
        return self._in_another_process(f"[print(key.label) for key in {found}]").splitlines()

    def log_in(self) -> None:
        """With the right PIN, in a process of its own."""
        self._in_another_process(f"token.open(user_pin={PIN!r}).close()")

    def _in_another_process(self, code: str) -> str:
        code = f"import pkcs11; token = pkcs11.lib({str(LIBRARY)!r}).get_token(token_label='yard'); {code}"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def soft_token(directory: Path, monkeypatch: pytest.MonkeyPatch) -> SoftToken:
    """A new one, for this process and those that it starts; the test is skipped where there is no SoftHSM."""
    pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    if LIBRARY is None or which("softhsm2-util") is None:
        pytest.skip("SoftHSM is not installed (softhsm2)")
    token = SoftToken(directory)
    token.tokens.mkdir(parents=True)
    token.configure()
    token.write_pin(PIN)
    monkeypatch.setenv("SOFTHSM2_CONF", str(token.configuration))
    token.initialize()
    return token
