"""The live tests of searches start their servers as the edge tests do, and ask as they ask."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "edges"))
