"""The live tests speak the words of the executor's suite."""

from __future__ import annotations

import sys
from pathlib import Path

for _folder in ("seams", "live/local"):
    sys.path.insert(0, str(Path(__file__).parents[2] / _folder))
