"""Keepers of the promises of encryption at rest: the rings by name, each imported only where it is used."""

from typing import Final

BUILT_IN: Final = {"local": "trainyard.keyrings.local.ring"}
