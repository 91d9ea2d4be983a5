"""What the detectors can judge, and the thresholds of a condition: names are checked, scores are looked up.

Threshold lookup: for each share of benign texts, a detector's table holds the score that this share reaches or exceeds
(the empirical quantile of the scores of benign texts). A condition that allows a share of false alarms gets the score
of the largest measured share that is not above it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from policies.model import DEFAULT_FALSE_ALARMS, Direction
from policies.source import KeyPath, nearest

# (false-alarm rate, score), rates ascending.
Table = tuple[tuple[float, float], ...]
# By (detector as name@version, slug, "prompt" or "response").
Operating = Mapping[tuple[str, str, str], Table]


@dataclass(frozen=True, slots=True)
class Threshold:
    """The rule matches when `detector` gives `slug` at least `score` in this direction."""

    slug: str
    direction: Direction
    detector: str
    score: float


class Fault(NamedTuple):
    """A problem of a condition: its path below `when`, what is wrong, and the remedy."""

    path: KeyPath
    what: str
    remedy: str


class Criteria(NamedTuple):
    """What one condition looks for, including what it inherits from the conditions around it."""

    subcategory: str | None
    any: tuple[str, ...]
    category: str | None
    detector: str | None
    finding: tuple[str, ...]
    false_alarms: float | None
    score: float | None
    directions: tuple[Direction, ...]
    on_is_written: bool


class Detectable:
    """What the detectors can judge, by name: categories, sub-categories, findings, measured tables."""

    def __init__(
        self,
        categories: Mapping[str, Sequence[str]],
        operating: Operating,
        findings: Mapping[str, Collection[str]] = MappingProxyType({}),
        languages: frozenset[str] = frozenset(),
        routes: frozenset[str] = frozenset(),
    ) -> None:
        self.categories = categories
        self.findings = findings
        self.languages = languages
        self.routes = routes
        self.slugs = {slug for members in categories.values() for slug in members}
        self.slugs.update(slug for _, slug, _ in operating)
        self.served: dict[tuple[str, str], list[tuple[str, Table]]] = {}
        names: dict[str, set[str]] = {}
        for (detector, slug, role), table in sorted(operating.items()):
            self.served.setdefault((slug, role), []).append((detector, table))
            names.setdefault(name_of(detector), set()).add(detector)
        self.names = {name: tuple(sorted(ids)) for name, ids in names.items()}
        self._resolved: dict[Criteria, Resolution] = {}

    def resolve(self, criteria: Criteria) -> "Resolution":
        """The resolution of these criteria, which conditions share that differ only in route, channel and the like."""
        if criteria not in self._resolved:
            self._resolved[criteria] = Resolution(criteria, self)
        return self._resolved[criteria]


class Resolution:
    """The thresholds of a condition, what is wrong with it, and what its author should know.

    The paths of `faults` begin below the condition.
    """

    def __init__(self, criteria: Criteria, detectable: Detectable) -> None:
        self.faults: list[Fault] = []
        self.remarks: list[str] = []
        self._criteria, self._detectable = criteria, detectable
        self._found: list[Threshold] = []
        slugs = self._named_slugs(criteria)
        self._check_names(criteria)
        if not self.faults:
            self._check_findings(criteria, slugs)
        if not self.faults:
            self._resolve(slugs)
        self.thresholds = tuple(self._found)

    def _fault(self, what: str, remedy: str, *path: str | int) -> None:
        self.faults.append(Fault(path, what, remedy))

    def _named_slugs(self, criteria: Criteria) -> tuple[str, ...]:
        detectable = self._detectable
        if criteria.category is not None:
            if criteria.category in detectable.categories:
                return tuple(detectable.categories[criteria.category])
            what = f"the category {criteria.category!r} is unknown"
            self._fault(what, nearest(criteria.category, detectable.categories), "category")
            return ()
        named = (criteria.subcategory,) if criteria.subcategory is not None else criteria.any
        for place, slug in enumerate(named):
            if slug not in detectable.slugs:
                path = ("any", place) if criteria.subcategory is None else ("subcategory",)
                remedy = nearest(slug, detectable.slugs)
                if slug in detectable.categories:
                    remedy = f"it is a category, write `category: {slug}` in a rule of its own"
                self._fault(f"the sub-category {slug!r} is unknown", remedy, *path)
        return tuple(dict.fromkeys(named))

    def _check_names(self, criteria: Criteria) -> None:
        detectable = self._detectable
        if criteria.detector is not None and criteria.detector not in detectable.names:
            what = f"the detector {criteria.detector!r} is unknown"
            self._fault(what, nearest(criteria.detector, detectable.names), "detector")

    def _check_findings(self, criteria: Criteria, slugs: tuple[str, ...]) -> None:
        """Check that a detector of this condition can give each label: others would never match."""
        findings = self._detectable.findings
        if not findings:
            return
        asked = {
            detector
            for slug in slugs
            for direction in criteria.directions
            for detector, _ in self._detectable.served.get((slug, direction), ())
            if criteria.detector in (None, name_of(detector))
        }
        known = {label for detector in asked for label in findings.get(detector, ())}
        for place, label in enumerate(criteria.finding):
            givers = sorted(name_of(detector) for detector, labels in findings.items() if label in labels)
            if label in known:
                continue
            if not givers:
                self._fault(f"the finding {label!r} is unknown", nearest(label, known), "finding", place)
            else:
                giver = " and ".join(givers)
                what = f"only the detector {giver} gives the finding {label!r}, and this condition does not use it"
                remedy = nearest(label, known) if known else "remove `finding`: no detector of this condition gives any"
                self._fault(what, remedy, "finding", place)

    def _resolve(self, slugs: tuple[str, ...]) -> None:
        criteria = self._criteria
        missing: dict[Direction, list[str]] = {d: [] for d in criteria.directions}
        for direction in criteria.directions:
            for slug in slugs:
                served = [
                    pair
                    for pair in self._detectable.served.get((slug, direction), ())
                    if criteria.detector in (None, name_of(pair[0]))
                ]
                if served:
                    self._look_up(slug, direction, served)
                else:
                    missing[direction].append(slug)
        unserved = [d for d in criteria.directions if len(missing[d]) == len(slugs)]
        # If `on` is written, each of its directions must be served; otherwise one of the two is enough.
        refused = unserved if criteria.on_is_written or len(unserved) == len(criteria.directions) else []
        for direction in criteria.directions:
            if direction in refused:
                self._unserved(slugs, direction)
            elif missing[direction]:
                self.remarks.append(f"no detector judges {', '.join(missing[direction])} in a {direction}")

    def _unserved(self, slugs: tuple[str, ...], direction: Direction) -> None:
        criteria = self._criteria
        judge = f"the detector {criteria.detector!r} does not judge" if criteria.detector else "no detector judges"
        served = {
            slug
            for (slug, role), pairs in self._detectable.served.items()
            if role == direction and any(criteria.detector in (None, name_of(pair[0])) for pair in pairs)
        }
        key = next(name for name in ("subcategory", "any", "category") if getattr(criteria, name))
        self._fault(f"{judge} {', '.join(slugs)} in a {direction}", nearest(slugs[0], served), key)

    def _look_up(self, slug: str, direction: Direction, served: list[tuple[str, Table]]) -> None:
        criteria = self._criteria
        if criteria.score is not None:
            self._found += [Threshold(slug, direction, detector, criteria.score) for detector, _ in served]
            return
        asked = DEFAULT_FALSE_ALARMS if criteria.false_alarms is None else criteria.false_alarms
        unmet: list[tuple[str, Table]] = []
        for detector, table in served:
            rows = [row for row in table if row[0] <= asked * (1 + 1e-9)]
            if rows:
                self._found.append(Threshold(slug, direction, detector, rows[-1][1]))
            else:
                unmet.append((detector, table))
        for detector, table in unmet:
            what, remedy = _not_measured(detector, table, slug, direction, asked)
            if len(unmet) < len(served):
                self.remarks.append(f"{what}; the rule works without it")
            else:
                self._fault(what, remedy, "false_alarms")


def _not_measured(detector: str, table: Table, slug: str, direction: str, asked: float) -> tuple[str, str]:
    if not table:
        what = f"the false alarms of {detector} for {slug} in a {direction} were never measured"
        return what, "measure them with `assay calibrate`, or give a `score` instead of `false_alarms`"
    rate, score = table[0]
    what = f"{asked:g} false alarms were asked of {detector} for {slug} in a {direction}"
    return f"{what}, the lowest rate measured is {rate:g}", (
        f"ask for `false_alarms: {rate:g}` or more, or give a `score` (there it is {score:.4g})"
    )


def name_of(detector: str) -> str:
    """A detector's name without its version."""
    return detector.partition("@")[0]
