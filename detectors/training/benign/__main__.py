"""Write the benign set as JSON lines, or tell what is in it: `python -m detectors.training.benign [FILE]`; with
`--languages` the everyday texts in twenty other languages, each as a prompt and as an answer.
"""

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from detectors.training.benign import HALVES, Benign, Half, texts
from detectors.training.multilingual.rows import everyday


def main() -> None:
    """With FILE, one JSON object a line: `text`, `role`, `channel`, `kind`, `half`, `labels`. Else a table of kinds."""
    parser = argparse.ArgumentParser(prog="python -m detectors.training.benign", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="where to write")
    parser.add_argument("--half", choices=HALVES, help="this half only")
    parser.add_argument("--languages", action="store_true", help="the everyday texts in other languages")
    parser.add_argument("--show", type=int, default=0, help="random texts to print for each kind")
    options = parser.parse_args()
    halves = (options.half,) if options.half else HALVES
    found = [item for half in halves for item in _in_languages(half)] if options.languages else texts(options.half)
    if options.file:
        options.file.write_text("".join(map(_line, found)), "utf-8")
    else:
        _tell(found, options.show)


def _in_languages(half: Half) -> Iterator[Benign]:
    for language, said in everyday(half).items():
        for text in said:
            yield Benign(text, "user", language, half)
            yield Benign(text, "assistant", language, half)


def _line(benign: Benign) -> str:
    row = {"text": benign.text, "role": benign.role, "channel": benign.channel, "kind": benign.kind}
    return json.dumps({**row, "half": benign.half, "labels": {"unsafe": 0}}, ensure_ascii=False) + "\n"


def _tell(found: list[Benign], show: int) -> None:
    rng = random.Random(0)
    sys.stdout.write(f"{'kind':22}{'role':10}" + "".join(f"{half:>10}" for half in HALVES) + "\n")
    for kind, role in sorted({(item.kind, item.role) for item in found}):
        here = [item for item in found if (item.kind, item.role) == (kind, role)]
        halves = Counter(item.half for item in here)
        sys.stdout.write(f"{kind:22}{role:10}" + "".join(f"{halves[half]:10}" for half in HALVES) + "\n")
        for item in rng.sample(here, min(show, len(here))):
            sys.stdout.write(f"    [{item.channel}, {item.half}] {item.text[:300]!r}\n")
    halves = Counter(item.half for item in found)
    sys.stdout.write(f"{'all':32}" + "".join(f"{halves[half]:10}" for half in HALVES) + "\n")


if __name__ == "__main__":
    main()
