"""`trainyard tokens`: who may call a service with --auth. Works on its data directory, whether it runs or not.

A running service sees the change at the next call. Secrets are shown once and kept nowhere; the audit log says who
made or revoked what.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from trainyard.audit import AuditLog
from trainyard.cli.background import data_dir
from trainyard.cli.formats import parse_format, write
from trainyard.cli.problems import Problem, Usage
from trainyard.core.clock import MICROSECONDS, rfc3339
from trainyard.core.errors import ApiError
from trainyard.core.names import Scope
from trainyard.credentials import (
    NAME,
    BadCredentialFile,
    Credential,
    CredentialFile,
    Form,
    Refused,
    new_account,
    new_secret,
)

DEFAULT_TABLE: Final = "table(name,form,role,projects,created,expires)"
EMAIL: Final = re.compile(r"[^@\s/]{1,127}@[^@\s/]{1,126}")
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_TIME: Final = re.compile(r"([1-9][0-9]{0,5})([mhdw])\Z")

Result = TypeVar("Result")


def create(flags: Namespace) -> int:
    """Make a credential and print its secret, or the key file of an account."""
    asked = _asked(flags, _now_us())
    file, audit = _file(flags)
    if asked.form is Form.ACCOUNT:
        project = asked.projects[0] if asked.projects else flags.default_project
        key_file, credential = _do(lambda: new_account(asked, project, flags.endpoint.rstrip("/")))
        secret = json.dumps(key_file, indent=2)
    else:
        secret, credential = new_secret(asked)
    _do(lambda: file.add(credential))
    audit.write(_now_us(), _who(), "tokens.create", credential.email or credential.name)
    if flags.out:
        _write_secret(Path(flags.out), secret, lambda: file.revoke(credential.name))
        print(f"written to {flags.out}", file=sys.stderr)
    else:
        print(secret)
        print("it is shown only now", file=sys.stderr)
    return 0


def list_(flags: Namespace) -> int:
    """Print the credentials, oldest first; never a secret: there is none to print."""
    style = parse_format(flags.format or DEFAULT_TABLE)
    if style.kind == "table" and not style.fields:
        style = parse_format(DEFAULT_TABLE)
    file, _ = _file(flags)
    write([_row(each, _now_us()) for each in _do(file.read)], style, many=True)
    return 0


def revoke(flags: Namespace) -> int:
    """Forget a credential: its holder is not let in any more, from the next call on."""
    file, audit = _file(flags)
    gone = _do(lambda: file.revoke(flags.name))
    audit.write(_now_us(), _who(), "tokens.revoke", gone.email or gone.name)
    print(f"revoked {gone.name}", file=sys.stderr)
    return 0


def _asked(flags: Namespace, now_us: int) -> Credential:
    """The credential as the flags describe it, without its secret; raises Usage."""
    if not NAME.match(flags.name):
        raise Usage(f"{flags.name!r} can't be a name: take letters, digits and @._+-, at most 128")
    for project in flags.projects:
        try:
            Scope.of(project, "us-central1")
        except ApiError as error:
            raise Usage(error.message) from None
    credential = Credential(flags.name, Form(flags.form), flags.role, tuple(flags.projects), now_us)
    credential = replace(credential, **_of_account(flags, credential.form))
    if not flags.expires:
        return credential
    match = _TIME.match(flags.expires)
    if match is None:
        raise Usage(f"--expires={flags.expires} is no time; one looks like 90m, 12h, 30d or 8w")
    return replace(credential, expires_us=now_us + int(match[1]) * _SECONDS[match[2]] * MICROSECONDS)


def _of_account(flags: Namespace, form: Form) -> dict[str, Any]:
    """What only an account has; raises Usage."""
    given = [name for name in ("email", "actors", "google") if getattr(flags, name)]
    if given and form is not Form.ACCOUNT:
        flag = {"actors": "--actor", "google": "--google-credentials"}.get(given[0], "--email")
        raise Usage(f"{flag} is for accounts: give --as service-account, too")
    if flags.email and not EMAIL.fullmatch(flags.email):
        raise Usage(f"--email={flags.email} is no e-mail address")
    google = os.path.abspath(flags.google) if flags.google else ""  # noqa: PTH100 - links kept: they may be turned
    if google and not os.access(google, os.R_OK):
        raise Usage(f"--google-credentials={flags.google} can't be read")
    return {"email": flags.email, "actors": tuple(flags.actors), "google": google}


def _file(flags: Namespace) -> tuple[CredentialFile, AuditLog]:
    directory = data_dir(os.environ, flags.data_dir)
    file = CredentialFile(directory)
    taken = _do(lambda: file.migrate(_now_us()))
    if taken:
        print(f"took over {taken} tokens of an earlier release, as admins of all projects", file=sys.stderr)
    return file, AuditLog(directory)


def _do(act: Callable[[], Result]) -> Result:
    try:
        return act()
    except (BadCredentialFile, Refused) as error:
        raise Problem(str(error)) from None
    except OSError as error:
        raise Problem(f"the credentials can't be changed: {error.strerror} ({error.filename})") from None


def _write_secret(path: Path, secret: str, undo: Callable[[], object]) -> None:
    """Into a new file that its owner alone may read; where that cannot be, nobody has the credential."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as out:  # noqa: PTH123 - by descriptor, so that it never is anybody else's to read
            out.write(secret + "\n")
    except OSError as error:
        _do(undo)
        raise Problem(f"{path} can't be written ({error.strerror}); nothing was made") from None


def _row(credential: Credential, now_us: int) -> dict[str, Any]:
    expires = (
        "never" if credential.expires_us is None else rfc3339(credential.expires_us // MICROSECONDS * MICROSECONDS)
    )
    return {
        "name": credential.name,
        "form": credential.form.value,
        "role": credential.role,
        "projects": ",".join(credential.projects) or "all",
        "created": rfc3339(credential.created_us // MICROSECONDS * MICROSECONDS),
        "expires": f"{expires} (over)" if credential.expired(now_us) else expires,
        "email": credential.email,
        "actors": ",".join(credential.actors),
        "google": credential.google,
    }


def _now_us() -> int:
    return time.time_ns() // 1000


def _who() -> str:
    """The user of the operating system, who cannot choose what stands here."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return f"trainyard tokens by {name}"
