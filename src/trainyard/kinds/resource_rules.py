"""The rules of what every resource has: its display name, its labels and its key.

Sources: the proto comments; labels as the service words and enforces them (at most 64; keys shorter than 64 characters
and 128 bytes, starting with a letter or digit; values shorter than 64 characters).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from trainyard.kinds import forms
from trainyard.kinds.faults import Faults, shortened

LONGEST_DISPLAY_NAME = 128
MOST_LABELS = 64
LONGEST_LABEL_TEXT = 63
LONGEST_LABEL_KEY_BYTES = 127
RESERVED_LABEL_PREFIX = "aiplatform.googleapis.com/"
# Letters that have no case are fine ("international letters"); capitals are not.
_LOWER_OR_CASELESS = frozenset({"Ll", "Lo", "Lm", "Mn", "Mc"})


def without_output(message: Any, output_only: Iterable[str]) -> Any:
    """A copy without the fields that only the service sets; what a client sends in them is ignored (AIP-203).

    Fields that no version here knows (a newer client's, over gRPC) go too: nobody could check or honour them.
    """
    copy = type(message)()
    copy.CopyFrom(message)
    for name in output_only:
        copy.ClearField(name)
    copy.DiscardUnknownFields()
    return copy


def check_encryption(message: Any, faults: Faults) -> None:
    """The key's name, where one is given."""
    if message.HasField("encryption_spec"):
        place = faults.under("encryption_spec")
        if place.required("kms_key_name", message.encryption_spec.kms_key_name):
            place.matches("kms_key_name", message.encryption_spec.kms_key_name, *forms.KMS_KEY)


def check_display_name(display_name: str, faults: Faults) -> None:
    """Required, and at most LONGEST_DISPLAY_NAME characters."""
    if faults.required("display_name", display_name) and len(display_name) > LONGEST_DISPLAY_NAME:
        faults.add(
            "display_name",
            f"The display name can have no more than {LONGEST_DISPLAY_NAME} characters; it has {len(display_name)}.",
        )


def check_labels(labels: Any, faults: Faults) -> None:
    """The rules of a resource's labels."""
    if len(labels) > MOST_LABELS:
        faults.add(
            "labels",
            f"There can be no more than {MOST_LABELS} labels attached to a single resource; found {len(labels)}.",
        )
    for key in sorted(labels):
        fault = _key_fault(key) or _value_fault(key, labels[key])
        if fault:
            faults.add("labels", fault)


def _key_fault(key: str) -> str:
    quoted = repr(shortened(key))
    if not key:
        return "A label key must not be empty."
    if key.startswith(RESERVED_LABEL_PREFIX):
        return f"The label key {quoted} is reserved; keys that begin with {RESERVED_LABEL_PREFIX} are the service's."
    if len(key) > LONGEST_LABEL_TEXT or len(key.encode()) > LONGEST_LABEL_KEY_BYTES:
        return f"The label key {quoted} must be less than 64 characters and less than 128 bytes in UTF-8."
    if not all(_is_label_character(character) for character in key):
        return f"The label key {quoted} can only contain lowercase letters, digits, dashes and underscores."
    if not _is_letter_or_digit(key[0]):
        return f"The label key {quoted} must start with a letter or a digit."
    return ""


def _value_fault(key: str, value: str) -> str:
    if len(value) > LONGEST_LABEL_TEXT:
        return f"The value of the label {key!r} must be less than 64 characters."
    if not all(_is_label_character(character) for character in value):
        return f"The value of the label {key!r} can only contain lowercase letters, digits, dashes and underscores."
    return ""


def _is_label_character(character: str) -> bool:
    return character in "-_" or _is_letter_or_digit(character) or unicodedata.category(character) in _LOWER_OR_CASELESS


def _is_letter_or_digit(character: str) -> bool:
    category = unicodedata.category(character)
    return category in {"Ll", "Lo", "Nd"}
