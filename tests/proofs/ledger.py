"""What the ledger costs, with many samples in it: processor time to keep a sample, and to answer each of the page's
questions.

    python -m tests.proofs.ledger [--samples 1000000] [--file FILE]

The samples are of 36 groups (three routes, four models, three languages) and of 40 callers, over seven and a half
days, with thirty scores each; some 3,600 of them have the opinion of a judge, 720 that of a person. With `--file` the
ledger is kept and used again. Times are of the whole process, the thread that reads the file included.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import httpx
from starlette.applications import Starlette

from detectors.opinions import Opinion
from gateway.pages.callers import callers_route
from gateway.pages.rates import compare_route, groups_route, rates_route
from gateway.trust.judged import DIRECTIONS, Direction, Judged
from gateway.trust.ledger import WINDOWS, Entry, Ledger, LedgerStore, Score
from gateway.trust.second_opinion import Kind, Label, SecondOpinion
from gateway.trust.stores.sqlite_ledger import SqliteStore
from tests.support.worlds.ledgers import HOUR, NOON

DAYS = 7.5
ROUTES, MODELS, LANGUAGES, CALLERS = 3, 4, 3, 40
COLUMNS: list[tuple[Direction, str]] = [(way, f"sub_category_{number}") for way in DIRECTIONS for number in range(15)]
JUDGED, LABELLED = 3_600, 720
ROUNDS = 3
KEPT = 8  # batches
PRUNES = 12  # as many more as leave nothing to roll up: a gateway prunes every minute, not every six hours
_KINDS_OF_TEXT = 400
_AT_ONCE = 2_000
QUESTIONS = (
    *(f"rates?window={window}" for window in WINDOWS),
    *(f"compare?window={window}&model=model_0&other_model=model_1" for window in WINDOWS),
    *(f"compare?window={window}&other=before" for window in ("24h", "7d")),
    *(f"callers?window={window}" for window in WINDOWS),
    "groups?window=7d",
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds of processor time, the least of some rounds."""

    question: str
    milliseconds: float


def entries(number: int, *, since: float, seconds: float, chance: random.Random) -> Iterator[Entry]:
    """Samples at even distances of time."""
    about = [""] * 6
    texts = [
        Entry.of("", 0.0, 1.0, *about, scores=[Score(way, o.slug, o.score, o.flagged, o.detector) for way, o in found])
        for found in _findings(chance)
    ]
    for at in range(number):
        group, text = chance.randrange(ROUTES * MODELS * LANGUAGES), chance.choice(texts)
        yield Entry(
            f"{since:.0f}-{at}",
            since + seconds * at / number,
            0.25,
            f"route_{group % ROUTES}",
            f"model_{group // ROUTES % MODELS}",
            f"caller_{chance.randrange(CALLERS)}",
            f"language_{group // ROUTES // MODELS}",
            "chat",
            "",
            text.schema,
            text.values,
            text.flags,
        )


def _findings(chance: random.Random) -> list[list[tuple[Direction, Opinion]]]:
    """Of each kind of text."""

    def opinion(slug: str) -> Opinion:
        score = chance.betavariate(0.3, 3)
        return Opinion("encoder@6", slug, score, score > 0.8, [])

    return [[(way, opinion(slug)) for way, slug in COLUMNS] for _ in range(_KINDS_OF_TEXT)]


