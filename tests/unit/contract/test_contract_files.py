"""vertex.binpb and book.json against what they were built from and against the official client."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainyard.contract.operations import messages, versioned
from trainyard.contract.pool import message_class

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.clients
def test_the_contract_is_what_the_packages_give() -> None:
    """Built again from the pinned packages (one is npm's, so this needs a registry), it is the same byte for byte."""
    built = subprocess.run(
        [sys.executable, ROOT / "tools" / "build_contract.py", "--check"], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr


@pytest.mark.clients
@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_every_field_is_that_of_the_official_client(version: str) -> None:
    """Numbers, types, labels, presence, oneofs and enum values of every message; and both live in one process."""
    theirs = __import__(f"google.cloud.aiplatform_{version}", fromlist=["types"]).types
    compared = 0
    for name in (name for name in messages() if "{v}" in name):
        ours: Any = message_class(versioned(name, version)).DESCRIPTOR
        official: Any = theirs
        for part in ours.full_name.split(".")[4:]:
            official = getattr(official, part)
        descriptor = official.pb(official()).DESCRIPTOR
        assert dict(told(ours)) == dict(told(descriptor)), name
        compared += len(ours.fields)
    assert compared > 150


def told(descriptor: Any) -> Iterator[tuple[str, Any]]:
    for field in descriptor.fields:
        inner = field.message_type or field.enum_type
        values = field.enum_type and sorted((value.number, value.name) for value in field.enum_type.values)
        yield field.name, (
            field.number, field.type, field.is_repeated, field.has_presence, field.json_name,
            field.containing_oneof and field.containing_oneof.name, inner and inner.full_name, values,
        )  # fmt: skip


def test_the_contract_loads_fast_and_late() -> None:
    """The operation book needs the standard library only: the CLI starts without protobuf."""
    code = "import sys, trainyard.contract.operations as o; o.operations(); sys.exit('google.protobuf' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_maps_are_from_text_to_text() -> None:
    """The codec builds on it; a contract with another kind of map must come with the code that reads it."""
    for name in messages():
        for field in message_class(versioned(name, "v1beta1")).DESCRIPTOR.fields:
            entry: Any = field.message_type
            if entry is not None and entry.GetOptions().map_entry:
                assert [part.type for part in entry.fields] == [field.TYPE_STRING] * 2 or name.endswith(".Struct"), name


def test_every_field_of_the_api_is_documented() -> None:
    """The CLI's help, SQL's DESCRIBE and the docs read their sentences here."""
    silent = [f"{name}.{field.name}" for name, message in messages().items() for field in message.fields
              if "aiplatform" in name and not field.doc]  # fmt: skip
    assert silent == []
