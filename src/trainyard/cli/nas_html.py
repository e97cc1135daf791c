"""A picture of a search as one HTML file that needs nothing else: inline SVG, no script, light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Final, TypeAlias

from trainyard.cli.nas_picture import Picture, Row, Shares

# Okabe and Ito's colours, which the colour-blind can tell apart; further options repeat them, paler.
PALETTE: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#8c8c8c")
_WIDTH, _HEIGHT = 960, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 12, 40
_SMALL_WIDTH, _SMALL_HEIGHT = 280, 84

Scale: TypeAlias = Callable[[float], float]


def page(picture: Picture) -> str:
    """The whole file."""
    return _PAGE.format(
        title=escape(picture.title),
        state=escape(picture.state),
        facts=escape(picture.facts),
        rewards=rewards(picture),
        best=_table(picture),
        shares="\n".join(_card(shares) for shares in picture.shares)
        or "<p>No trial's architecture is known yet, or the search space is not at hand.</p>",
    )


def rewards(picture: Picture) -> str:
    """The reward of every trial, and the best so far."""
    last = max(2, picture.trials)

    def x(number: float) -> float:
        return _LEFT + (number - 1) / (last - 1) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        share = (min(max(value, picture.low), picture.high) - picture.low) / (picture.high - picture.low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    parts = [*_axes(picture, x, y, last)]
    floor = _HEIGHT - _BOTTOM
    parts += [
        f'<path class="infeasible" d="M{x(n):.1f} {floor - 9}v7"><title>trial {n}: infeasible</title></path>'
        for n in picture.infeasible
    ]
    for mark in picture.marks:
        where = f'cx="{x(mark.number):.1f}" cy="{y(mark.value):.1f}"'
        kind = "mark" if picture.low <= mark.value <= picture.high else "mark outlying"
        parts.append(f'<circle class="{kind}" {where} r="3"><title>{escape(mark.label)}</title></circle>')
    if picture.running:
        parts.append(f'<path class="running" d="{_steps(picture, x, y, last)}"/>')
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="rewards">{"".join(parts)}</svg>'


def _steps(picture: Picture, x: Scale, y: Scale, last: int) -> str:
    first, value = picture.running[0]
    path = [f"M{x(first):.1f} {y(value):.1f}"]
    for number, best in picture.running[1:]:
        if best != value:
            path.append(f"H{x(number):.1f}V{y(best):.1f}")
            value = best
    return "".join([*path, f"H{x(last):.1f}"])


def _axes(picture: Picture, x: Scale, y: Scale, last: int) -> Iterator[str]:
    floor = _HEIGHT - _BOTTOM
    for tick in ticks(picture.low, picture.high, 6):
        yield f'<path class="grid" d="M{_LEFT} {y(tick):.1f}H{_WIDTH - _RIGHT}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.6g}</text>'
    for tick in ticks(1, last, 10):
        if tick >= 1 and tick == int(tick):
            yield f'<text x="{x(tick):.1f}" y="{floor + 16}" text-anchor="middle">{tick:.0f}</text>'
    yield f'<path class="axis" d="M{_LEFT} {_TOP}V{floor}H{_WIDTH - _RIGHT}"/>'
    yield f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">trial</text>'
    middle = (_TOP + floor) / 2
    name = escape(picture.metric)
    yield f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{name}</text>'


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers between two ends: steps of 1, 2 or 5 times a power of ten, at most `most` of them."""
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    step = 10.0 ** math.floor(math.log10(span / most))
    step *= next(factor for factor in (1, 2, 5, 10, 20) if span / (step * factor) <= most)
    digits = max(0, -math.floor(math.log10(step)))
    first = math.ceil(low / step)
    return [round(n * step, digits) for n in range(first, first + most + 1) if n * step <= high]


def _card(shares: Shares) -> str:
    """One decision: its options as bands over the trials, the best trial's option in bold."""
    condition = f' <span class="condition">{escape(shares.condition)}</span>' if shares.condition else ""
    keys = "".join(
        f'<span class="key{" chosen" if option == shares.best else ""}">'
        f'<i style="background:{colour(option)}"></i>{escape(name)}</span>'
        for option, name in enumerate(shares.options)
    )
    return (
        f'<div class="card"><h3>{escape(shares.name)}{condition}</h3>'
        f'<svg viewBox="0 0 {_SMALL_WIDTH} {_SMALL_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="choices of {escape(shares.name)}"><rect class="closed" width="{_SMALL_WIDTH}" '
        f'height="{_SMALL_HEIGHT}"/>{"".join(_bands(shares))}</svg><div class="keys">{keys}</div></div>'
    )


