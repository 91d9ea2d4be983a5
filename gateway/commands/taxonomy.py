"""`assay taxonomy`: the 29 sub-categories with what measures each, or their places in another list."""

import argparse
import json
import sys
from typing import Any

from detectors.behind import taxonomy_rows
from detectors.mappings import MAPS, unmapped
from detectors.taxonomy import SUBCATEGORIES
from gateway.study import offline


def taxonomy(parsed: argparse.Namespace) -> int:
    """`assay taxonomy`."""
    if parsed.map:
        shown = json.dumps(_mapped(parsed.map), indent=1) if parsed.json else _mapped_table(parsed.map)
    else:
        rows = taxonomy_rows()
        shown = json.dumps(rows, indent=1, ensure_ascii=False) if parsed.json else offline.taxonomy_table(rows)
    sys.stdout.write(shown + "\n")
    return 0


def _mapped(name: str) -> dict[str, Any]:
    mapped = MAPS[name]
    entries = [
        {"code": entry.code, "title": entry.title, "subcategories": list(entry.slugs), "note": entry.note}
        for entry in mapped.entries
    ]
    return {
        "map": name,
        "title": mapped.title,
        "source": mapped.source,
        "entries": entries,
        "unmapped": unmapped(name, [row.slug for row in SUBCATEGORIES]),
    }


def _mapped_table(name: str) -> str:
    """A line for each entry of the list, then the sub-categories that are not in it."""
    rows = _mapped(name)
    width = max(len(entry["code"]) for entry in rows["entries"])
    titles = max(len(entry["title"]) for entry in rows["entries"])
    lines = [f"{rows['title']} ({rows['source']})"]
    for entry in rows["entries"]:
        slugs = ", ".join(entry["subcategories"]) or "none"
        note = f" ({entry['note']})" if entry["note"] else ""
        lines.append(f"  {entry['code']:<{width}}  {entry['title']:<{titles}}  {slugs}{note}")
    return "\n".join([*lines, f"  not in this list: {', '.join(rows['unmapped'])}"])
