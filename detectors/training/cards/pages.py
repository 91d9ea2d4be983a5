"""The card of each detector, one page, written from its own measurements."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from detectors.manifest import DetectorInfo, Measurement
from detectors.training import prefixes
from detectors.training.cards import sections
from detectors.training.cards.markdown import bullets
from detectors.training.cards.words import FAILS, FINDS, PREFACE
from detectors.training.measure import Curve
from detectors.training.plots import Chart
from detectors.training.tables import LEFT_OUT

# What is drawn of a trained detector; the file is `name-key.svg`.
ROC, RELIABILITY, PREFIXES = "roc", "reliability", "prefixes"
Series = Mapping[str, Curve]
Curves = Mapping[str, dict[str, Series]]

_TENTHS = {share / 5: f"{share / 5:.1f}" for share in range(6)}
_CHARTS = {
    ROC: Chart(
        "Public benchmarks",
        "share of harmless texts flagged",
        "share of harmful texts flagged",
        {0.001: "0.1 %", 0.01: "1 %", 0.1: "10 %", 1.0: "100 %"},
        is_log=True,
    ),
    RELIABILITY: Chart(
        "Held-out rows, both classes weighing the same: is a score of 0.3 right three times in ten?",
        "score",
        "share of positives",
        _TENTHS,
        has_diagonal=True,
    ),
    PREFIXES: Chart(
        "Replies judged while they grow, 1 % of harmless ones flagged at any moment",
        "words seen",
        "share of positives flagged",
        {float(words): str(words) for words in (*prefixes.WORDS, 512)} | {512.0: "all"},
        is_log=True,
    ),
}

_STREAMED = (
    "unsafe",
    "refusal",
    "toxicity",
    "hate",
    "violence",
    "unlawful_conduct",
    "adult_content",
    "cyberattack_misuse",
    "mental_health",
)


def write(directory: Path, infos: Mapping[str, DetectorInfo], curves: Curves) -> None:
    """One Markdown file a detector, and its charts."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, info in infos.items():
        drawn = {**curves.get(name, {}), PREFIXES: _prefix_curves(info.measured)}
        shown = [key for key, series in drawn.items() if series]
        for key in shown:
            _CHARTS[key].write(directory / f"{name}-{key}.svg", drawn[key])
        text = "\n\n".join(_sections(info, shown))
        (directory / f"{name}.md").write_text(text + "\n", "utf-8")


def _prefix_curves(measured: Sequence[Measurement]) -> dict[str, Curve]:
    """Recall against words seen of the heads drawn; all of a reply stands at the last tick."""
    by_key = {(item.slug, item.metric): item.value for item in measured if item.set == prefixes.SET}
    ends = [(float(words), prefixes.AFTER.format(words)) for words in prefixes.WORDS] + [(512.0, prefixes.AT_END)]
    return {
        slug: [(words, by_key[slug, f"{prefixes.ROLE}: {metric}"]) for words, metric in ends]
        for slug in _STREAMED
        if (slug, f"{prefixes.ROLE}: {prefixes.AT_END}") in by_key
    }


def _sections(info: DetectorInfo, shown: Sequence[str]) -> list[str]:
    out = [
        f"# {info.id}",
        f"Weights and tables: {info.licence}. Kind: {info.kind}.",
        "## What it finds",
        FINDS[info.name],
    ]
    out.append("Sub-categories and auxiliaries: " + ", ".join(f"`{slug}`" for slug in sorted(info.slugs)) + ".")
    if info.data:
        sets = "; ".join(f"{item.set} ({item.licence}; {item.rows:,})" for item in info.data)
        out += ["## Trained on", f"Set (licence as published; rows): {sets}."]
    if info.off:
        lines = [f"`{slug}`: {why}" for slug, why in info.off.items()]
        out += ["Switched off, because nothing shows that they work outside their own sources:", bullets(lines)]
    if info.heads:
        out += ["## On public sets that a head was not trained on", sections.range_table(info)]
    if any(map(sections.is_public, info.measured)):
        out += ["## Measured on public benchmarks", PREFACE, sections.benchmark_table(info.measured)]
    out += sections.everyday_alarms(info.measured)
    out += sections.everyday_alarms_by_language(info.measured)
    out += sections.further(info)
    if ROC in shown:
        out.append(f"![ROC curves on public benchmarks]({info.name}-{ROC}.svg)")
    if info.first:
        out += sections.against_first(info.measured, info.first.measured)
    out += sections.own_texts(info.measured)
    out += sections.benign_findings(info.measured)
    if any(item.set.startswith(LEFT_OUT) for item in info.measured):
        out += ["## Sources that nothing was trained on, AUROC", sections.left_out_table(info.measured)]
    if info.heads and info.rates:
        out += ["## Held-out rows of the training sets", sections.dev_table(info)]
    if RELIABILITY in shown:
        out.append(f"![Calibration on held-out rows]({info.name}-{RELIABILITY}.svg)")
    out += sections.growing(info, f"{info.name}-{PREFIXES}.svg" if PREFIXES in shown else "")
    out += ["## Operating tables", sections.operating_text(info), sections.rate_table(info.operating, info.benign_rows)]
    return [*out, "## Where it fails", bullets(FAILS[info.name])]
