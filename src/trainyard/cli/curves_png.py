"""A job's metrics as a PNG, by matplotlib: the pictures of the HTML page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from trainyard.cli.curves import Curve, by_tag
from trainyard.cli.nas_html import colour
from trainyard.cli.problems import Problem

_COLUMNS: Final = 2
_CARD_INCHES: Final = (5.6, 2.9)
_DOTS_PER_INCH: Final = 130


def write(title: str, curves: Sequence[Curve], path: str) -> None:
    """Draw the file. Raises Problem where matplotlib is not installed, or where there is nothing to draw."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - half a second, and not a dependency of the service
    except ModuleNotFoundError as missing:
        raise Problem(
            f"a PNG is drawn by matplotlib, and {missing.name} is not installed here",
            ("install it:        pip install 'trainyard[plots]'", "or do without it:  --output=metrics.html"),
        ) from None
    pictures = by_tag([curve for curve in curves if curve.points])
    if not pictures:
        raise Problem("there is nothing to draw: no event file has a scalar yet, and no replica was sampled")
    runs = sorted({curve.run for curve in curves})
    lines = math.ceil(len(pictures) / _COLUMNS)
    figure = Figure(figsize=(_COLUMNS * _CARD_INCHES[0], 0.6 + lines * _CARD_INCHES[1]), layout="constrained")
    figure.suptitle(title.replace("$", r"\$"), x=0.01, ha="left", fontsize=11)
    for number, (tag, own) in enumerate(pictures.items(), 1):
        axes = figure.add_subplot(lines, _COLUMNS, number)
        for curve in own:
            steps, values = zip(*curve.points, strict=True)
            axes.plot(steps, values, color=colour(runs.index(curve.run)), linewidth=1.6, label=curve.run or "(top)")
        axes.set_title(tag.replace("$", r"\$"), loc="left", fontsize=9)
        axes.set_xlabel(own[0].unit, fontsize=8)
        axes.tick_params(labelsize=7.5)
        axes.grid(axis="y", color="#e2e4e9", linewidth=0.8)
        if any(runs):
            axes.legend(fontsize=7.5, frameon=False)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=_DOTS_PER_INCH, format="png")
