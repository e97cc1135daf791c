"""A prebuilt training image's URI says what is in it: framework, version and Python, by the rules in the table beside.

The table (prebuilt_images.json) is data: the pattern of the URIs, and for each family the framework's package on a
machine without (`cpu`) and with (`gpu`, where it differs) GPUs, what comes along (`also`, `everywhere`), and the
version from which on it can live with NumPy 2 (`numpy_1_before`). Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to install in place of an image.

    `exact` are requirement lines with the image's own versions (none: nothing but Python); `newest` the same without
    versions, for machines where those do not exist (empty: there is no second choice). `python` is the image's, such
    as 3.10, or empty where the URI does not say. `torch`: whether packages of the PyTorch family are among them.
    `says`: a clause for people.
    """

    exact: tuple[str, ...]
    newest: tuple[str, ...] = ()
    framework: str = ""
    version: str = ""
    python: str = ""
    torch: bool = False
    says: str = ""


def recipe_of(image_uri: str, overrides: Mapping[str, Sequence[str]], *, gpus: bool) -> Recipe | None:
    """What stands for `image_uri` here; None where it is not a prebuilt image and no override names it.

    `overrides` maps an image URI, with or without its tag, to requirement lines; none are Python and nothing else.
    """
    lines = overrides.get(image_uri, overrides.get(_untagged(image_uri)))
    if lines is not None:
        return Recipe(tuple(lines), torch=any(line.startswith("torch") for line in lines))
    match = _pattern().fullmatch(image_uri)
    family = _table()["families"].get(match["family"]) if match else None
    if match is None or family is None:
        return None
    names = family.get("gpu" if gpus else "cpu", family["cpu"])
    version = f"{match['major']}.{match['minor']}"
    old = [int(match["major"]), int(match["minor"])] < family.get("numpy_1_before", [0])
    along = (*family.get("also", ()), *_table()["everywhere"])
    return Recipe(
        exact=(*(f"{name}=={version}.*" for name in names), *along, *(("numpy<2",) if old else ())),
        newest=(*names, *along),
        framework=names[0].partition("[")[0],
        version=version,
        python=_python(match["python"]),
        torch=family.get("torch", False),
        says=family.get("says", ""),
    )


def read_overrides(path: str) -> dict[str, list[str]]:
    """Requirement lines by image URI, from a JSON file; none without a `path`. Raises ValueError with a sentence."""
    if not path:
        return {}
    try:
        said = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"prebuilt_images names {path}, which can't be read as JSON: {error}.") from None
    lines_of_each = said.values() if isinstance(said, dict) else [None]
    if not all(isinstance(lines, list) and all(isinstance(line, str) for line in lines) for lines in lines_of_each):
        raise ValueError(f'{path} must map image URIs to lists of requirement lines: {{"IMAGE": ["torch==2.4"]}}.')
    return dict(said)


def _python(digits: str | None) -> str:
    """`310` is Python 3.10."""
    return f"{digits[0]}.{digits[1:]}" if digits else ""


def _untagged(image_uri: str) -> str:
    head, slash, last = image_uri.rpartition("/")
    return head + slash + last.partition("@")[0].partition(":")[0]


@cache
def _table() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(files(__package__).joinpath("prebuilt_images.json").read_text("utf-8"))
    return loaded


@cache
def _pattern() -> re.Pattern[str]:
    return re.compile(str(_table()["uri"]))
