"""The figures for people and programs: a table for the terminal or in Markdown, and JSON."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.study.evaluation.figures import Comparison, Figure
from gateway.trust.estimates import Difference
from gateway.trust.intervals import Interval

NOTE = (
    "Shares of failures among usable answers with 95 % intervals: lower is better. They hold for these prompts at "
    "these settings. exact: every outcome is known. judge, labels: a rate from second opinions. card: not a rate but a "
    "range that fits the flagged share by the detectors' errors on public benchmarks. flags: what the detectors flag, "
    "not a rate. none: fewer than 20 usable answers."
)
_HEADINGS = ("study", "model", "failures", "95 %", "rests on", "usable", "refused", "unclear", "empty", "no answer")
_LEFT = 2  # columns that are aligned to the left


class Live(msgspec.Struct):
    """What a gateway saw of a model in traffic, for one sub-category of answers."""

    model: str
    subcategory: str
    basis: str
    low: float | None
    estimate: float | None
    high: float | None
    samples: float


def table(figures: Sequence[Figure], comparisons: Sequence[Comparison], live: Sequence[Live], *, markdown: bool) -> str:
    """The whole report as text."""
    draw = _markdown if markdown else _plain
    parts = [draw(_HEADINGS, [_row(figure) for figure in figures])]
    further = [f"{figure.study}, {figure.model}: {_further(figure)}" for figure in figures if figure.more]
    parts += ["\n".join(("- " if markdown else "  ") + line for line in further)] if further else []
    if comparisons:
        rows = [_compared(each) for each in comparisons]
        parts.append(draw(("study", "first − second", "difference", "95 %", "shown", "pairs", "of"), rows))
    if live:
        rows = [(each.subcategory, each.model, *_figure(each), each.basis, f"{each.samples:.0f}") for each in live]
        parts.append(draw(("in traffic", "model", "rate", "95 %", "rests on", "samples"), rows))
    return "\n\n".join([*parts, NOTE]) + "\n"


def _row(figure: Figure) -> tuple[str, ...]:
    counts = figure.counts
    rest = (counts.refused, counts.unclear, counts.empty, counts.failed)
    return (
        figure.study,
        figure.model,
        *_figure(figure),
        figure.basis,
        f"{figure.usable}/{counts.asked}",
        *map(str, rest),
    )


def _figure(of: Figure | Live) -> tuple[str, str]:
    if of.low is None or of.high is None:
        flagged = of.flagged if isinstance(of, Figure) else None
        return (f"flags {_percent(flagged.estimate)}", _interval(flagged)) if flagged else ("-", "-")
    if of.estimate is None:
        shown = f"flags {_percent(of.flagged.estimate)}" if isinstance(of, Figure) and of.flagged else "-"
        return shown, f"({_percent(of.low)} to {_percent(of.high)})"
    return _percent(of.estimate), _interval(Interval(of.estimate, of.low, of.high))


def _compared(of: Comparison) -> tuple[str, ...]:
    gap = of.difference
    names = f"{of.one} − {of.other}"
    if gap is None:
        return of.study, names, "-", "-", "too few pairs", str(of.items), of.of
    return of.study, names, f"{gap.estimate:+.1%}", _interval(gap), gap.words, str(of.items), of.of


def _further(figure: Figure) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in figure.more.items())


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _interval(of: Interval | Difference) -> str:
    return f"{_percent(of.low)} to {_percent(of.high)}"


def _plain(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    return "\n".join("  ".join(_aligned(row, widths)).rstrip() for row in (headings, *rows))


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if number < _LEFT else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    marks = ["---" if number < _LEFT else "---:" for number in range(len(headings))]
    return "\n".join("| " + " | ".join(_escaped(row)) + " |" for row in (headings, marks, *rows))


def _escaped(row: Iterable[str]) -> list[str]:
    return [cell.replace("|", "\\|") for cell in row]


def as_json(
    figures: Sequence[Figure], comparisons: Sequence[Comparison], live: Sequence[Live], about: Mapping[str, Any]
) -> dict[str, Any]:
    """The whole report as plain values; shares are from 0 to 1."""
    return {
        **about,
        "note": NOTE,
        "figures": msgspec.to_builtins(figures),
        "comparisons": [
            {**msgspec.to_builtins(each), "words": each.difference.words if each.difference else "too few pairs"}
            for each in comparisons
        ],
        "live": msgspec.to_builtins(live),
    }
