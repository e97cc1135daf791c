"""A picture of a search as a PNG, by matplotlib; it shows what the HTML page shows, without the words on each trial."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from trainyard.cli.nas_html import colour
from trainyard.cli.nas_picture import Picture, Shares
from trainyard.cli.problems import Problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS: Final = 3
_MOST_IN_A_COLUMN: Final = 6  # names of options beside their card
_DOTS_PER_INCH: Final = 130
_REWARD_INCHES, _CARD_INCHES = 3.6, 1.55
_MARK, _BEST, _SOFT, _CLOSED = "#0072b2", "#d55e00", "#60646c", "#eceef1"


def write(picture: Picture, path: str) -> None:
    """Draw the file. Raises Problem where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - half a second, and not a dependency of the service
    except ModuleNotFoundError as missing:
        raise Problem(
            f"a PNG is drawn by matplotlib, and {missing.name} is not installed here",
            ("install it:        pip install 'trainyard[plots]'", "or do without it:  --output=search.html"),
        ) from None
    lines = math.ceil(len(picture.shares) / _COLUMNS)
    figure = Figure(figsize=(11, _REWARD_INCHES + 0.7 + _CARD_INCHES * lines), layout="constrained")
    heights = [_REWARD_INCHES, *[_CARD_INCHES] * lines]
    grid = figure.add_gridspec(1 + lines, _COLUMNS, height_ratios=heights)
    _rewards(figure.add_subplot(grid[0, :]), picture)
    for number, shares in enumerate(picture.shares):
        _card(figure.add_subplot(grid[1 + number // _COLUMNS, number % _COLUMNS]), shares)
    _title(figure, picture)
    figure.savefig(path, dpi=_DOTS_PER_INCH, format="png")


def _title(figure: Figure, picture: Picture) -> None:
    text = f"{picture.title}  ({picture.state.lower()})\n{picture.facts}"
    figure.suptitle(_plain(text), x=0.01, ha="left", fontsize=11)


def _rewards(axes: Axes, picture: Picture) -> None:
    last = max(2, picture.trials)
    spread = picture.high - picture.low
    for inside, look in ((True, {"color": _MARK, "alpha": 0.55}), (False, {"facecolor": "none", "edgecolor": _MARK})):
        some = [mark for mark in picture.marks if (picture.low <= mark.value <= picture.high) is inside]
        if some:
            heights = [min(max(mark.value, picture.low), picture.high) for mark in some]
            style: dict[str, Any] = {"s": 16, "linewidths": 0.8, "clip_on": False, **look}
            style["label"] = "a trial" if inside else "beyond the scale"
            axes.scatter([mark.number for mark in some], heights, **style)
    if picture.infeasible:
        low = [picture.low + 0.03 * spread] * len(picture.infeasible)
        axes.plot(picture.infeasible, low, "|", color=_SOFT, markersize=8, label="infeasible")
    if picture.running:
        xs = [*(number for number, _ in picture.running), last]
        ys = [*(value for _, value in picture.running), picture.running[-1][1]]
        axes.step(xs, ys, where="post", color=_BEST, linewidth=1.8, label="best so far")
    axes.set(xlim=(0.5, last + 0.5), ylim=(picture.low, picture.high), xlabel="trial", ylabel=_plain(picture.metric))
    axes.locator_params(axis="x", integer=True)
    axes.grid(axis="y", color="#e2e4e9", linewidth=0.8)
    axes.set_axisbelow(True)
    if picture.marks or picture.infeasible:
        axes.legend(loc="upper right" if picture.goal == "minimise" else "lower right", fontsize=8, framealpha=0.9)
    _bare(axes)


def _card(axes: Axes, shares: Shares) -> None:
    numbers, columns = list(shares.numbers), [list(column) for column in shares.columns]
    if len(numbers) == 1:
        numbers, columns = [numbers[0], numbers[0] + 1], columns * 2
    colours = [colour(option) for option in range(len(shares.options))]
    axes.stackplot(numbers, list(zip(*columns, strict=True)), colors=colours, linewidth=0)
    axes.set(xlim=(numbers[0], numbers[-1]), ylim=(0, 1), yticks=[], facecolor=_CLOSED)
    axes.set_title(_plain(f"{shares.name}  {shares.condition}".strip()), loc="left", fontsize=7.5, pad=3)
    axes.tick_params(labelsize=6.5)
    _legend(axes, shares, colours)
    _bare(axes)


def _legend(axes: Axes, shares: Shares, colours: list[str]) -> None:
    from matplotlib.patches import Patch  # noqa: PLC0415 - see write

    patches = [
        Patch(color=colours[option], label=_plain(name) + (" ●" if option == shares.best else ""))
        for option, name in enumerate(shares.options)
    ]
    axes.legend(
        handles=patches,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.06),
        ncols=math.ceil(len(patches) / _MOST_IN_A_COLUMN),
        columnspacing=0.6,
        fontsize=6.5,
        frameon=False,
        handlelength=0.9,
    )


def _bare(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _plain(text: str) -> str:
    """A text in which `$` begins no formula."""
    return text.replace("$", r"\$")
