"""The card of each detector, one page, written from its own measurements."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from detectors.manifest import DetectorInfo, Measurement
from detectors.training.tables import BENIGN, DEV, LEFT_OUT

_FINDS = {
    "ngram": (
        "One text at a time, a prompt or a reply (with the end of the prompt behind it): hashed word 1-2-grams and "
        "byte 3-5-grams, an int8 table, a linear path and one small hidden layer, one output a head. It sees wording, "
        "not meaning. Texts are judged in windows of 1,500 code points, the worst window counts, up to 31,400 of them; "
        "what lies beyond is reported as truncated. Scores are probabilities by Platt scaling at the mix of harmful "
        "and harmless rows of the held-out data, which is richer in harm than traffic: use the false-alarm thresholds."
    ),
    "secrets": (
        "Provider tokens (AWS, GitHub, GitLab, Slack, OpenAI, Anthropic, Google, Stripe, npm, PyPI, Hugging Face, "
        "Twilio, SendGrid), JSON web tokens, private key blocks, URLs with a password, and named values with high "
        "entropy; each finding with its place. Documentation examples and placeholders are let through. The score is "
        "our stated confidence in the kind of finding, not a fitted probability."
    ),
    "pii": (
        "E-mail addresses, phone numbers (international, North American), payment cards (Luhn), IBANs (mod 97), US "
        "social security numbers, public IP addresses, and national numbers with check digits: UK NHS, Spanish DNI and "
        "NIE, German tax number, French NIR, Italian codice fiscale, Brazilian CPF, Chinese resident id; each finding "
        "with its place. The score is our stated confidence in the kind of finding, not a fitted probability."
    ),
}
_FAILS = {
    "ngram": (
        "Paraphrase, irony, reported speech and anything that needs knowledge of the world escape it or alarm it.",
        "Held-out rows come from the same sets as the training rows, so their figures flatter; trust the benchmarks.",
        "`preference_bias` was trained on political statements against hobbies: it finds political opinion.",
        "`limited_logical_reasoning` was trained on solutions of school arithmetic only; `injustice` on one-sentence "
        "claims; `lack_of_interpretability` on explanations of quiz answers; `misinformation` on known misconceptions.",
        "`mental_health` and `unawareness_of_emotions` for replies rest on proxy labels; `sycophancy` on a model's "
        "judgement.",
        "`toxicity` and `hate` saw posts whose annotators marked African-American English as offensive more often.",
        "Languages other than English and Chinese are almost unseen in training.",
        "An attacker who can try again gets past it.",
    ),
    "secrets": (
        "Secrets without a known prefix or a telling name beside them; secrets split over lines or encoded again.",
        "Recall is not measured: no labelled secrets that we may use. Nothing is checked online: revoked keys count.",
        "A specimen key of a shape we do not know as a specimen is reported.",
    ),
    "pii": (
        "Names, postal addresses, dates of birth and national phone numbers outside North America are not looked for: "
        "the recall below counts sentences that hold only such data as missed.",
        "A number that happens to satisfy its checksum is reported; addresses of companies count as personal.",
        "It says that personal data is there, not that it should not be.",
    ),
}
_COLUMNS = (
    "AUROC",
    "average precision",
    "F1 at score 0.5",
    "recall at 1 % false alarms",
    "false alarms at 1 %",
    "accuracy at score 0.5",
)


def write(directory: Path, infos: Mapping[str, DetectorInfo], dropped: Sequence[str]) -> None:
    """One Markdown file a detector. `dropped`: lines on heads that were trained and left out."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, info in infos.items():
        text = "\n\n".join(_sections(info, dropped if info.heads else ()))
        (directory / f"{name}.md").write_text(text + "\n", "utf-8")


def _sections(info: DetectorInfo, dropped: Sequence[str]) -> list[str]:
    out = [
        f"# {info.id}",
        f"Weights and tables: {info.licence}. Kind: {info.kind}.",
        "## What it finds",
        _FINDS[info.name],
    ]
    out.append("Sub-categories and auxiliaries: " + ", ".join(f"`{slug}`" for slug in sorted(info.slugs)) + ".")
    if dropped:
        out += ["Trained and left out, because held-out data shows nothing clearly above chance:", _bullets(dropped)]
    if info.heads:
        out.append("No head, for want of shippable labels: `copyrighted_content`, `cultural_insensitivity`.")
    if info.data:
        sets = "; ".join(f"{item.set} ({item.licence}; {item.rows:,})" for item in info.data)
        out += ["## Trained on", f"Set (licence as published; rows): {sets}."]
    if any(map(_is_public, info.measured)):
        out += ["## Measured on public benchmarks", _PREFACE, _benchmark_table(info.measured)]
    out += _benign_findings(info.measured)
    if any(item.set.startswith(LEFT_OUT) for item in info.measured):
        out += ["## Sources left out of a second training, AUROC", _left_out_table(info.measured)]
    if info.heads:
        out += ["## Held-out rows of the training sets", _dev_table(info)]
    out += ["## Operating tables", _operating_text(info), _operating_table(info)]
    return [*out, "## Where it fails", _bullets(_FAILS[info.name])]


