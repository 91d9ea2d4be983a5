"""False alarms on harmless texts: by head and length of text, and by policy.

Every text of the file counts as harmless. A head's false alarm is a flag at the default operating point. A policy's
false alarm is a text that it would act on with every rule enforced. Where a detector did not read all of a text, the
rules' `on_error` decides, as in the gateway.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from policies.engine import Context, Decision, Policy, Signal, Silent, decide, join, on_failure
from policies.model import Direction

# The upper end of each band of lengths, in words, and its name.
BANDS: Mapping[int, str] = {4: "< 5 words", 15: "5–15", 60: "16–60"}
LONGEST = "> 60"
UNREAD = "not wholly read"
_BAND_NAMES = (*BANDS.values(), LONGEST)
_ROUTE = "default"

Channel = Literal["system", "user", "tool", "retrieved", "assistant", "arguments", "reasoning"]
_USUAL: Mapping[Direction, Channel] = {"prompt": "user", "response": "assistant"}


class TextPlace(NamedTuple):
    """A text and its place in an exchange."""

    text: str
    direction: Direction
    channel: Channel


class HarmlessText(NamedTuple):
    """A harmless text, with a name for the kind of text that it is."""

    place: TextPlace
    kind: str


class TextSignals(NamedTuple):
    """What the detectors say of a text: their signals, the (slug, detector) pairs at or above the default operating
    point, and the names of the detectors that did not read all of it."""

    signals: Sequence[Signal]
    flagged: Collection[tuple[str, str]]
    unread: Collection[str]


Ear = Callable[[Sequence[TextPlace]], Sequence[TextSignals]]


class TextOutcome(NamedTuple):
    """One text, what the detectors say of it, and each policy's decision by the policy's name."""

    row: HarmlessText
    heard: TextSignals
    decisions: Mapping[str, Decision]

    @property
    def direction(self) -> Direction:
        return self.row.place.direction

    @property
    def band(self) -> str:
        return band(self.row.place.text)


class _Line(msgspec.Struct):
    text: str
    role: Direction = "prompt"
    channel: Channel | None = None
    kind: str = "any"


def band(text: str) -> str:
    """The band of a text's length in words."""
    words = len(text.split())
    return next((name for most, name in BANDS.items() if words <= most), LONGEST)


