"""What the rows are: `python -m detectors.training.synthetic [--show N]`."""

import argparse
import random
import sys
from collections import defaultdict
from statistics import median

from detectors.training.synthetic import topics


def main() -> None:
    """Print rows and median lengths for each head, role and class; with --show, some rows of each topic."""
    parser = argparse.ArgumentParser(prog="python -m detectors.training.synthetic", description=__doc__)
    parser.add_argument("--show", type=int, default=0, help="random rows to print for each topic")
    parser.add_argument("--topic", default="*", help="these topics only, * stands for any letters")
    options = parser.parse_args()
    found = topics(options.topic)
    lengths: defaultdict[tuple[str, str], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for rows in found.values():
        for row in rows:
            for role in row.roles:
                for slug, value in row.labels.items():
                    lengths[slug, role][value].append(len(row.text))
    sys.stdout.write(f"{'head':28}{'role':10}{'rows 0':>8}{'rows 1':>8}{'length 0':>10}{'length 1':>10}\n")
    for (slug, side), classes in sorted(lengths.items()):
        medians = [median(each) if each else 0 for each in classes]
        sys.stdout.write(
            f"{slug:28}{side:10}{len(classes[0]):8}{len(classes[1]):8}{medians[0]:10.0f}{medians[1]:10.0f}\n"
        )
    for name, rows in found.items():
        sys.stdout.write(f"\n{name}: {len(rows)} rows\n")
        for row in random.Random(0).sample(rows, min(options.show, len(rows))):
            ones = [slug for slug, value in row.labels.items() if value] or "-"
            sys.stdout.write(f"  {ones} [{row.context or ''}] {row.text!r}\n")


if __name__ == "__main__":
    main()
