"""What the command line says when it can't go on: one sentence on stderr and a documented exit code.

0  done (for `run`: the job succeeded)
1  refused by the service, or the job failed without an exit code of its own
2  the command line itself is wrong
3  no service answers
130  interrupted, or (for `run`) the job was cancelled
Anything else comes from `run`: the exit code of the user's own program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141  # 128 + SIGPIPE, as a shell reports a program that the signal ended


class Problem(Exception):
    """Why the command ends here: one sentence, further lines of detail, the exit code."""

    def __init__(self, sentence: str, details: Iterable[str] = (), exit_code: int = FAILED) -> None:
        """Keep what main() is to print and how it is to end."""
        super().__init__(sentence)
        self.sentence = sentence
        self.details = tuple(details)
        self.exit_code = exit_code


class Refused(Problem):
    """The service said no; `status` is the canonical name such as NOT_FOUND, empty where it gave none."""

    def __init__(
        self, sentence: str, details: Iterable[str] = (), status: str = "", info: Mapping[str, str] | None = None
    ) -> None:
        """Keep the canonical status beside the sentence, for callers who can go on from some of them.

        `info`: google.rpc.ErrorInfo's metadata, such as an SQL error's hint.
        """
        super().__init__(sentence, details)
        self.status = status
        self.info = dict(info or {})


class Unreachable(Problem):
    """No service answers; nothing was changed as far as we know."""

    def __init__(self, endpoint: str, why: str) -> None:
        """Say where nobody answered, and how to start somebody who does."""
        super().__init__(
            f"no service answers at {endpoint} ({why})",
            ("start one:        trainyard serve", "or ask another:   --endpoint URL, or TRAINYARD_ENDPOINT=URL"),
            UNREACHABLE,
        )


class Usage(Problem):
    """The command line itself is wrong."""

    def __init__(self, sentence: str, details: Iterable[str] = ()) -> None:
        """As a Problem that ends with exit code 2."""
        super().__init__(sentence, details, USAGE)