def _is_public(item: Measurement) -> bool:
    return item.set not in (DEV, BENIGN) and not item.set.startswith(LEFT_OUT)


def _left_out_table(measured: Sequence[Measurement]) -> str:
    lines = []
    for item in filter(lambda item: item.set.startswith(LEFT_OUT), measured):
        role = item.metric.partition(":")[0]
        name = item.set.removeprefix(f"{LEFT_OUT}: ")
        lines.append([name, f"`{item.slug}`", role, f"{item.rows:,}", _figure(item.value)])
    return _table(["set", "head", "role", "rows", "AUROC"], lines)


def _benign_findings(measured: Sequence[Measurement]) -> list[str]:
    lines = [f"{item.metric} on {item.rows:,} {item.set}: {item.value:.2%}" for item in measured if item.set == BENIGN]
    return ["## Findings in benign texts", _bullets(lines)] if lines else []


_PREFACE = (
    "Shipped file, nothing chosen on these rows. Recall and false alarms are at the default threshold (1 % on our own "
    "benign rows). Length: what the text's length alone scores as AUROC."
)


def _benchmark_table(measured: Sequence[Measurement]) -> str:
    groups: defaultdict[tuple[str, str, str, int], dict[str, Measurement]] = defaultdict(dict)
    for item in measured:
        role, _, metric = item.metric.partition(": ")
        if _is_public(item):
            groups[item.set, item.slug, role, item.rows][metric] = item
    lines = []
    for (title, slug, role, rows), by_metric in groups.items():
        figures = [_figure(by_metric[column].value) if column in by_metric else "" for column in _COLUMNS]
        length = by_metric["AUROC"].length_auroc if "AUROC" in by_metric else None
        lines.append([title, f"`{slug}`", role, f"{rows:,}", *figures, "" if length is None else _figure(length)])
    header = [
        "benchmark",
        "head",
        "role",
        "rows",
        "AUROC",
        "AP",
        "F1 ≥ .5",
        "recall",
        "false alarms",
        "accuracy",
        "length",
    ]
    return _table(header, lines)


def _dev_table(info: DetectorInfo) -> str:
    lines = []
    by_key = {(item.slug, item.metric): item for item in info.measured if item.set == DEV}
    for (slug, role), (found, alarms) in info.rates.items():
        items = [by_key[slug, f"{role}: {metric}"] for metric in ("AUROC", "average precision", "calibration error")]
        values = [_figure(item.value) for item in items]
        lines.append([f"`{slug}`", role, f"{items[0].rows:,}", *values, _figure(found), _figure(alarms)])
    header = ["head", "role", "rows", "AUROC", "AP", "calibration error", "recall at 1 %", "false alarms"]
    return _table(header, lines)


def _operating_text(info: DetectorInfo) -> str:
    text = (
        "Score from which a text counts as flagged, by share of benign rows flagged; empty where the rows are too few."
    )
    borrowed = [f"`{slug}` ({role})" for slug, role in info.operating if (slug, role) not in info.rates]
    return f"{text} Recall not measured, too few positives: {', '.join(borrowed)}." if borrowed else text


def _operating_table(info: DetectorInfo) -> str:
    rates = sorted({rate for table in info.operating.values() for rate, _ in table})
    lines = []
    for (slug, role), table in info.operating.items():
        by_rate = dict(table)
        cells = [f"{by_rate[rate]:.4g}" if rate in by_rate else "" for rate in rates]
        lines.append([f"`{slug}`", role, f"{info.benign_rows[slug, role]:,}", *cells])
    return _table(["head", "role", "benign rows", *(f"{rate:.4g}" for rate in rates)], lines)


def _figure(value: float) -> str:
    return f"{value:.3f}"


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(header)
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines))
