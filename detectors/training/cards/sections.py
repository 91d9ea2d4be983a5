"""The sections of a card that are made of measurements: each is a function of them, and empty without them."""

from collections import defaultdict
from collections.abc import Sequence

from detectors.base import OperatingTable
from detectors.manifest import BySlugRole, DetectorInfo, Measurement
from detectors.training import everyday, prefixes
from detectors.training.cards.markdown import bullets, figure, grid
from detectors.training.cards.words import GROWING
from detectors.training.leaks import measured as leaks
from detectors.training.multilingual import tables as multilingual
from detectors.training.public_sets import OWN_RATES, RELATED
from detectors.training.tables import BENIGN, DEV, LEFT_OUT

_COLUMNS = (
    "AUROC",
    "average precision",
    "F1 at score 0.5",
    *OWN_RATES.values(),
    "recall at 1 % false alarms",
    "false alarms at 1 %",
    "accuracy at score 0.5",
    "pair accuracy",
)
_DEV_COLUMNS = ("AUROC", "average precision", "calibration error", "recall at 0.1 % false alarms")


def further(info: DetectorInfo) -> list[str]:
    """What the pair model's own benchmarks tell beside the usual columns."""
    if info.kind != "pair":
        return []
    lines = [
        [item.set, f"`{item.slug}`", item.metric.partition(": ")[2], f"{item.rows:,}", figure(item.value)]
        for item in info.measured
        if is_public(item) and item.metric.partition(": ")[2] not in (*_COLUMNS, "AUROC")
    ]
    header = ["set", "sub-category", "metric", "rows", "value"]
    return ["## Further figures on the same rows", grid(header, lines)]


def against_first(measured: Sequence[Measurement], first: Sequence[Measurement]) -> list[str]:
    """Where the cheap stage alone ranks as well."""
    before = {(item.set, item.slug, item.metric): item.value for item in first}
    lines = [
        f"{item.set}, `{item.slug}` ({item.metric.partition(':')[0]}): {item.value:.3f} against {alone:.3f}"
        for item in filter(is_public, measured)
        if item.metric.endswith(": AUROC") and (alone := before.get((item.set, item.slug, item.metric))) is not None
        if item.value <= alone
    ]
    return ["## Where the first stage alone ranks as well (AUROC)", bullets(lines)] if lines else []


def range_table(info: DetectorInfo) -> str:
    """By head and role the range of AUROC over the public sets of other sources: what to expect elsewhere."""
    found: defaultdict[tuple[str, str], list[Measurement]] = defaultdict(list)
    for item in filter(is_public, info.measured):
        role, _, metric = item.metric.partition(": ")
        one_language = item.set.partition(",")[2] != "" and info.name != multilingual.NAME
        if metric == "AUROC" and not item.seen and item.slug in info.slugs and not one_language:
            found[item.slug, role].append(item)
    lines = []
    for (slug, role), items in found.items():
        low, high = (pick(items, key=lambda item: item.value) for pick in (min, max))
        span = figure(low.value) if len(items) == 1 else f"{figure(low.value)} to {figure(high.value)}"
        lines.append([f"`{slug}`", role, str(len(items)), span, low.set, high.set])
    return grid(["head", "role", "sets", "AUROC", "lowest on", "highest on"], lines)


def everyday_alarms(measured: Sequence[Measurement]) -> list[str]:
    """False alarms on our own harmless texts, by head and length."""
    by_key = {(item.slug, item.metric): item for item in measured if item.set == everyday.SET}
    heads = dict.fromkeys((slug, metric.partition(":")[0]) for slug, metric in by_key)
    names = [name for name, _, _ in everyday.bands()]
    lines = []
    for slug, role in heads:
        items = [by_key.get((slug, f"{role}: {everyday.ALARMS}, {name}")) for name in names]
        lines.append([f"`{slug}`", role, *("" if item is None else f"{item.value:.1%}" for item in items)])
    text = f"Share flagged at the default threshold of {everyday.SET} (`detectors.training.benign`)."
    return ["## False alarms on everyday texts", text, grid(["head", "role", *names], lines)] if lines else []


def everyday_alarms_by_language(measured: Sequence[Measurement]) -> list[str]:
    """False alarms of prompts on our harmless texts in other languages."""
    mine = [
        item for item in measured if item.set.startswith(multilingual.EVERYDAY) and item.metric.startswith("prompt")
    ]
    if not mine:
        return []
    values = {(item.set.rpartition(": ")[2], item.slug): item for item in mine}
    languages, slugs = (list(dict.fromkeys(column)) for column in zip(*values, strict=True))
    lines = [
        [language, str(values[language, slugs[0]].rows), *(f"{values[language, slug].value:.1%}" for slug in slugs)]
        for language in languages
    ]
    text = f"Share flagged, as prompts, at the default threshold of {multilingual.EVERYDAY}."
    header = ["language", "texts", *(f"`{slug}`" for slug in slugs)]
    return ["## False alarms on everyday texts, by language", text, grid(header, lines)]