def _bands(shares: Shares) -> Iterator[str]:
    first, last = shares.numbers[0], shares.numbers[-1]
    places = [(number - first) / max(1, last - first) * _SMALL_WIDTH for number in shares.numbers]
    columns: Sequence[Sequence[float]] = shares.columns
    if len(places) == 1:
        places, columns = [0.0, float(_SMALL_WIDTH)], [columns[0]] * 2
    below = [0.0] * len(places)
    for option, name in enumerate(shares.options):
        above = [base + column[option] for base, column in zip(below, columns, strict=True)]
        if above != below:
            up = " ".join(f"{x:.1f},{_SMALL_HEIGHT * (1 - y):.1f}" for x, y in zip(places, above, strict=True))
            down = [f"{x:.1f},{_SMALL_HEIGHT * (1 - y):.1f}" for x, y in zip(places, below, strict=True)]
            points = f"{up} {' '.join(reversed(down))}"
            end = f"{escape(name)}: {columns[-1][option]:.0%} at the end"
            yield f'<polygon points="{points}" fill="{colour(option)}"><title>{end}</title></polygon>'
        below = above


def colour(option: int) -> str:
    """An option's colour; from the ninth on the same ones, each round mixed with more white."""
    base = PALETTE[option % len(PALETTE)]
    white = 1 - 0.6 ** (option // len(PALETTE))
    parts = (int(base[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) * white):02x}" for part in parts)


def _table(picture: Picture) -> str:
    if not picture.best:
        return "<p>No trial has been measured yet.</p>"
    trained = any(row.trained is not None for row in picture.best)
    heads = ["trial", picture.metric, *(["trained"] if trained else []), "architecture"]
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    return f"<table><tr>{head}</tr>{''.join(_row(row, trained=trained) for row in picture.best)}</table>"


def _row(row: Row, *, trained: bool) -> str:
    value = "" if row.trained is None else f"{row.trained:.6g}"
    more = f"<td>{value}</td>" if trained else ""
    return (
        f"<tr><td>{row.number}</td><td>{row.value:.6g}</td>{more}<td><code>{escape(row.architecture)}</code></td></tr>"
    )


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
:root {{ color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --line: #e2e4e9; --paper: #fff; --best: #d55e00;
  --mark: #0072b2; --closed: #eceef1; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #edeef0; --soft: #a9adb5; --line: #33363c; --paper: #16181b;
  --mark: #56b4e9; --best: #f08c3a; --closed: #2a2d32; }} }}
body {{ margin: 2rem auto; max-width: 980px; padding: 0 1rem; color: var(--ink); background: var(--paper);
  font: 14px/1.45 system-ui, sans-serif; }}
h1 {{ font-size: 1.5rem; margin: 0; }} h2 {{ font-size: 1.05rem; margin: 2rem 0 .5rem; }}
.facts, p, .condition {{ color: var(--soft); }} .facts {{ margin: .2rem 0 1rem; }}
.state {{ font-size: .75rem; border: 1px solid var(--line); border-radius: 1em; padding: .15em .7em;
  vertical-align: middle; }}
svg {{ display: block; width: 100%; }} svg text {{ font: 11px system-ui, sans-serif; fill: var(--soft); }}
.grid {{ stroke: var(--line); fill: none; }} .axis {{ stroke: var(--soft); fill: none; }}
.mark {{ fill: var(--mark); fill-opacity: .55; }} .outlying {{ fill: none; stroke: var(--mark); }}
.infeasible {{ stroke: var(--soft); stroke-width: 1.5; }}
.running {{ stroke: var(--best); stroke-width: 2; fill: none; }}
.legend span {{ margin-right: 1.2em; color: var(--soft); white-space: nowrap; }}
.legend i {{ display: inline-block; margin-right: .4em; }}
table {{ border-collapse: collapse; width: 100%; }} th {{ text-align: left; color: var(--soft); font-weight: 500; }}
th, td {{ padding: .25em .8em .25em 0; border-bottom: 1px solid var(--line); vertical-align: top; }}
td {{ font-variant-numeric: tabular-nums; }} code {{ font: 12px ui-monospace, monospace; overflow-wrap: anywhere; }}
.cards {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); gap: 1.2rem; }}
.card h3 {{ font: 600 12px ui-monospace, monospace; margin: 0 0 .3rem; overflow-wrap: anywhere; }}
.card svg {{ height: 84px; border-radius: 4px; }} .closed {{ fill: var(--closed); }}
.condition {{ font-weight: 400; font-family: system-ui, sans-serif; }}
.keys {{ margin-top: .35rem; }} .key {{ font-size: 12px; margin-right: .9em; white-space: nowrap; color: var(--soft); }}
.key i {{ display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .35em; }}
.chosen {{ color: var(--ink); font-weight: 650; }}
</style></head><body>
<h1>{title} <span class="state">{state}</span></h1><p class="facts">{facts}</p>
{rewards}
<p class="legend"><span><i style="color:var(--mark)">●</i>a trial</span><span><i style="color:var(--mark)">○</i>beyond
the scale</span><span><i style="color:var(--best)">━</i>best so far</span><span><i>│</i>infeasible</span></p>
<h2>Best architectures</h2>
{best}
<h2>What was chosen, over the trials</h2>
<p>The height of a colour is the share of an option among the trials around; grey was not asked. Bold: the best
trial's.</p>
<div class="cards">
{shares}
</div></body></html>
"""
