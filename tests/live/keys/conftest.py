"""The live tests of keys start their servers as the edge tests do, with the token of the rings' tests."""

from __future__ import annotations

import sys
from pathlib import Path

for _folder in ("edges", "seams", "live/keys"):
    sys.path.insert(0, str(Path(__file__).parents[2] / _folder))
