"""`python -m detectors.training.leaks`: our rule for secrets beside two others on the labelled set, as a table.

With `--detect-secrets PYTHON`, an interpreter that has detect-secrets, that one too. Takes some minutes.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from detectors.rules import secrets
from detectors.training.leaks import peers, sets
from detectors.training.leaks.measured import Score, located, ours, score
from detectors.training.leaks.sets import Item

HALVES = {"held-out": sets.HELD_OUT, "dev": sets.DEV}
HEAD = (
    "| finder | half | recall, cut whole | found at all | precision | false cuts in 1,000 source files | µs per KB |\n"
    "|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Print what is in each half, then a line a finder as soon as it is measured; the others on held-out alone."""
    parser = argparse.ArgumentParser(prog="python -m detectors.training.leaks", description=__doc__)
    parser.add_argument("--detect-secrets", type=Path, metavar="PYTHON", help="interpreter that has detect-secrets")
    options = parser.parse_args()
    halves = {name: [*sets.positives(half), *sets.negatives(half)] for name, half in HALVES.items()}
    for name, items in halves.items():
        _print(_contents(name, items))
    _print(f"\n{HEAD}")
    for name, items in halves.items():
        found, seconds = ours(secrets.RULE.find, items)
        _print(_row("ours", name, score(found, items, seconds)))
    for finder, result in _others(halves["held-out"], options.detect_secrets):
        _print(_row(finder, "held-out", result))


def _others(items: list[Item], python: Path | None) -> Iterator[tuple[str, Score]]:
    started = time.process_time()
    plain = [located(peers.plainly(item.text), item.text) for item in items]
    yield "plain shapes and entropy", score(plain, items, time.process_time() - started)
    if python is not None:
        started = time.perf_counter()
        values = peers.with_detect_secrets(python, items)
        seconds = time.perf_counter() - started
        places = [located(found, item.text) for found, item in zip(values, items, strict=True)]
        yield "detect-secrets", score(places, items, seconds)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _row(name: str, half: str, result: Score) -> str:
    return (
        f"| {name} | {half} | {result.recall:.3f} | {result.touched_share:.3f} | {result.precision:.3f} "
        f"| {result.per_thousand_files:.1f} | {result.microseconds_per_kilobyte:.0f} |"
    )


def _contents(half: str, items: list[Item]) -> str:
    with_secret = [item for item in items if item.secrets]
    kinds = Counter("source files" if item.is_file else item.kind for item in items if not item.secrets)
    listed = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    return (
        f"{half}: {len(with_secret):,} texts with a secret in {len({item.kind for item in with_secret})} formats; "
        f"{len(items) - len(with_secret):,} without: {listed}"
    )


if __name__ == "__main__":
    main()
