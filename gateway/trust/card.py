"""What the detectors' cards say of their errors on public benchmarks, as estimates need it."""

from collections.abc import Iterable
from functools import cache

from detectors import manifest
from gateway.trust.estimates import Errors

_FOUND = "recall at 1 % false alarms"  # at the default operating point
_FALSE = "false alarms at 1 %"
_LEAST_ROWS = 100
_ENCODERS = {"encoder", "encoder-multilingual"}

Column = tuple[str, str]  # (sub-category, direction)
_shared: set[Column] = set()


def share(columns: Iterable[Column]) -> None:
    """Called once, at the start: both a shipped detector and one of the operator's judge these columns. What they flag
    together was not measured, so the shipped card's error rates do not apply to them."""
    _shared.update(columns)


def is_shared(column: Column) -> bool:
    return column in _shared


@cache  # the files ship with the release: read once, not for every look at /trust
def shipped_errors() -> dict[Column, Errors]:
    found = errors_of(manifest.load(weights=False).values())
    return {column: errors for column, errors in found.items() if not is_shared(column)}


def errors_of(infos: Iterable[manifest.DetectorInfo]) -> dict[tuple[str, str], Errors]:
    """By (sub-category, direction), where a single detector judges it: what several flag together was not measured.
    The two encoders count as one detector, because each passage is read by one of them; their benchmarks are joined.

    Only public benchmarks count, and of those only the ones from whose source the detector was not trained.
    """
    by_column: dict[tuple[str, str], list[manifest.DetectorInfo]] = {}
    for info in infos:
        for column in info.operating:
            by_column.setdefault(column, []).append(info)
    found = {
        column: tuple(pair for info in speaking for pair in _benchmarks(info, *column))
        for column, speaking in by_column.items()
        if len(speaking) == 1 or {info.name for info in speaking} == _ENCODERS
    }
    return {column: Errors(pairs) for column, pairs in found.items() if pairs}


def _benchmarks(info: manifest.DetectorInfo, slug: str, role: str) -> tuple[tuple[float, float], ...]:
    figures: dict[str, dict[str, float]] = {}
    for measured in info.measured:
        side, _, metric = measured.metric.partition(": ")
        own = measured.seen or measured.set.startswith("held-out")
        if measured.slug == slug and side == role and not own and measured.rows >= _LEAST_ROWS:
            figures.setdefault(measured.set, {})[metric] = measured.value
    return tuple((known[_FOUND], known[_FALSE]) for known in figures.values() if {_FOUND, _FALSE} <= known.keys())
