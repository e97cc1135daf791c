"""What is wrong right now, one sentence a cause, gone as soon as the cause is."""

from __future__ import annotations

import logging

LOG = logging.getLogger("trainyard.control")
EXECUTOR = "executor"


class Problems:
    """Logged when they come and when they go, not at each repetition."""

    def __init__(self) -> None:
        self._sentences: dict[str, str] = {}

    def report(self, cause: str, sentence: str, error: BaseException | None = None) -> None:
        """Something does not work. `error` is given for defects of ours, whose traceback belongs into the log."""
        if self._sentences.get(cause) != sentence:
            LOG.warning("%s", sentence, exc_info=error)
        self._sentences[cause] = sentence

    def clear(self, cause: str) -> None:
        """It works again."""
        if self._sentences.pop(cause, None) is not None:
            LOG.info("%s: works again.", cause)

    def sentences(self) -> tuple[str, ...]:
        """All of them, in the order in which they came."""
        return tuple(self._sentences.values())
