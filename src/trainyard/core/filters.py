"""List filters in AIP-160's grammar: text to tree, and the tree as a predicate over a job."""
# Owner: the store helper. `Filter` is the root of the tree.
from __future__ import annotations

from typing import Any

Filter = Any