def growing(info: DetectorInfo, chart: str) -> list[str]:
    """Prefix curves and the thresholds that go with them; `chart` is the file they are drawn in, or empty."""
    by_key = {(item.slug, item.metric.partition(": ")[2]): item for item in info.measured if item.set == prefixes.SET}
    if not by_key:
        return []
    metrics = (*map(prefixes.AFTER.format, prefixes.WORDS), prefixes.AT_END)
    lines = [
        [
            f"`{slug}`",
            f"{by_key[slug, prefixes.AT_END].rows:,}" if (slug, prefixes.AT_END) in by_key else "",
            *(figure(by_key[slug, metric].value) if (slug, metric) in by_key else "" for metric in metrics),
            figure(by_key[slug, prefixes.NAIVE].value) if (slug, prefixes.NAIVE) in by_key else "",
        ]
        for slug, _ in info.streams
    ]
    header = ["head", "positives", *map(str, prefixes.WORDS), "whole", "false alarms, whole-text threshold"]
    out = ["## Replies judged while they grow", GROWING, grid(header, lines)]
    if chart:
        out.append(f"![Recall against words seen]({chart})")
    return [*out, "Thresholds by share of benign replies that reach them at any moment:", rate_table(info.streams)]


def is_public(item: Measurement) -> bool:
    own = item.set in (DEV, BENIGN, leaks.SET, prefixes.SET, everyday.SET)
    return not own and not item.set.startswith((LEFT_OUT, multilingual.EVERYDAY))


def left_out_table(measured: Sequence[Measurement]) -> str:
    lines = []
    for item in filter(lambda item: item.set.startswith(LEFT_OUT), measured):
        role = item.metric.partition(":")[0]
        name = item.set.removeprefix(f"{LEFT_OUT}: ")
        lines.append([name, f"`{item.slug}`", role, f"{item.rows:,}", figure(item.value)])
    return grid(["set", "head", "role", "rows", "AUROC"], lines)


def benign_findings(measured: Sequence[Measurement]) -> list[str]:
    lines = [f"{item.metric} on {item.rows:,} {item.set}: {item.value:.2%}" for item in measured if item.set == BENIGN]
    return ["## Findings in benign texts", bullets(lines)] if lines else []


def own_texts(measured: Sequence[Measurement]) -> list[str]:
    lines = [f"{item.metric} on {item.rows:,} texts: {item.value:.3f}" for item in measured if item.set == leaks.SET]
    return [f"## Measured on {leaks.SET}", bullets(lines)] if lines else []


def benchmark_table(measured: Sequence[Measurement]) -> str:
    groups: defaultdict[tuple[str, str, str, int], dict[str, Measurement]] = defaultdict(dict)
    for item in measured:
        role, _, metric = item.metric.partition(": ")
        if is_public(item):
            groups[item.set, item.slug, role, item.rows][metric] = item
    lines = []
    for (title, slug, role, rows), by_metric in groups.items():
        if by_metric.keys().isdisjoint(_COLUMNS):
            continue
        figures = [figure(by_metric[column].value) if column in by_metric else "" for column in _COLUMNS]
        length = by_metric["AUROC"].length_auroc if "AUROC" in by_metric else None
        source = "own" if any(item.seen for item in by_metric.values()) else "related" if title in RELATED else ""
        cells = [title, f"`{slug}`", role, f"{rows:,}", source, *figures]
        lines.append([*cells, "" if length is None else figure(length)])
    header = [
        "benchmark",
        "head",
        "role",
        "rows",
        "source",
        "AUROC",
        "AP",
        "F1 ≥ .5",
        "recall @ 1 %",
        "@ 0.1 %",
        "recall",
        "false alarms",
        "accuracy",
        "pairs",
        "length",
    ]
    return grid(header, lines)


def dev_table(info: DetectorInfo) -> str:
    lines = []
    by_key = {(item.slug, item.metric): item for item in info.measured if item.set == DEV}
    for (slug, role), (found, alarms) in info.rates.items():
        items = [by_key.get((slug, f"{role}: {metric}")) for metric in _DEV_COLUMNS]
        values = ["–" if item is None else figure(item.value) for item in items]
        rows = max((item.rows for item in items if item is not None), default=0)
        lines.append([f"`{slug}`", role, f"{rows:,}", *values, figure(found), figure(alarms)])
    header = ["head", "role", "rows", "AUROC", "AP", "calibration error", "recall at 0.1 %", "at 1 %", "false alarms"]
    return grid(header, lines)


def operating_text(info: DetectorInfo) -> str:
    text = (
        "Score from which a text counts as flagged, by share of benign rows flagged; empty where the rows are too few."
    )
    borrowed = [f"`{slug}` ({role})" for slug, role in info.operating if (slug, role) not in info.rates]
    if not borrowed:
        return text
    return (
        f"{text} Recall on held-out rows not measured, for want of positives (their scores are calibrated on the other "
        f"role, or on texts that we wrote and trained on): {', '.join(borrowed)}."
    )


def rate_table(tables: BySlugRole[OperatingTable], benign_rows: BySlugRole[int] | None = None) -> str:
    rates = sorted({rate for table in tables.values() for rate, _ in table})
    lines = []
    for (slug, role), table in tables.items():
        by_rate = dict(table)
        cells = [f"{by_rate[rate]:.4g}" if rate in by_rate else "" for rate in rates]
        lines.append([f"`{slug}`", role, *([f"{benign_rows[slug, role]:,}"] if benign_rows else []), *cells])
    header = ["head", "role", *(["benign rows"] if benign_rows else []), *(f"{rate:.4g}" for rate in rates)]
    return grid(header, lines)
