"""What real texts cost the side path: all shipped detectors, one thread, the processor's time and not the clock's.

The texts are public sets, read where they lie and never shipped: a machine without them skips this part and says so.
They are judged for their time alone; nothing is chosen by what is found in them.
"""

import gzip
import os
import random
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from detectors.base import Role, Text
from detectors.panel import Panel, Question, load
from tests.bench.table import Table

DATA = Path(os.environ.get("ASSAY_DATA", Path(__file__).parents[4] / "shared" / "data"))
GOALS: dict[Role, int] = {"prompt": 250, "response": 60}  # texts a second of one core
TOGETHER = 8  # requests that the detector process judges together
TEXTS: dict[Role, int] = {"prompt": 400, "response": 160}  # of a set
_SETS: tuple[tuple[str, str, Role], ...] = (
    ("ToxicChat prompts", "eval/toxicchat_test.jsonl.gz", "prompt"),
    ("WildGuardTest prompts", "eval/wildguardtest.jsonl.gz", "prompt"),
    ("WildGuardTest answers", "eval/wildguardtest.jsonl.gz", "response"),
    ("arena answers", "train/arena_hard_answers.jsonl.gz", "response"),
)


class Cost(NamedTuple):
    """Seconds of the processor: of each text by itself, and of all of them in batches; and their mean length."""

    singly: Sequence[float]
    together: float
    characters: float

    @property
    def a_second(self) -> float:
        return len(self.singly) / self.together

    def percentile(self, share: float) -> float:
        """In seconds, of a text judged by itself."""
        return sorted(self.singly)[min(int(share * len(self.singly)), len(self.singly) - 1)]


class _Line(msgspec.Struct):
    text: str
    role: Role
    context: str | None = None


def bench_texts(table: Table, data: Path = DATA) -> None:
    """Rows for each set."""
    if not data.is_dir():
        table.note(
            f"{data} is not there, so what real texts cost was not measured; set ASSAY_DATA to the folder of the sets"
        )
        return
    panel = load()
    for name, file, role in _SETS:
        found = cost_of(panel, drawn(data / file, role, TEXTS[role]))
        goal = GOALS[role]
        about = f"{name} ({found.characters:,.0f} characters), texts/s and core"
        table.row(about, f"{found.a_second:,.0f}", goal=f">= {goal}", met=found.a_second >= goal)
        for share, shown in ((0.5, "p50"), (0.99, "p99")):
            table.row(f"    one of them alone, {shown}, ms", f"{1e3 * found.percentile(share):.1f}")


def drawn(path: Path, role: Role, most: int) -> list[Text]:
    """Texts of a set, always the same."""
    with gzip.open(path, "rb") as file:
        lines = [msgspec.json.decode(line, type=_Line) for line in file]
    mine = [Text(line.text, role, line.context) for line in lines if line.role == role]
    random.Random(7).shuffle(mine)
    return mine[:most]


def cost_of(panel: Panel, texts: Sequence[Text]) -> Cost:
    """Each text by itself, then all in batches as they come."""
    singly = [_seconds(panel, [text]) for text in texts]
    left = iter(texts)
    together = 0.0
    while batch := list(islice(left, TOGETHER)):
        together += _seconds(panel, batch)
    return Cost(singly, together, sum(len(text.text) for text in texts) / len(texts))


def _seconds(panel: Panel, texts: Sequence[Text]) -> float:
    start = time.process_time()
    panel.ask([Question(text) for text in texts])
    return time.process_time() - start
