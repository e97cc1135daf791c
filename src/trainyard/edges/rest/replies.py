"""How an answer is written: the system parameters that shape it, applied to any message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from trainyard.contract.codec import render, render_bytes, write_json
from trainyard.contract.masks import BadMask, Mask, mask_for
from trainyard.contract.operations import versioned
from trainyard.contract.pool import message_class
from trainyard.contract.system_parameters import SystemParameters
from trainyard.contract.transcoding import Match
from trainyard.contract.versions import api_version
from trainyard.contract.wire_page import opened
from trainyard.core.errors import FieldViolation, InvalidArgument
from trainyard.edges.rest.exchange import JSON

PROTO: Final = b"application/x-protobuf"


@dataclass(frozen=True, slots=True)
class ReplyStyle:
    """What the caller asked for. `mask` None is everything."""

    asked: SystemParameters
    mask: Mask | None

    @classmethod
    def of(cls, asked: SystemParameters, match: Match) -> ReplyStyle:
        """Read the field mask, before anything is done for the caller; raises InvalidArgument."""
        if not asked.fields:
            return cls(asked, None)
        try:
            return cls(
                asked,
                mask_for(asked.fields, message_class(versioned(match.operation.response, api_version(match.version)))),
            )
        except BadMask as bad:
            raise InvalidArgument(str(bad), [FieldViolation("fields", str(bad))]) from None

    def write(self, answer: Any) -> tuple[bytes, bytes]:
        """Body and content type of an answer, which is a message or a WirePage."""
        if self.asked.alt == "proto":
            message = opened(answer)
            wanted = message if self.mask is None else self.mask.of_message(message)
            return wanted.SerializeToString(), PROTO
        if self.mask is None:
            return render_bytes(answer, self.asked.enums_as_ints, self.asked.pretty), JSON
        value = self.mask.of_json(render(opened(answer), self.asked.enums_as_ints))
        return write_json(value, self.asked.pretty), JSON
