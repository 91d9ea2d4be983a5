"""Line charts as SVG, drawn by hand: a card must not need a plotting library."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 720, 420
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 44, 300, 52  # margins; the legend stands in the right one
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444", "#8c6d31")  # Okabe and Ito
_DASHES = ("", "7 3")


@dataclass(frozen=True, slots=True)
class Chart:
    """Titles of the chart and its axes, where ticks stand on x, and whether x is logarithmic; y runs from 0 to 1."""

    title: str
    x: str
    y: str
    ticks: Mapping[float, str]
    is_log: bool = False
    has_diagonal: bool = False

    def write(self, path: Path, series: Mapping[str, Points]) -> None:
        """One line a series, its name beside it in the legend."""
        place = self._place()
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
            'font-size="12"><rect width="100%" height="100%" fill="#fff"/>',
            f'<text x="{_LEFT}" y="24" font-size="15">{escape(self.title)}</text>',
            *self._frame(place),
        ]
        if self.has_diagonal:
            ends = [place(value, value) for value in (0.0, 1.0)]
            parts.append(f'<polyline points="{_joined(ends)}" fill="none" stroke="#999" stroke-dasharray="2 3"/>')
        for number, (name, points) in enumerate(series.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            style = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{_DASHES[number // len(_COLOURS) % 2]}"'
            drawn = _joined([place(x, y) for x, y in points])
            parts.append(f'<polyline points="{drawn}" fill="none" {style}/>')
            x, y = _WIDTH - _RIGHT + 16, _TOP + 10 + 20 * number
            parts.append(f'<line x1="{x}" y1="{y - 4}" x2="{x + 22}" y2="{y - 4}" {style}/>')
            parts.append(f'<text x="{x + 28}" y="{y}">{escape(name)}</text>')
        path.write_text("\n".join([*parts, "</svg>", ""]), "utf-8")

    def _place(self) -> Callable[[float, float], tuple[float, float]]:
        low, high = (self._x(value) for value in (min(self.ticks), max(self.ticks)))
        across, down = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

        def place(x: float, y: float) -> tuple[float, float]:
            share = (self._x(max(x, min(self.ticks))) - low) / (high - low)
            return _LEFT + across * share, _TOP + down * (1 - y)

        return place

    def _x(self, value: float) -> float:
        return math.log(value) if self.is_log else value

    def _frame(self, place: Callable[[float, float], tuple[float, float]]) -> list[str]:
        right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
        out = []
        for y in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
            at = place(min(self.ticks), y)[1]
            out.append(f'<line x1="{_LEFT}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}" stroke="#ddd"/>')
            out.append(f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{y:.1f}</text>')
        for x, name in self.ticks.items():
            at = place(x, 0)[0]
            out.append(f'<line x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{bottom}" stroke="#eee"/>')
            out.append(f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{escape(name)}</text>')
        middle = (_TOP + bottom) / 2
        out.append(f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 12}" text-anchor="middle">{escape(self.x)}</text>')
        turned = f'text-anchor="middle" transform="rotate(-90 16 {middle})"'
        out.append(f'<text x="16" y="{middle}" {turned}>{escape(self.y)}</text>')
        return out


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