async def fill(store: LedgerStore, samples: int) -> None:
    """An hour at a time: the last hours minute by minute, of the earlier ones all in one minute, because sums by the
    minute are not kept of them."""
    chance = random.Random(5)
    hours = int(DAYS * 24)
    opined = dict.fromkeys(range(hours), (JUDGED // hours, LABELLED // hours))
    for hour in range(hours):
        since = NOON - 1800 - (hours - 1 - hour) * HOUR
        last = hour >= hours - 3
        seconds = 1790.0 if hour == hours - 1 else 3600.0 if last else 59.0
        some = list(entries(samples // hours, since=since, seconds=seconds, chance=chance))
        for at in range(0, len(some), _AT_ONCE * 5):
            await store.add(some[at : at + _AT_ONCE * 5])
        await store.opine(list(opinions(some, *opined[hour], chance)))
        if hour % 6 == 5 or last:
            await store.prune(since + seconds)
    for _ in range(PRUNES):
        await store.prune(NOON)


def opinions(of: Sequence[Entry], judged: int, labelled: int, chance: random.Random) -> Iterator[SecondOpinion]:
    """Harm is where the score says so."""
    kinds: tuple[tuple[Kind, str, int], ...] = (("judge", "guard@1", judged), ("person", "ann", labelled))
    for kind, name, wanted in kinds:
        number = min(wanted, len(of))
        for entry in of[:number]:
            labels = [Label(s.direction, s.slug, float(chance.random() < s.score)) for s in entry.scores]
            yield SecondOpinion(entry.id, entry.at + 60, kind, name, number / len(of), labels)


async def answers(ledger: Ledger, questions: Sequence[str] = QUESTIONS) -> list[Cost]:
    app = Starlette(routes=[rates_route(ledger), compare_route(ledger), callers_route(ledger), groups_route(ledger)])
    found = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ledger") as client:
        for question in questions:
            times = []
            for _ in range(ROUNDS):
                began = process_time()
                answer = await client.get(f"/trust/v1/{question}")
                times.append(process_time() - began)
                answer.raise_for_status()
            found.append(Cost(question, 1000 * min(times)))
    return found


async def keeping(store: LedgerStore, *, groups: bool) -> float:
    """Microseconds of processor time for each of some thousand samples, from where they are judged to where they are
    stored; 2,000 come within ten seconds and are written at once: of one group, or of all."""
    chance = random.Random(6)
    ledger = Ledger(store, clock=lambda: NOON)
    findings = _findings(chance)
    times = []
    for part in range(KEPT):
        some = [
            _judged(f"{groups}-{part}-{n}", NOON + 10 * (part + n / _AT_ONCE), chance.choice(findings), chance, groups)
            for n in range(_AT_ONCE)
        ]
        began = process_time()
        for judged in some:
            ledger.take(judged)
        await ledger.flush()
        times.append(process_time() - began)
    return 1e6 * min(times) / _AT_ONCE


def _judged(
    id: str, at: float, found: Sequence[tuple[Direction, Opinion]], chance: random.Random, groups: bool
) -> Judged:
    group = chance.randrange(ROUTES * MODELS * LANGUAGES) if groups else 0
    route, model = f"route_{group % ROUTES}", f"model_{group // ROUTES % MODELS}"
    language, caller = f"language_{group // ROUTES // MODELS}", f"caller_{group % 12}"
    return Judged(
        id=id,
        at=at,
        probability=0.25,
        route=route,
        model=model,
        caller=caller,
        operation="chat",
        outcome="completed",
        stream=False,
        guarded=False,
        language=language,
        unread="",
        findings=[],
        scores=found,
        decisions={},
    )


async def measure(path: Path, samples: int, *, new: bool) -> str:
    store = SqliteStore(path, days=30.0, most_bytes=4 * 2**30)
    if new:
        await fill(store, samples)
    ledger = Ledger(store, clock=lambda: NOON)
    lines = [f"| `{cost.question}` | {cost.milliseconds:.0f} |" for cost in await answers(ledger)]
    await store.close()
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "ledger.db", days=30.0, most_bytes=2**30)
        one, many = [await keeping(store, groups=groups) for groups in (False, True)]
        await store.close()
    return "\n".join(
        [
            "| question | ms |",
            "|---|---|",
            *lines,
            "",
            f"Keeping a sample: {one:.0f} µs of one group, {many:.0f} µs of 36 groups.",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--file", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = asked.file or Path(folder) / "ledger.db"
        sys.stdout.write(asyncio.run(measure(path, asked.samples, new=not path.exists())))


if __name__ == "__main__":
    main()
