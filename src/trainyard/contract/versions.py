"""One stored version, every served one: what comes in is widened, what goes out is narrowed to the caller's version.

The versions of a message share their field numbers (a test asserts it), so the wire bytes of one are those of the
other; what the narrower one lacks is dropped on the way, in both directions.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import Any

from google.protobuf.message import Message

from trainyard.contract.pool import STORED_VERSION, message_class
from trainyard.contract.wire_page import WirePage

_VERSIONED = re.compile(r"(.*\bgoogle\.cloud\.aiplatform\.)(v1|v1beta1)(\..+)")
_CARRIERS = {"google.longrunning.Operation", "google.longrunning.ListOperationsResponse"}


def api_version(prefix: str) -> str:
    """The API version that a path prefix speaks: itself, or the stored one for `ui`, which only mixins answer to."""
    return STORED_VERSION if prefix == "ui" else prefix


def widen(message: Message) -> Any:
    """The same message in the stored version. Fields that its own version does not know are dropped, from both."""
    target = _in_version(message.DESCRIPTOR.full_name, STORED_VERSION)
    if target == message.DESCRIPTOR.full_name:
        return message
    message.DiscardUnknownFields()  # else a newer field in an older message would come to life by widening
    return message_class(target).FromString(message.SerializeToString())


def narrow(message: Message | WirePage, version: str) -> Any:
    """The same message in `version` (`v1`, `v1beta1`, or `ui` for the stored one).

    Messages without a version (operations, locations) are returned as they are, but for the contents of an operation's
    `metadata` and `response`: their types follow the version.
    """
    version = api_version(version)
    if isinstance(message, WirePage):
        return replace(message, full_name=_in_version(message.full_name, version))
    name = message.DESCRIPTOR.full_name
    if name in _CARRIERS:
        return _retyped(message, version)
    target = _in_version(name, version)
    return message if target == name else _converted(message, target)


@lru_cache(maxsize=256)
def _in_version(name: str, version: str) -> str:
    return _VERSIONED.sub(rf"\g<1>{version}\g<3>", name)


def _converted(message: Message, full_name: str) -> Message:
    result = message_class(full_name).FromString(message.SerializeToString())
    result.DiscardUnknownFields()
    return result


def _retyped(message: Any, version: str) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    for operation in copy.operations if hasattr(copy, "operations") else [copy]:
        for part in (operation.metadata, operation.response):
            target = _in_version(part.type_url, version)
            if target != part.type_url:
                content = message_class(part.type_url.rpartition("/")[2]).FromString(part.value)
                part.value = _converted(content, target.rpartition("/")[2]).SerializeToString()
                part.type_url = target
    return copy
