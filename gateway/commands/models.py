"""The commands that load the detectors: score, taxonomy, fingerprint build and check; `policy_commands` has the rest.

`gateway.__main__` imports this module only when one of them is run: a process that serves holds no model code.
"""

import argparse
import json
import sys

from detectors.rules.fingerprint import Fingerprints, Header, build, corpus_files, read_corpus
from gateway.study import offline


def score(parsed: argparse.Namespace) -> int:
    """`assay score`: 1 when a line was bad, 2 for a slug or batch that cannot be."""
    only = frozenset(slug.strip() for slug in parsed.only.split(",")) if parsed.only else None
    try:
        bad = offline.score(sys.stdin.buffer, sys.stdout, only=only, batch=parsed.batch, progress=sys.stderr.isatty())
    except ValueError as error:
        sys.stderr.write(f"assay: {error}\n")
        return 2
    return 1 if bad else 0


def taxonomy(parsed: argparse.Namespace) -> int:
    """`assay taxonomy`."""
    rows = offline.taxonomy_rows()
    shown = json.dumps(rows, indent=1, ensure_ascii=False) if parsed.json else offline.taxonomy_table(rows)
    sys.stdout.write(shown + "\n")
    return 0


def fingerprint_build(parsed: argparse.Namespace) -> int:
    """`assay fingerprint build CORPUS FILE`: 2 when there is nothing to read."""
    try:
        size = sum(file.stat().st_size for file in corpus_files(parsed.corpus))
        with offline.progress(size, "B", "reading") as bar:
            header = build(read_corpus(parsed.corpus, bar.update), parsed.file)
    except ValueError as error:
        sys.stderr.write(f"assay: {error}\n")
        return 2
    sys.stdout.write(f"{parsed.file}: {_held(header)}\n")
    return 0


def fingerprint_check(parsed: argparse.Namespace) -> int:
    """`assay fingerprint check FILE`. Raises ModelError when the file cannot be used."""
    sys.stdout.write(f"{parsed.file}: {_held(Fingerprints(parsed.file).header)}\n")
    return 0


def _held(header: Header) -> str:
    return (
        f"{header.fingerprints:,} fingerprints of {header.words:,} words in {header.texts:,} texts; "
        f"{header.bits / 8 / 2**20:.1f} MiB, one false hit in {1 / header.false_positives:,.0f}"
    )
