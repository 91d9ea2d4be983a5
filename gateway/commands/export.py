"""`assay export`: labelled samples as training data, each with its weight."""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from gateway.commands.review import shared_ledger
from gateway.config.load import load
from gateway.config.settings import Config, ConfigError
from gateway.opinions.exporting import TrainingRow, classifier_rows, preference_pairs
from gateway.opinions.texts import Texts
from gateway.stores.sqlite import FAILURES
from gateway.study.evaluation.exporting import training_pairs, training_rows
from gateway.study.evaluation.record import RecordError, latest
from gateway.trust.ledger import LedgerError

_MOST_OPINIONS = 1_000_000
_BAD_USE = 2
_NOTHING = {
    "rows": "no labelled sample has a kept text: set `judge`, or label with `assay review`",
    "pairs": "no two answers to the same prompt have labels that differ",
}


def export(parsed: argparse.Namespace) -> int:
    """`assay export`: JSON lines on standard output; 1 when there is nothing. Raises ConfigError."""
    if parsed.evaluation:
        nothing = f"{parsed.evaluation} has no {parsed.kind}"
        return _written(_of_evaluation(parsed.evaluation, parsed.kind), nothing)
    config = load(path=parsed.config)
    if config.state_dir is None:
        raise ConfigError(["state_dir: set it (ASSAY_STATE_DIR), for the gateway too: it holds the kept texts"])
    if not config.review_text:
        raise ConfigError(
            ["review_text is off, so no texts are kept and none can be exported; set it (ASSAY_REVIEW_TEXT)"]
        )
    try:
        rows = asyncio.run(_rows(config, parsed.window))
    except (LedgerError, *FAILURES) as error:
        sys.stderr.write(f"assay: the labelled samples cannot be read: {error}\n")
        return _BAD_USE
    return _written(_chosen(rows, parsed.kind), _NOTHING[parsed.kind])


def _written(rows: Iterable[object], nothing: str) -> int:
    found = False
    for row in rows:
        sys.stdout.buffer.write(msgspec.json.encode(row) + b"\n")
        found = True
    sys.stdout.flush()
    if not found:
        sys.stderr.write(f"assay: {nothing}\n")
    return 0 if found else 1


def _of_evaluation(path: Path, kind: str) -> Iterator[object]:
    """Raises ConfigError, OSError."""
    try:
        judged = list(latest(path).values())
    except RecordError as error:
        raise ConfigError([str(error)]) from error
    yield from training_pairs(judged) if kind == "pairs" else (row.as_json() for row in training_rows(judged))


def _chosen(rows: Sequence[TrainingRow], kind: str) -> Iterator[object]:
    yield from preference_pairs(rows) if kind == "pairs" else (row.as_json() for row in rows)


async def _rows(config: Config, window: str) -> list[TrainingRow]:
    assert config.state_dir is not None
    ledger = shared_ledger(config)
    texts = Texts(config.state_dir, days=config.ledger_days, most_bytes=config.ledger_bytes, clock=_now)
    opinions = await ledger.opinions(window, _MOST_OPINIONS)
    kept = await texts.of({opinion.sample for opinion, _ in opinions})
    return list(classifier_rows(opinions, kept))


def _now() -> float:
    return time.time()  # noqa: TID251 - the ledger has Unix seconds
