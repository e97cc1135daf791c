"""Every rule of a CustomJob, all broken ones reported at once.

Sources: the proto comments of CustomJob; labels as the service words and enforces them (at most 64; keys shorter than
64 characters and 128 bytes, starting with a letter or digit; values shorter than 64 characters).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from trainyard.core.errors import FieldViolation
from trainyard.kinds import forms
from trainyard.kinds.faults import REQUIRED, Faults, shortened
from trainyard.kinds.machines import Machines
from trainyard.kinds.spec_rules import check_spec

LONGEST_DISPLAY_NAME = 128
MOST_LABELS = 64
LONGEST_LABEL_TEXT = 63
LONGEST_LABEL_KEY_BYTES = 127
RESERVED_LABEL_PREFIX = "aiplatform.googleapis.com/"
OUTPUT_ONLY = (
    "name",
    "state",
    "create_time",
    "start_time",
    "end_time",
    "update_time",
    "error",
    "web_access_uris",
    "satisfies_pzs",
    "satisfies_pzi",
)
# Letters that have no case are fine ("international letters"); capitals are not.
_LOWER_OR_CASELESS = frozenset({"Ll", "Lo", "Lm", "Mn", "Mc"})


def check(message: Any, machines: Machines, further: Iterable[FieldViolation] = ()) -> None:
    """Raises InvalidArgument naming every fault of a CustomJob (a message of the stored API version).

    `further` are faults that somebody else has found in it already.
    """
    faults = Faults()
    _check_display_name(message.display_name, faults)
    if message.HasField("job_spec"):
        check_spec(message.job_spec, faults.under("job_spec"), machines)
    else:
        faults.add("job_spec", REQUIRED)
    check_labels(message.labels, faults)
    if message.HasField("encryption_spec"):
        place = faults.under("encryption_spec")
        if place.required("kms_key_name", message.encryption_spec.kms_key_name):
            place.matches("kms_key_name", message.encryption_spec.kms_key_name, *forms.KMS_KEY)
    for violation in further:
        faults.add(violation.field, violation.description)
    faults.raise_if_any()


def without_output(message: Any) -> Any:
    """A copy without the fields that only the service sets; what a client sends in them is ignored (AIP-203).

    Fields that no version here knows (a newer client's, over gRPC) go too: nobody could check or honour them.
    """
    copy = type(message)()
    copy.CopyFrom(message)
    for name in OUTPUT_ONLY:
        copy.ClearField(name)
    copy.DiscardUnknownFields()
    return copy


def _check_display_name(display_name: str, faults: Faults) -> None:
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
