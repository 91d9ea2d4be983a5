"""What is known of the operator's detectors: a card of each, in Markdown."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from detectors.own.specs import Classifier, OwnDetectors, ServedGuard, Spec, WordList, digest
from gateway.enforcement.local_tables import LocalTable, LocalTables

_KINDS: Mapping[type[Spec], str] = {
    Classifier: "a text classifier (ONNX) of yours",
    WordList: "a word list of yours",
    ServedGuard: "a guard that a server runs for you",
}


def cards(own: OwnDetectors, local: LocalTables) -> str:
    """The cards, one after the other."""
    return "\n".join("".join(f"{line}\n" for line in _card(spec, own, local)) for spec in own.specs)


def _card(spec: Spec, own: OwnDetectors, local: LocalTables) -> Iterator[str]:
    yield f"# {spec.id}"
    yield ""
    yield f"{_KINDS[type(spec)]}. Source: {spec.origin or 'not stated'}."
    yield ""
    if fault := own.faults.get(spec.name):
        yield f"**It does not work**: {fault}."
        yield ""
    yield from _made_of(spec)
    yield ""
    yield "| sub-category | side | false alarms (share of harmless texts: score) | harmless texts |"
    yield "|---|---|---|---|"
    for slug, role in sorted(spec.heads()):
        yield f"| `{slug}` | {role} | {_table(spec, local.get((spec.id, slug, role)))} |"
    yield ""
    yield "How much of the harm it finds is not known, nor are its errors on public benchmarks."


def _made_of(spec: Spec) -> Iterator[str]:
    for field in spec.files:
        path = Path(getattr(spec, field))
        yield f"- {field}: `{path}`, sha256 {digest(path)[:16]}"
    if isinstance(spec, Classifier):
        mapped = ", ".join(f"{label} → {slug or 'nothing'}" for label, slug in spec.outputs)
        yield f"- labels: {mapped}; {spec.activation}"
        yield f"- long texts: at most {spec.most_windows} windows are read, and the highest score counts"
        yield "- scores: the model's own, not calibrated"
    elif isinstance(spec, WordList):
        yield f"- findings are called `{spec.label}`; the score is 1 where a text contains a phrase, else 0"
    else:
        yield "- scores: what the guard says, not calibrated; texts are sent to its server"


def _table(spec: Spec, table: LocalTable | None) -> str:
    if table is None:
        return f"no table yet: flagged from a score of {spec.flag_score:g} | 0"
    shown = ", ".join(f"{rate:g}: {score:.4f}" for rate, score in table.rows)
    return f"{shown} | {table.harmless:,.0f}"
