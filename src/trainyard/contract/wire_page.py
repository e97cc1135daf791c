"""A page of resources that nobody has opened: who writes it out as text needs no messages of it in between."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from trainyard.contract.pool import API_PACKAGE, message_class

_PAGE = re.compile(rf"{re.escape(API_PACKAGE)}\.\w+\.List\w+Response")


@dataclass(frozen=True, slots=True)
class WirePage:
    """A List…Response of the type `full_name`.

    `wires` are its resources in wire bytes of the stored version, which may have fields that the type does not know.
    """

    full_name: str
    wires: tuple[bytes, ...]
    next_page_token: str

    @classmethod
    def of(cls, message: Any) -> WirePage | None:
        """The page that a message is; None for one that is none."""
        items = items_of(message.DESCRIPTOR.full_name)
        if items is None:
            return None
        wires = tuple(one.SerializeToString(deterministic=True) for one in getattr(message, items.name))
        return cls(message.DESCRIPTOR.full_name, wires, message.next_page_token)

    def message(self) -> Any:
        """The same as a message, without the fields that its type does not know."""
        page: Any = message_class(self.full_name)(next_page_token=self.next_page_token)
        add = getattr(page, items_of(self.full_name).name).add
        for wire in self.wires:
            add().MergeFromString(wire)
        page.DiscardUnknownFields()
        return page


def opened(answer: Any) -> Any:
    """The message of an answer that may still be a page in wire bytes."""
    return answer.message() if isinstance(answer, WirePage) else answer


@cache
def items_of(full_name: str) -> Any:
    """The field that the resources of such an answer are in, None where it is no page; one more is for the token."""
    if not _PAGE.fullmatch(full_name):
        return None
    return next(field for field in message_class(full_name).DESCRIPTOR.fields if field.is_repeated)
