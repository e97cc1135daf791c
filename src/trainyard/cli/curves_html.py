"""A job's metrics as one HTML file that needs nothing else: inline SVG, no script, light and dark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from trainyard.cli.curves import Curve, by_tag, span
from trainyard.cli.nas_html import colour, ticks

_WIDTH, _HEIGHT = 460, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 10, 10, 30


def page(title: str, state: str, source: str, curves: Sequence[Curve]) -> str:
    """The whole file."""
    runs = sorted({curve.run for curve in curves})
    cards = "\n".join(_card(tag, own, runs) for tag, own in by_tag(curves).items())
    return _PAGE.format(
        title=escape(title),
        state=escape(state),
        source=escape(source),
        legend="".join(_key(run, number) for number, run in enumerate(runs)) if any(runs) else "",
        cards=cards or f"<p>There are no event files with scalars in {escape(source)} yet.</p>",
    )


def _key(run: str, number: int) -> str:
    return f'<span><i style="background:{colour(number)}"></i>{escape(run or "(top)")}</span>'


def _card(tag: str, curves: Sequence[Curve], runs: Sequence[str]) -> str:
    lost = sum(curve.lost for curve in curves)
    note = f' <span class="lost">{lost} values are not finite</span>' if lost else ""
    drawn = [curve for curve in curves if curve.points]
    body = "".join(_drawing(drawn, runs)) if drawn else ""
    label = escape(tag)
    return (
        f'<div class="card"><h2>{label}{note}</h2><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{label}">{body}</svg></div>'
    )


def _drawing(curves: Sequence[Curve], runs: Sequence[str]) -> Iterator[str]:
    first, last = span([step for curve in curves for step, _ in curve.points])
    low, high = span([value for curve in curves for _, value in curve.points])
    floor, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT

    def x(step: float) -> float:
        return _LEFT + (step - first) / (last - first) * (right - _LEFT)

    def y(value: float) -> float:
        return floor - (value - low) / (high - low) * (floor - _TOP)

    for tick in ticks(low, high, 5):
        yield f'<path class="grid" d="M{_LEFT} {y(tick):.1f}H{right}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.5g}</text>'
    for tick in ticks(first, last, 6):
        yield f'<text x="{x(tick):.1f}" y="{floor + 16}" text-anchor="middle">{tick:.6g}</text>'
    yield f'<path class="axis" d="M{_LEFT} {_TOP}V{floor}H{right}"/>'
    for curve in curves:
        paint = colour(runs.index(curve.run))
        newest = curve.points[-1]
        way = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in curve.points)
        yield f'<polyline class="curve" stroke="{paint}" points="{way}"/>'
        about = escape(f"{curve.run} {curve.unit} {newest[0]}: {newest[1]:.6g}".strip())
        place = f'cx="{x(newest[0]):.1f}" cy="{y(newest[1]):.1f}"'
        yield f'<circle {place} r="3.5" fill="{paint}"><title>{about}</title></circle>'


_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
:root {{ color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --line: #e2e4e9; --paper: #fff; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #edeef0; --soft: #a9adb5; --line: #33363c;
  --paper: #16181b; }} }}
body {{ margin: 2rem auto; max-width: 1000px; padding: 0 1rem; color: var(--ink); background: var(--paper);
  font: 14px/1.45 system-ui, sans-serif; }}
h1 {{ font-size: 1.5rem; margin: 0; }} h2 {{ font: 600 13px ui-monospace, monospace; margin: 0 0 .3rem; }}
p, .lost {{ color: var(--soft); }} p {{ margin: .2rem 0 1.2rem; }} .lost {{ font-weight: 400; }}
.state {{ font-size: .75rem; border: 1px solid var(--line); border-radius: 1em; padding: .15em .7em;
  vertical-align: middle; }}
.legend span {{ margin-right: 1.2em; }} .legend i {{ display: inline-block; width: .8em; height: .8em;
  border-radius: 2px; margin-right: .4em; }}
.cards {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(400px, 1fr)); gap: 1.6rem; }}
svg {{ display: block; width: 100%; }} svg text {{ font: 11px system-ui, sans-serif; fill: var(--soft); }}
.grid {{ stroke: var(--line); fill: none; }} .axis {{ stroke: var(--soft); fill: none; }}
.curve {{ fill: none; stroke-width: 1.8; stroke-linejoin: round; }}
</style></head><body>
<h1>{title} <span class="state">{state}</span></h1><p>{source}</p>
<p class="legend">{legend}</p>
<div class="cards">
{cards}
</div></body></html>
"""
