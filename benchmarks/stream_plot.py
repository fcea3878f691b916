"""Two small charts as SVG, written by hand: time against the floor, and memory over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT = 860, 330
LONG = 1000
"""Rows from which on memory over time is worth a line."""
INK, GRID, FLOOR, OURS = "#24292f", "#d0d7de", "#9aa4af", "#0969da"


def figure(document: Mapping[str, Any]) -> str:
    """The SVG of a result document of `generation_stream`."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *_ratios([case for case in document["cases"] if case.get("ratio")], 20, 20, 400, 290),
        *_memory([case for case in document["cases"] if case["rows"] >= LONG], 470, 20, 370, 290),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _ratios(cases: Sequence[Mapping[str, Any]], x: float, y: float, width: float, height: float) -> list[str]:
    """Pairs of bars: seconds of the floor and of labtune, with their ratio."""
    parts = [_text(x, y + 12, "Seconds: bare aiohttp (grey), labtune (blue)", weight="bold")]
    row = (height - 30) / max(1, len(cases))
    for number, case in enumerate(cases):
        top = y + 30 + number * row
        longest = max(case["floor_s"], case["labtune_s"])
        label = f"{case['rows']:,} rows, {case['slots']:,} slots, {case['latency_ms']:g} ms"
        label += f" (log-normal, sigma {case['sigma']:g})" if case["sigma"] else " (fixed)"
        parts.append(_text(x, top + 12, label))
        for place, (seconds, colour) in enumerate(((case["floor_s"], FLOOR), (case["labtune_s"], OURS))):
            bar = (width - 130) * seconds / longest
            at = top + 18 + place * 17
            parts.append(f'<rect x="{x}" y="{at}" width="{bar:.1f}" height="13" fill="{colour}"/>')
            shown = f"{seconds:.2f}" + (f"  = {case['ratio']:.3f}x" if place else "")
            parts.append(_text(x + bar + 6, at + 11, shown))
    return parts


def _memory(cases: Sequence[Mapping[str, Any]], x: float, y: float, width: float, height: float) -> list[str]:
    """Resident memory over the share of rows done, one line for each case."""
    parts = [_text(x, y + 12, "Resident memory of the client, MiB, over rows done", weight="bold")]
    left, top, right, bottom = x + 30, y + 30, x + width - 10, y + height - 40
    highest = max([120.0, *(sample[2] for case in cases for sample in case["labtune"][0]["memory"])])
    for value in range(0, int(highest) + 1, 20):
        at = bottom - (bottom - top) * value / highest
        parts.append(f'<line x1="{left}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}" stroke="{GRID}"/>')
        parts.append(_text(left - 6, at + 4, str(value), anchor="end"))
    for number, case in enumerate(cases):
        colour = (OURS, "#1a7f37", "#bf3989", "#9a6700")[number % 4]
        samples = _thinned(case["labtune"][0]["memory"], 160)
        points = " ".join(
            f"{left + (right - left) * rows / case['rows']:.1f},{bottom - (bottom - top) * mib / highest:.1f}"
            for _, rows, mib in samples
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        at = bottom + 16 + 14 * (number // 2)
        parts.append(
            _text(left + (number % 2) * 170, at, f"{case['rows']:,} rows, {case['slots']:,} slots", colour)
        )
    return parts


def _thinned(samples: Sequence[Any], most: int) -> Sequence[Any]:
    step = max(1, len(samples) // most)
    return [*samples[::step], samples[-1]]


def _text(
    x: float, y: float, text: str, colour: str = INK, *, anchor: str = "start", weight: str = "normal"
) -> str:
    style = f'fill="{colour}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{text}</text>'
