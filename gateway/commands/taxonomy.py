"""`assay taxonomy`: the 29 sub-categories and what stands behind each."""

import argparse
import json
import sys

from detectors.behind import taxonomy_rows
from gateway.study import offline


def taxonomy(parsed: argparse.Namespace) -> int:
    """`assay taxonomy`."""
    rows = taxonomy_rows()
    shown = json.dumps(rows, indent=1, ensure_ascii=False) if parsed.json else offline.taxonomy_table(rows)
    sys.stdout.write(shown + "\n")
    return 0
