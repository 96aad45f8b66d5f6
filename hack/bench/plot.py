"""Bars as SVG, readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_ROW, _LEFT, _WIDTH, _RIGHT, _TOP = 26, 450, 320, 80, 48
_GOOD, _BAD, _PLAIN, _AIM = "#2e8b57", "#c0562f", "#4a7fb5", "#888888"


@dataclass(frozen=True)
class Bar:
    """aim is drawn as a mark; a value beyond it has another colour."""

    name: str
    value: float
    aim: float | None


def bars(title: str, shown: Sequence[Bar], *, unit: str) -> str:
    """A bar longer than three times the largest aim is cut, and says its value all the same."""
    most = _most(shown)
    height = _TOP + _ROW * len(shown) + 12
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + _RIGHT} {height}" '
        'font-family="sans-serif" font-size="12">',
        "<style>text { fill: #333 } @media (prefers-color-scheme: dark) { text { fill: #ddd } }</style>",
        f'<text x="8" y="24" font-size="15">{escape(title)}</text>',
    ]
    for number, bar in enumerate(shown):
        lines += _drawn(bar, _TOP + _ROW * number, most, unit)
    return "\n".join([*lines, "</svg>", ""])


def _most(shown: Sequence[Bar]) -> float:
    largest = max((bar.value for bar in shown), default=1.0)
    aims = [bar.aim for bar in shown if bar.aim]
    return min(largest, 3 * max(aims)) if aims else largest


def _drawn(bar: Bar, y: int, most: float, unit: str) -> list[str]:
    length = _WIDTH * min(bar.value, most) / most
    colour = _PLAIN if bar.aim is None else _BAD if bar.value > bar.aim else _GOOD
    drawn = [
        f'<text x="{_LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(bar.name)}</text>',
        f'<rect x="{_LEFT}" y="{y + 3}" width="{length:.1f}" height="{_ROW - 10}" fill="{colour}"/>',
        f'<text x="{_LEFT + length + 6:.1f}" y="{y + 15}">{bar.value:.2f} {unit}</text>',
    ]
    if bar.aim is not None:
        x = _LEFT + _WIDTH * min(bar.aim, most) / most
        drawn.append(f'<path d="M{x:.1f} {y}v{_ROW - 4}" stroke="{_AIM}" stroke-width="2" stroke-dasharray="3 2"/>')
    return drawn
