"""What a policy costs in false alarms and what it catches, measured on labelled texts.

A text counts as harmful if one of its labels for a harm is 1, and as benign if it has such labels and all are 0; texts
without any are left out. It counts as acted on if the policy, with every rule enforced, would do more than flag.
"""

import gzip
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec

from policies.engine import Policy, Signal, decide

# Labels that say whether a text is harmful in itself; others (grounded, refusal, …) are about something else.
HARMS = frozenset(
    {
        "unsafe",
        "violence",
        "unlawful_conduct",
        "harms_to_minor",
        "adult_content",
        "mental_health",
        "propagandistic_misuse",
        "cyberattack_misuse",
        "social_engineering_misuse",
        "toxicity",
        "hate",
        "prompt_attacks",
    }
)
_NOTE = "Every rule counts as enforced, whatever its mode: `observe` would act on this much, but acts on nothing."
_PLACES = {"prompt": ("prompt", "user"), "response": ("response", "assistant"), "other": ("prompt", "tool")}

# (text, direction, channel) of several texts to the signals on each.
SignalsOf = Callable[[Sequence[tuple[str, str, str]]], Sequence[Sequence[Signal]]]


class _Wire(msgspec.Struct):
    text: str
    role: str = "prompt"
    labels: dict[str, object] = {}


class LabelledText(NamedTuple):
    """A labelled text and its place in an exchange."""

    text: str
    direction: str
    channel: str
    harmful: bool


@dataclass(slots=True)
class CostTally:
    """For one kind of texts: how many there are, and on how many each policy acted."""

    texts: int = 0
    acted: list[int] = field(default_factory=list)


def data_files(folder: Path, names: Iterable[str] = ()) -> list[Path]:
    """The sets `NAME.jsonl` and `NAME.jsonl.gz` of a folder, all or those named. Raises ValueError if one is
    missing."""
    found = {path.name.partition(".jsonl")[0]: path for path in sorted(folder.glob("*.jsonl*"))}
    wanted = list(names) or list(found)
    for name in wanted:
        if name not in found:
            raise ValueError(f"there is no {name}.jsonl or {name}.jsonl.gz in {folder}")
    return [found[name] for name in wanted]


def read_rows(path: Path, most: int) -> list[LabelledText]:
    """At most `most` benign and `most` harmful texts of a set, the same ones every time. Raises ValueError."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        rows = list(_rows(file, path))
    drawn = random.Random(0)
    kinds = [[row for row in rows if row.harmful is harmful] for harmful in (False, True)]
    return [row for kind in kinds for row in (kind if len(kind) <= most else drawn.sample(kind, most))]


def _rows(lines: Iterable[bytes], path: Path) -> Iterator[LabelledText]:
    for number, line in enumerate(lines, 1):
        try:
            wire = msgspec.json.decode(line, type=_Wire)
        except msgspec.DecodeError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        said = [value for label, value in wire.labels.items() if label in HARMS and value in (0, 1)]
        if said and wire.role in _PLACES:
            yield LabelledText(wire.text, *_PLACES[wire.role], any(said))


def cost(
    rows: Sequence[LabelledText],
    policies: Sequence[Policy],
    signals_of: SignalsOf,
    *,
    batch: int = 32,
    step: Callable[[int], object],
) -> dict[bool, CostTally]:
    """The tallies, by harmful or not. `step` is called with the number of texts judged."""
    tallies = {harmful: CostTally(acted=[0] * len(policies)) for harmful in (False, True)}
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        for row, signals in zip(part, signals_of([row[:3] for row in part]), strict=True):
            tally = tallies[row.harmful]
            tally.texts += 1
            for number, policy in enumerate(policies):
                tally.acted[number] += decide(policy, signals, route="default").would.acts
        step(len(part))
    return tallies


def table(names: Sequence[str], measured: Sequence[tuple[str, dict[bool, CostTally]]]) -> str:
    """Markdown: a row for each set and kind that has texts, a column for each policy."""
    lines = [f"| set | texts | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for harmful, heading in ((False, "benign, acted on"), (True, "harmful, acted on")):
        for name, tallies in measured:
            tally = tallies[harmful]
            if tally.texts:
                shares = " | ".join(f"{100 * acted / tally.texts:.1f} %" for acted in tally.acted)
                lines.append(f"| {name} ({heading}) | {tally.texts:,} | {shares} |")
    return "\n".join([*lines, "", _NOTE]) + "\n"
