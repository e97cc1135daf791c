"""How rows are shown: as text for a terminal, as Markdown for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.harness import Row


def number(value: float) -> str:
    """Three significant digits, thousands apart, never in powers of ten."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def text(rows: Sequence[Row]) -> str:
    """One line a figure, and one below it for each peer."""
    lines = []
    for row in rows:
        goal = f"goal {row.goal}" if row.goal else ""
        note = f"  [{row.note}]" if row.note else ""
        lines.append(f"  {row.what:<62} {number(row.ours):>9} {row.unit:<7} {goal:<13} {row.verdict:<12}{note}")
        lines += [f"      {name:<58} {_peer_text(row, figure)}" for name, figure in row.peers.items()]
    return "\n".join(lines)


def _peer_text(row: Row, figure: float | str) -> str:
    if isinstance(figure, str):
        return f"        - {figure}"
    return f"{number(figure):>9} {row.unit:<7} {_ratio(row, figure)}"


def _ratio(row: Row, figure: float) -> str:
    better = row.times_better(figure)
    return f"ours is {better:.1f}× better" if better >= 1 else f"theirs is {1 / better:.1f}× better"


def markdown(rows: Sequence[Row]) -> str:
    """One table: what, ours, goal, verdict, peers."""
    lines = ["| what | ours | goal | | peers, same run |", "|---|---:|---:|---|---|"]
    for row in rows:
        peers = "<br>".join(f"{name} {_peer_cell(row, figure)}" for name, figure in row.peers.items())
        what = row.what + (f"<br><sub>{row.note}</sub>" if row.note else "")
        goal = f"{row.goal} {row.unit}" if row.goal else ""
        lines.append(f"| {what} | {number(row.ours)} {row.unit} | {goal} | {row.verdict} | {peers} |")
    return "\n".join(lines)


def _peer_cell(row: Row, figure: float | str) -> str:
    return figure if isinstance(figure, str) else f"{number(figure)} {row.unit} ({_ratio(row, figure)})"
