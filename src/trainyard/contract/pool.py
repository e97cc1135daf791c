"""The API's message classes, from a descriptor pool of our own, so that the official client may live beside them.

The default pool would refuse: both define google.cloud.aiplatform.v1.CustomJob. Loaded at the first use.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from google.protobuf import descriptor_pool, message_factory

if TYPE_CHECKING:
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import Message

API_PACKAGE = "google.cloud.aiplatform"
STORED_VERSION = "v1beta1"
"""The widest version: what v1 can say is in it with the same numbers; a test asserts it."""


@cache
def pool() -> DescriptorPool:
    """The pool of everything in vertex.binpb. Not the default pool."""
    private = descriptor_pool.DescriptorPool()
    for file in _files(files(__package__).joinpath("vertex.binpb").read_bytes()):
        private.AddSerializedFile(file)
    return private


@cache
def message_class(full_name: str) -> type[Message]:
    """The class of a message such as `google.cloud.aiplatform.v1.CustomJob`; KeyError where there is none."""
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(full_name))


def _files(descriptor_set: bytes) -> Iterator[bytes]:
    """The entries of a FileDescriptorSet, which is nothing but field 1 repeated.

    Cut by hand: importing descriptor_pb2 for it would cost more than all the rest.
    """
    at = 0
    while at < len(descriptor_set):
        at += 1  # the tag of field 1, length-delimited: 0x0A
        size = shift = 0
        while True:
            byte = descriptor_set[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        yield descriptor_set[at : at + size]
        at += size