def read_texts(path: Path) -> list[HarmlessText]:
    """Reads JSON lines with `text` and, optionally, `role`, `channel` and `kind`. Raises ValueError with file and
    line."""
    if path.suffix in (".yaml", ".yml"):
        raise ValueError(
            f"{path} is a policy, but a file of harmless texts is needed here; give the policy as --policy {path}"
        )
    rows = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                found = msgspec.json.decode(line, type=_Line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise ValueError(f"{path}:{number}: {error}") from None
            place = TextPlace(found.text, found.role, found.channel or _USUAL[found.role])
            rows.append(HarmlessText(place, found.kind))
    if not rows:
        raise ValueError(f"{path}: there is no text in it")
    return rows


def outcomes(
    rows: Sequence[HarmlessText],
    policies: Mapping[str, Policy],
    ear: Ear,
    *,
    batch: int = 64,
    step: Callable[[int], object],
) -> Iterator[TextOutcome]:
    """Each text with its result, in order. `step` is called with the number of texts judged."""
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        for row, heard in zip(part, ear([row.place for row in part]), strict=True):
            decisions = {name: _decision(policy, row.place, heard) for name, policy in policies.items()}
            yield TextOutcome(row, heard, decisions)
        step(len(part))


def _decision(policy: Policy, place: TextPlace, heard: TextSignals) -> Decision:
    """The decision that the gateway's guard would take on this text."""
    about = Context(silent=frozenset(Silent(detector, place.channel) for detector in heard.unread))
    needed = policy.needs(place.direction, _ROUTE)
    fallbacks = [
        on_failure(
            policy,
            needed,
            direction=place.direction,
            route=_ROUTE,
            detector=detector,
            channel=place.channel,
            about=about,
        )
        for detector in heard.unread
    ]
    return reduce(join, fallbacks, decide(policy, heard.signals, route=_ROUTE, about=about))


def report(found: Sequence[TextOutcome], policies: Iterable[str]) -> str:
    """Markdown: the share of texts flagged by each head in each band, then what each policy acts on and why."""
    names = list(policies)
    tables = [_heads(found), _policies(found, names), _kinds(found, names), _rules(found, names)]
    return "\n".join("".join(f"{line}\n" for line in table) for table in tables)


def _heads(found: Sequence[TextOutcome]) -> Iterator[str]:
    texts = Counter((item.direction, item.band) for item in found)
    alarms = Counter(
        (item.direction, slug, detector, item.band) for item in found for slug, detector in item.heard.flagged
    )
    any_head = Counter((item.direction, item.band) for item in found if item.heard.flagged)
    yield from _header(["side", "head", "detector", *_BAND_NAMES])
    for direction in _USUAL:
        shown = [f"{texts[direction, name]:,} texts" for name in _BAND_NAMES]
        yield _line([direction, "", "", *shown])
        shares = [_share(any_head[direction, name], texts[direction, name]) for name in _BAND_NAMES]
        yield _line([direction, "any", "", *shares])
        for slug, detector in sorted({key[1:3] for key in alarms if key[0] == direction}):
            shares = [_share(alarms[direction, slug, detector, name], texts[direction, name]) for name in _BAND_NAMES]
            yield _line([direction, f"`{slug}`", detector, *shares])


def _policies(found: Sequence[TextOutcome], names: Sequence[str]) -> Iterator[str]:
    yield from _header(["side", "length", "texts", *names])
    for direction in _USUAL:
        for name in _BAND_NAMES:
            here = [item for item in found if item.direction == direction and item.band == name]
            yield _line([direction, name, f"{len(here):,}", *_acted(here, names)])
    yield _line(["both", "all", f"{len(found):,}", *_acted(found, names)])
    read = [item for item in found if not item.heard.unread]
    yield _line(["both", "all that was wholly read", f"{len(read):,}", *_acted(read, names)])


def _kinds(found: Sequence[TextOutcome], names: Sequence[str]) -> Iterator[str]:
    yield from _header(["kind", "side", "texts", *names])
    for kind, direction in sorted({(item.row.kind, item.direction) for item in found}):
        here = [item for item in found if (item.row.kind, item.direction) == (kind, direction)]
        yield _line([kind.replace("_", " "), direction, f"{len(here):,}", *_acted(here, names)])


def _rules(found: Sequence[TextOutcome], names: Sequence[str]) -> Iterator[str]:
    """Which rules acted, and why: by which sub-categories, or because a text could not be read."""
    causes = Counter(cause for item in found for name in names for cause in _causes(name, item))
    if not causes:
        yield "No rule would act on any of these texts."
        return
    yield from _header(["policy", "rule", "through", "texts"])
    for (name, rule, cause), often in sorted(causes.items(), key=lambda item: (names.index(item[0][0]), -item[1])):
        yield _line([name, f"`{rule}`", cause, f"{often:,}"])


def _causes(name: str, item: TextOutcome) -> set[tuple[str, str, str]]:
    """The (policy, rule, cause) of a text; for a text that was not wholly read, that is the only cause."""
    acting = [match for match in item.decisions[name].matched if match.action.acts]
    return {(name, match.rule, cause) for match in acting for cause in ([UNREAD] if item.heard.unread else match.slugs)}


def _acted(found: Sequence[TextOutcome], names: Sequence[str]) -> list[str]:
    return [_share(sum(item.decisions[name].would.acts for item in found), len(found)) for name in names]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def _header(names: Sequence[str]) -> Iterator[str]:
    yield _line(names)
    yield f"|{'---|' * len(names)}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
