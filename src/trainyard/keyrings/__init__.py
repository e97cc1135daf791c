"""Keepers of the promises of encryption at rest: the rings by name, each imported only where it is used."""

from typing import Final

BUILT_IN: Final = {"local": "trainyard.keyrings.local.ring", "pkcs11": "trainyard.keyrings.pkcs11.ring"}
FILES: Final = {"local": "ring.db", "pkcs11": "pkcs11.db"}
"""What each knows of its keys, in the directory of the keys."""
