"""`assay score`: judges JSON lines."""

import argparse
import sys

from gateway.study import offline


def score(parsed: argparse.Namespace) -> int:
    """`assay score`: 1 if a line was bad, 2 for an unknown slug or an impossible batch size."""
    only = frozenset(slug.strip() for slug in parsed.only.split(",")) if parsed.only else None
    try:
        bad = offline.score(sys.stdin.buffer, sys.stdout, only=only, batch=parsed.batch, progress=sys.stderr.isatty())
    except ValueError as error:
        sys.stderr.write(f"assay: {error}\n")
        return 2
    return 1 if bad else 0
