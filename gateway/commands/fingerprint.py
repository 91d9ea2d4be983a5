"""`assay fingerprint`: makes and checks files with which verbatim copies of your works are found."""

import argparse
import sys

from detectors.rules.fingerprint import Fingerprints, Header, build, corpus_files, read_corpus
from gateway.study import offline


def build_file(parsed: argparse.Namespace) -> int:
    """`assay fingerprint build CORPUS FILE`: 2 if the corpus cannot be used."""
    try:
        size = sum(file.stat().st_size for file in corpus_files(parsed.corpus))
        with offline.progress(size, "B", "reading") as bar:
            header = build(read_corpus(parsed.corpus, bar.update), parsed.file)
    except ValueError as error:
        sys.stderr.write(f"assay: {error}\n")
        return 2
    sys.stdout.write(f"{parsed.file}: {_held(header)}\n")
    return 0


def check(parsed: argparse.Namespace) -> int:
    """`assay fingerprint check FILE`. Raises ModelError when the file cannot be used."""
    sys.stdout.write(f"{parsed.file}: {_held(Fingerprints(parsed.file).header)}\n")
    return 0


def _held(header: Header) -> str:
    return (
        f"{header.fingerprints:,} fingerprints of {header.words:,} words in {header.texts:,} texts; "
        f"{header.bits / 8 / 2**20:.1f} MiB, one false hit in {1 / header.false_positives:,.0f}"
    )
