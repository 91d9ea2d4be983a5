"""Rows we wrote ourselves, for heads whose public labels are thin: a YAML file a topic, ours to ship. In `prompts/` and
`replies/` stand those that are of one kind.

They train and never measure: rows so alike would flatter any figure.
"""

from pathlib import Path

from detectors.training.data import Row
from detectors.training.synthetic.grammar import SET, SETS, topic_rows

__all__ = ["SET", "SETS", "rows", "topics"]


def topics(pattern: str = "*") -> dict[str, list[Row]]:
    """The rows of the YAML files in this folder, by topic, none of them twice. Raises what `topic_rows` does."""
    seen: set[tuple[str, str, tuple[str, ...]]] = set()
    out: dict[str, list[Row]] = {}
    for path in sorted(Path(__file__).parent.rglob(f"{pattern}.yaml"), key=lambda path: path.name):
        out[path.stem] = []
        for row in topic_rows(path):
            key = (row.text.lower(), (row.context or "").lower(), row.roles)
            if key not in seen:
                seen.add(key)
                out[path.stem].append(row)
    return out


def rows() -> list[Row]:
    """The rows of all topics."""
    return [row for found in topics().values() for row in found]
