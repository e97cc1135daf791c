"""The composition root's part for who a job's programs are: the run itself, its service account, or one of Google's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from trainyard.core.errors import Unavailable
from trainyard.core.runs import RunGroup
from trainyard.credentials import BadCredentialFile, Credential
from trainyard.kinds.field_effects import Runtime

KEY_FILE: Final = ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE")
"""What Google's client libraries and its command line read; a container gets the file that the first one names."""


def identity_of(email: str, find: Callable[[str], Credential | None], *, asked: bool) -> tuple[Credential | None, str]:
    """The account of a job's serviceAccount, and what people should know of it; `asked`: whether callers are.

    Raises Unavailable where that cannot be told, or where its real credentials are not there: a program must not start
    as somebody else.
    """
    if not email:
        return None, ""
    try:
        account = find(email)
    except BadCredentialFile as error:
        raise Unavailable(f"Nobody can tell who {email} is: {error}") from None
    if account is None and asked:
        return (
            None,
            f"The service account {email} has been revoked meanwhile, or its time is over; its tokens are refused.",
        )
    if account is None:
        return None, (
            f"The programs are {email} to this service, which does not know that account and lets everybody do "
            "everything (it runs without --auth)."
        )
    if not account.google:
        return account, ""
    if not Path(account.google).is_file():
        raise Unavailable(
            f"The real credentials of {email} are not there: {account.google}. Put them back, or revoke it."
        )
    return account, (
        f"The programs have the real Google credentials of {email}: gs:// is Google's own for their clients, and only "
        "/gcs and what the service itself writes are here."
    )


def of_google(account: Credential) -> Mapping[str, str]:
    """The variables that hand real credentials on."""
    return dict.fromkeys(KEY_FILE, account.google)


def told(group: RunGroup, sentence: str) -> RunGroup:
    """The group with one more sentence for its service log, whatever it runs in; itself where there is none."""
    if not sentence:
        return group
    return replace(group, remarks={name: (*group.remarks.get(name, ()), sentence) for name in Runtime})
