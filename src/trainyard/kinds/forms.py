"""The forms of names that a CustomJobSpec mentions but that are not ours: pattern and, for people, its shape.

Sources: the comments of google/cloud/aiplatform/v1/{custom_job,machine_resources,encryption_spec}.proto.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_PROJECT = r"[a-z0-9][a-z0-9.:-]*"
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"


class Form(NamedTuple):
    """A pattern for the machine and the same in words for people."""

    pattern: re.Pattern[str]
    shape: str


def _form(pattern: str, shape: str) -> Form:
    return Form(re.compile(pattern, re.ASCII), shape)


NETWORK: Final = _form(
    rf"projects/[0-9]+/global/networks/{_PART}",
    "projects/{project number}/global/networks/{network}",
)
TENSORBOARD: Final = _form(
    rf"projects/{_PROJECT}/locations/{_PART}/tensorboards/{_PART}",
    "projects/{project}/locations/{location}/tensorboards/{tensorboard}",
)
CONTEXT: Final = _form(
    rf"projects/{_PROJECT}/locations/{_PART}/metadataStores/{_PART}/contexts/{_PART}",
    "projects/{project}/locations/{location}/metadataStores/{store}/contexts/{context}",
)
KMS_KEY: Final = _form(
    rf"projects/{_PROJECT}/locations/{_PART}/keyRings/{_PART}/cryptoKeys/{_PART}",
    "projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}",
)
MODEL: Final = _form(
    rf"projects/{_PROJECT}/locations/{_PART}/models/{_PART}(?:@{_PART})?",
    "projects/{project}/locations/{location}/models/{model}[@{version}]",
)
NETWORK_ATTACHMENT: Final = _form(
    rf"(?:projects/{_PROJECT}/regions/{_PART}/networkAttachments/)?[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?",
    "projects/{project}/regions/{region}/networkAttachments/{attachment}, or the attachment's name",
)
RESERVATION: Final = _form(
    rf"projects/{_PROJECT}/zones/{_PART}/reservations/{_PART}",
    "projects/{project}/zones/{zone}/reservations/{reservation}",
)
RESOURCE_NAME: Final = _form(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?", "a lowercase letter, then letters, digits, dashes")
LOCATION: Final = _form(r"[a-z][a-z0-9-]{0,62}", "a location id such as us-central1")
PROJECT: Final = _form(_PROJECT, "a project id or number")
DOMAIN: Final = _form(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)+", "a DNS name that ends with a dot")
EMAIL: Final = _form(r"(?=.{3,254}\Z)[^@\s/]+@[^@\s/]+", "an e-mail address")
GCS_DIRECTORY: Final = _form(
    r"gs://[a-z0-9](?:[a-z0-9._-]{0,220}[a-z0-9])?(?:/[^\x00\r\n]*)?",
    "gs://{bucket}/{path}",
)
GCS_OBJECT: Final = _form(
    r"gs://[a-z0-9](?:[a-z0-9._-]{0,220}[a-z0-9])?/[^\x00\r\n]+",
    "gs://{bucket}/{object}",
)
C_IDENTIFIER: Final = _form(r"[A-Za-z_][A-Za-z0-9_]*", "a C identifier (letters, digits, underscores; no digit first)")
MODULE: Final = _form(
    r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*",
    "a Python module name such as trainer.task",
)
TPU_TOPOLOGY: Final = _form(r"[1-9][0-9]{0,3}x[1-9][0-9]{0,3}(?:x[1-9][0-9]{0,3})?", "a TPU topology such as 2x2x1")
GPU_PARTITION: Final = _form(r"[1-9]g\.[1-9][0-9]*gb", "a GPU partition such as 1g.10gb")
ABSOLUTE_PATH: Final = _form(r"/[^\x00\r\n]*", "an absolute path")
MOUNT_POINT: Final = _form(r"(?!\.\.?(?:/|$))[^/\x00\r\n]+", "one directory name")
DRIVER_VERSION: Final = _form(r"[0-9]+(?:\.[0-9]+){0,3}", "a driver version such as 550.54.14")
