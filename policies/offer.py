"""What the detectors can say, and what it comes to when a condition asks for it: names checked, thresholds looked up.

Threshold lookup: a detector's table holds, for each share of benign texts, the score that this share reaches or
exceeds (the empirical quantile of the scores of benign texts). A condition that allows itself a share gets the
score of the largest measured share not above it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from policies.model import DEFAULT_FALSE_ALARMS, Direction
from policies.source import Path, nearest

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
    """What is wrong with a condition: the path below `when`, what, and the remedy."""

    path: Path
    what: str
    remedy: str


class Sought(NamedTuple):
    """What one condition looks for, with all it takes over from the conditions around it."""

    subcategory: str | None
    any: tuple[str, ...]
    category: str | None
    detector: str | None
    finding: tuple[str, ...]
    false_alarms: float | None
    score: float | None
    directions: tuple[Direction, ...]
    on_is_written: bool


class Offer:
    """What the detectors can say, arranged for look-up."""

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
        self.heard: dict[tuple[str, str], list[tuple[str, Table]]] = {}
        names: dict[str, set[str]] = {}
        for (detector, slug, role), table in sorted(operating.items()):
            self.heard.setdefault((slug, role), []).append((detector, table))
            names.setdefault(name_of(detector), set()).add(detector)
        self.names = {name: tuple(sorted(ids)) for name, ids in names.items()}
        self._resolved: dict[Sought, Resolution] = {}

    def resolve(self, sought: Sought) -> "Resolution":
        """Conditions that differ only in route, channel and the like share one resolution."""
        if sought not in self._resolved:
            self._resolved[sought] = Resolution(sought, self)
        return self._resolved[sought]


class Resolution:
    """A condition held against the offer: its thresholds, what is wrong with it, what its author should know.

    The paths of `faults` begin below the condition.
    """

    def __init__(self, sought: Sought, offer: Offer) -> None:
        self.faults: list[Fault] = []
        self.remarks: list[str] = []
        self._sought, self._offer = sought, offer
        self._found: list[Threshold] = []
        slugs = self._named_slugs(sought)
        self._check_names(sought)
        if not self.faults:
            self._check_findings(sought, slugs)
        if not self.faults:
            self._resolve(slugs)
        self.thresholds = tuple(self._found)
        self.heard = frozenset((t.slug, t.direction) for t in self._found)

    def _fault(self, what: str, remedy: str, *path: str | int) -> None:
        self.faults.append(Fault(path, what, remedy))

    def _named_slugs(self, sought: Sought) -> tuple[str, ...]:
        offer = self._offer
        if sought.category is not None:
            if sought.category in offer.categories:
                return tuple(offer.categories[sought.category])
            what = f"the category {sought.category!r} is unknown"
            self._fault(what, nearest(sought.category, offer.categories), "category")
            return ()
        named = (sought.subcategory,) if sought.subcategory is not None else sought.any
        for place, slug in enumerate(named):
            if slug not in offer.slugs:
                path = ("any", place) if sought.subcategory is None else ("subcategory",)
                remedy = nearest(slug, offer.slugs)
                if slug in offer.categories:
                    remedy = f"it is a category, write `category: {slug}` in a rule of its own"
                self._fault(f"the sub-category {slug!r} is unknown", remedy, *path)
        return tuple(dict.fromkeys(named))

    def _check_names(self, sought: Sought) -> None:
        offer = self._offer
        if sought.detector is not None and sought.detector not in offer.names:
            what = f"the detector {sought.detector!r} is unknown"
            self._fault(what, nearest(sought.detector, offer.names), "detector")

    def _check_findings(self, sought: Sought, slugs: tuple[str, ...]) -> None:
        """Labels must be ones that a detector which is asked here can give: others would never match."""
        findings = self._offer.findings
        if not findings:
            return
        asked = {
            detector
            for slug in slugs
            for direction in sought.directions
            for detector, _ in self._offer.heard.get((slug, direction), ())
            if sought.detector in (None, name_of(detector))
        }
        known = {label for detector in asked for label in findings.get(detector, ())}
        for place, label in enumerate(sought.finding):
            givers = sorted(name_of(detector) for detector, labels in findings.items() if label in labels)
            if label in known:
                continue
            if not givers:
                self._fault(f"the finding {label!r} is unknown", nearest(label, known), "finding", place)
            else:
                giver = " and ".join(givers)
                what = f"the finding {label!r} is given by the detector {giver} only, which this condition does not ask"
                remedy = nearest(label, known) if known else "remove `finding`: no detector that is asked gives any"
                self._fault(what, remedy, "finding", place)

    def _resolve(self, slugs: tuple[str, ...]) -> None:
        sought = self._sought
        unheard: dict[Direction, list[str]] = {d: [] for d in sought.directions}
        for direction in sought.directions:
            for slug in slugs:
                heard = [
                    pair
                    for pair in self._offer.heard.get((slug, direction), ())
                    if sought.detector in (None, name_of(pair[0]))
                ]
                if heard:
                    self._look_up(slug, direction, heard)
                else:
                    unheard[direction].append(slug)
        deaf = [d for d in sought.directions if len(unheard[d]) == len(slugs)]
        # A direction that was written must be served; of the two that stand for "both" one suffices.
        refused = deaf if sought.on_is_written or len(deaf) == len(sought.directions) else []
        for direction in sought.directions:
            if direction in refused:
                self._unserved(slugs, direction)
            elif unheard[direction]:
                self.remarks.append(f"no detector speaks of {', '.join(unheard[direction])} in a {direction}")

    def _unserved(self, slugs: tuple[str, ...], direction: Direction) -> None:
        sought = self._sought
        speaker = f"the detector {sought.detector!r} does not speak" if sought.detector else "no detector speaks"
        served = {
            slug
            for (slug, role), pairs in self._offer.heard.items()
            if role == direction and any(sought.detector in (None, name_of(pair[0])) for pair in pairs)
        }
        key = next(name for name in ("subcategory", "any", "category") if getattr(sought, name))
        self._fault(f"{speaker} of {', '.join(slugs)} in a {direction}", nearest(slugs[0], served), key)

    def _look_up(self, slug: str, direction: Direction, heard: list[tuple[str, Table]]) -> None:
        sought = self._sought
        if sought.score is not None:
            self._found += [Threshold(slug, direction, detector, sought.score) for detector, _ in heard]
            return
        asked = DEFAULT_FALSE_ALARMS if sought.false_alarms is None else sought.false_alarms
        unmet: list[tuple[str, Table]] = []
        for detector, table in heard:
            rows = [row for row in table if row[0] <= asked * (1 + 1e-9)]
            if rows:
                self._found.append(Threshold(slug, direction, detector, rows[-1][1]))
            else:
                unmet.append((detector, table))
        for detector, table in unmet:
            what, remedy = _not_measured(detector, table, slug, direction, asked)
            if len(unmet) < len(heard):
                self.remarks.append(f"{what}; the rule does without it")
            else:
                self._fault(what, remedy, "false_alarms")


def _not_measured(detector: str, table: Table, slug: str, direction: str, asked: float) -> tuple[str, str]:
    if not table:
        what = f"the false alarms of {detector} for {slug} in a {direction} were never measured"
        return what, "give a `score` in place of `false_alarms`"
    rate, score = table[0]
    what = f"{asked:g} false alarms were asked of {detector} for {slug} in a {direction}"
    return f"{what}, the lowest rate measured is {rate:g}", (
        f"ask for `false_alarms: {rate:g}` or more, or give a `score` (there it is {score:.4g})"
    )


def name_of(detector: str) -> str:
    """A detector's name without its version."""
    return detector.partition("@")[0]
