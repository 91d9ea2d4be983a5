"""Bars with intervals as SVG, drawn without a plotting library, which a report must not need."""

from collections.abc import Sequence
from html import escape

from gateway.study.evaluation.figures import Figure

_WIDTH, _LEFT, _RIGHT, _TOP = 760, 210, 150, 64
_BAR, _GAP = 16, 14
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444", "#8c6d31")  # Okabe and Ito


def svg(title: str, figures: Sequence[Figure]) -> str:
    """A group of bars for each study, a bar for each model. A range without an estimate is a pale bar."""
    models = list(dict.fromkeys(figure.model for figure in figures))
    studies = list(dict.fromkeys(figure.study for figure in figures))
    height = _TOP + len(studies) * (len(models) * _BAR + _GAP) + 44
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12"><title>{escape(title)}</title><rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="16" y="22" font-size="15">{escape(title)}</text>',
        *_legend(models),
        *_axis(height),
    ]
    by_place = {(figure.study, figure.model): figure for figure in figures}
    y = float(_TOP)
    for study in studies:
        middle = y + len(models) * _BAR / 2 + 4
        parts.append(f'<text x="{_LEFT - 10}" y="{middle:.1f}" text-anchor="end">{escape(_named(study))}</text>')
        for number, model in enumerate(models):
            figure = by_place.get((study, model))
            parts += _bar(figure, y, _COLOURS[number % len(_COLOURS)]) if figure else []
            y += _BAR
        y += _GAP
    return "\n".join([*parts, "</svg>", ""])


def _named(study: str) -> str:
    return study.replace("_", " ")


def _x(share: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * share


def _legend(models: Sequence[str]) -> list[str]:
    found, x = [], 16
    for number, model in enumerate(models):
        colour = _COLOURS[number % len(_COLOURS)]
        found.append(f'<rect x="{x}" y="34" width="12" height="12" fill="{colour}"/>')
        found.append(f'<text x="{x + 18}" y="44">{escape(model)}</text>')
        x += 36 + 7 * len(model)
    return found


def _axis(height: int) -> list[str]:
    found = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _x(share)
        found.append(f'<line x1="{x:.1f}" y1="{_TOP - 6}" x2="{x:.1f}" y2="{height - 40}" stroke="#ddd"/>')
        found.append(f'<text x="{x:.1f}" y="{height - 24}" text-anchor="middle">{share:.0%}</text>')
    middle = _x(0.5)
    words = "failures among usable answers, 95 % interval; lower is better"
    found.append(f'<text x="{middle:.1f}" y="{height - 6}" text-anchor="middle">{words}</text>')
    return found


def _bar(figure: Figure, y: float, colour: str) -> list[str]:
    middle = y + _BAR / 2
    if figure.low is None or figure.high is None:
        why = "no figure" if figure.flagged is None else f"flags {figure.flagged.estimate:.0%}, not a rate"
        return [f'<text x="{_LEFT + 6}" y="{middle + 4:.1f}" fill="#666">{why}</text>']
    low, high, top = _x(figure.low), _x(figure.high), y + 2
    if figure.estimate is None:
        pale = f'<rect x="{low:.1f}" y="{top:.1f}" width="{max(1.0, high - low):.1f}" height="{_BAR - 4}"'
        words = f"{figure.low:.0%} to {figure.high:.0%} ({figure.basis})"
        return [f'{pale} fill="{colour}" fill-opacity="0.3"/>', _beside(high, middle, words)]
    width = max(1.0, _x(figure.estimate) - _LEFT)
    return [
        f'<rect x="{_LEFT}" y="{top:.1f}" width="{width:.1f}" height="{_BAR - 4}" fill="{colour}" '
        'fill-opacity="0.75"/>',
        f'<path d="M{low:.1f} {middle:.1f}H{high:.1f}M{low:.1f} {middle - 4:.1f}v8M{high:.1f} {middle - 4:.1f}v8" '
        'stroke="#222" fill="none"/>',
        _beside(high, middle, f"{figure.estimate:.1%} ({figure.basis}, {figure.usable})"),
    ]


def _beside(x: float, middle: float, words: str) -> str:
    return f'<text x="{x + 6:.1f}" y="{middle + 4:.1f}" font-size="10" fill="#444">{escape(words)}</text>'
