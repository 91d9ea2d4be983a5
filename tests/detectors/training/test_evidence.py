"""Lines, composite, shifts and switched-off heads from evidence that is made up."""

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest

from detectors.base import OperatingTable, Role
from detectors.manifest import Measurement, Tables, threshold
from detectors.training import evidence
from detectors.training.data import BENIGN, BOTH, HARMS, HEADS, LEFT_OUT, ORDINARY, TRAIN, Row, Source
from detectors.training.data import rows as rows_of
from detectors.training.encoder.mixture import DOMAINS, MOST, Supply, draws
from detectors.training.evidence import LENGTHS, MIN_POSITIVES, Evidence, balanced
from detectors.training.measure import platt
from detectors.training.synthetic import SETS
from detectors.training.tables import DEV, head_tables, public_rates, switched_off

UNSEEN = next(iter(LEFT_OUT))
SEEN = next(iter(TRAIN))
HARMLESS = {"unsafe": 0, "refusal": 0, **dict.fromkeys(HARMS, 0)}
DATE = "2026-01-01"


def made(role: Role, rng: np.random.Generator, words: int = 60, count: int = 600) -> Evidence:
    """Rows of an unseen source, half of them violent; both networks know, the second better."""
    labels = [HARMLESS if number % 2 else {"unsafe": 1, "violence": 1} for number in range(count)]
    rows = [Row("w " * words, None, (role,), each, UNSEEN, False) for each in labels]
    ones = np.array([each["unsafe"] for each in labels])
    logits = rng.normal(size=(count, 2 * len(HEADS)))
    heads = list(HEADS)
    for slug in ("unsafe", "violence"):
        for column, gain in ((heads.index(slug), 1.0), (len(heads) + heads.index(slug), 4.0)):
            logits[:, column] += gain * (2 * ones - 1)
    return Evidence(role, rows, logits)


def both(rng: np.random.Generator, **more: int) -> dict[Role, Evidence]:
    return {"prompt": made("prompt", rng, **more), "response": made("response", rng, **more)}


def test_both_classes_weigh_the_same_and_no_source_is_most_of_one() -> None:
    sets = np.array(["big"] * 5_000 + ["small"] * 50 + ["other"] * 100)
    ones = np.array([True] * 5_050 + [False] * 100)
    weights = balanced(sets, ones)
    assert weights[ones].sum() == pytest.approx(weights[~ones].sum())
    big, small = weights[sets == "big"].sum(), weights[sets == "small"].sum()
    assert big / small == pytest.approx(evidence.SOURCE_ROWS / 50)


def test_lines_rest_on_unseen_sources_where_there_are_enough() -> None:
    found = made("prompt", np.random.default_rng(1))
    rows = [*found.rows, *(Row("x", None, ("prompt",), {"unsafe": 1}, SEEN, True) for _ in range(50))]
    whole = Evidence("prompt", rows, np.concatenate((found.logits, np.zeros((50, 2 * len(HEADS))))))
    assert whole.firm("unsafe").sum() == len(found.rows)
    few = Evidence("prompt", rows[MIN_POSITIVES:], whole.logits[MIN_POSITIVES:])
    assert few.firm("unsafe")[-1] == (len(few.rows) - 50 < MIN_POSITIVES)
    assert not whole.benign("unsafe")[-50:].any()


def test_a_score_of_one_half_parts_what_was_shown_apart() -> None:
    fitted = evidence.cascade(both(np.random.default_rng(2)))
    for role in ("prompt", "response"):
        odds, ones = fitted.odds["unsafe"][role], fitted.found[role].labels["unsafe"][1]
        assert ((odds > 0) == ones).mean() > 0.98
    first, second, _ = fitted.calibration["violence"]["prompt"]
    assert 0 <= first < second
    assert set(fitted.composite["unsafe"]) == {"prompt", "response"}
    assert "violence" in fitted.composite


def test_no_head_flags_any_of_our_own_shortest_texts() -> None:
    """A rate would let each head flag some of them: a dozen heads together flag many."""
    rng = np.random.default_rng(4)
    found = both(rng)
    rows = [*found["prompt"].rows, *(Row("so it is", None, ("prompt",), {}, BENIGN, True) for _ in range(80))]
    logits = np.concatenate((found["prompt"].logits, rng.normal(scale=4.0, size=(80, 2 * len(HEADS)))))
    fitted = evidence.cascade({**found, "prompt": Evidence("prompt", rows, logits)})
    tables = head_tables(fitted, DATE)
    for slug in ("unsafe", "violence"):
        limit = threshold(tables.operating[slug]["prompt"])
        assert limit is not None
        assert (1 / (1 + np.exp(-fitted.odds[slug]["prompt"][-80:])) < limit).all()


def test_a_short_band_with_more_false_alarms_gets_a_shift_that_ends_them() -> None:
    rng = np.random.default_rng(3)
    found = both(rng)
    short = made("prompt", rng, words=2, count=400)
    rows = [*found["prompt"].rows, *(row for row in short.rows if row.labels["unsafe"] == 0)]
    quiet = short.logits[[row.labels["unsafe"] == 0 for row in short.rows]] + 6  # noisy: every head is surer of them
    logits = np.concatenate((found["prompt"].logits, quiet))
    fitted = evidence.cascade({**found, "prompt": Evidence("prompt", rows, logits)})
    assert fitted.shifts["unsafe"]["prompt"][0] > 0.5
    assert fitted.shifts["unsafe"]["prompt"][1:] == (0.0,) * len(LENGTHS)
    tables = head_tables(fitted, DATE)
    limit = threshold(tables.operating["unsafe"]["prompt"])
    assert limit is not None
    scores = 1 / (1 + np.exp(-fitted.odds["unsafe"]["prompt"][len(found["prompt"].rows) :]))
    assert (scores >= limit).mean() <= 0.03


def test_a_kind_of_harm_in_a_short_reply_needs_that_it_is_harm() -> None:
    """Capped are the heads of harm in the bands of short replies, and nothing else."""
    rng = np.random.default_rng(5)
    found = both(rng)
    short = made("response", rng, words=9, count=400)
    rows = [*found["response"].rows, *short.rows]
    logits = np.concatenate((found["response"].logits, short.logits))
    fitted = evidence.cascade({**found, "response": Evidence("response", rows, logits)})
    (cap,) = {cap for cap in fitted.caps["violence"]["response"] if cap is not None}
    assert [cap is not None for cap in fitted.caps["violence"]["response"]] == [False, True, True, False]
    own, unsafe = (fitted.odds[slug]["response"][-400:] for slug in ("violence", "unsafe"))
    assert (own <= unsafe + cap + 1e-9).all()
    assert not {"unsafe", "toxicity", "hate", "refusal"} & fitted.caps.keys()
    assert head_tables(fitted, DATE).caps["violence"] == fitted.caps["violence"]


@pytest.mark.slow
def test_our_own_texts_of_a_band_are_flagged_at_the_rate_where_there_are_enough_of_them() -> None:
    rng = np.random.default_rng(6)
    found = both(rng)
    for count, is_shifted in ((evidence.OWN_ROWS, True), (evidence.OWN_ROWS - 1, False)):
        more = [Row("so it is on every day", None, ("prompt",), {}, BENIGN, True)] * count
        rows = [
            *found["prompt"].rows,
            *more,
            *[Row("so it is and was on", None, ("prompt",), {"unsafe": 0}, "aegis2_sample_prompts", True)] * 9_000,
        ]
        noisy = rng.normal(scale=4.0, size=(count, 2 * len(HEADS)))
        quiet = np.full((9_000, 2 * len(HEADS)), -4.0)
        logits = np.concatenate((found["prompt"].logits, noisy, quiet))
        fitted = evidence.cascade({**found, "prompt": Evidence("prompt", rows, logits)})
        assert (fitted.shifts["unsafe"]["prompt"][1] > 0.5) is is_shifted


def figure(
    slug: str, value: float, *, seen: bool = False, metric: str = "prompt: AUROC", name: str = "other set"
) -> Measurement:
    return Measurement(name, slug, metric, value, 100, DATE, seen=seen)


def test_a_head_that_works_nowhere_else_is_switched_off_and_says_what_is_missing() -> None:
    table: dict[Role, OperatingTable] = {"prompt": ((0.01, 0.9),)}
    names = ("unsafe", "violence", "hate")
    tables = Tables(
        names,
        names,
        {slug: dict(table) for slug in names},
        {slug: {"prompt": 500} for slug in names},
        {slug: {"prompt": (0.9, 0.01)} for slug in names},
        {slug: {"prompt": (1.0, 0.0)} for slug in names},
        (
            figure("unsafe", 0.9),
            figure("unsafe", 0.3, metric="prompt: recall at 1 % false alarms"),
            figure("violence", 0.7),
            figure("violence", 0.99, seen=True),
            figure("violence", 0.98, name=DEV),
            figure("hate", 0.99, seen=True),
        ),
    )
    kept = switched_off(tables)
    assert kept.slugs == ("unsafe",)
    assert kept.heads == names
    assert set(kept.operating) == set(kept.calibration) == {"unsafe"}
    assert "0.70 at best" in kept.off["violence"]
    assert "no set" in kept.off["hate"]
    assert public_rates(kept).rates == {"unsafe": {"prompt": (0.3, 0.01)}}


def test_every_source_has_a_domain_and_none_is_most_of_what_is_shown() -> None:
    named = [name for _, weights in DOMAINS.values() for name in weights]
    assert len(named) == len(set(named))
    assert {*TRAIN, *SETS, "assay_composed"} == set(named)
    assert not {*TRAIN} & ({*LEFT_OUT} | {*ORDINARY})
    supplies = {name: Supply(rows=10 ** (number % 5), pieces=20 + number) for number, name in enumerate(named)}
    chances = draws(supplies)
    shown = {name: chance * supplies[name].pieces for name, chance in chances.items()}
    assert sum(chances.values()) == pytest.approx(1)
    assert max(shown.values()) / sum(shown.values()) <= MOST + 1e-6
    with pytest.raises(KeyError, match="nowhere"):
        draws({**supplies, "nowhere": Supply(1, 1.0)})


def test_where_one_half_lies_for_refusals_rests_on_all_sources_and_our_own_texts() -> None:
    """In the left-out source refusals are easy to miss; elsewhere, and in our own texts, all scores lie higher."""
    rng = np.random.default_rng(8)
    labels = np.arange(800) % 2
    other = np.arange(800) % 4 > 1
    rows = [
        Row("w " * 60, None, BOTH, {"refusal": int(each)}, SEEN if elsewhere else UNSEEN, True)
        for each, elsewhere in zip(labels, other, strict=True)
    ]
    rows += [Row("w " * 60, None, BOTH, {}, BENIGN, True) for _ in range(200)]
    logits = rng.normal(size=(1_000, 2 * len(HEADS)))
    column = len(HEADS) + list(HEADS).index("refusal")
    logits[:800, column] += 4 * labels + 3 * other
    logits[800:, column] += 2
    everyday = both(rng)
    known = everyday["response"]
    whole = Evidence("response", [*known.rows, *rows], np.concatenate((known.logits, logits)))
    fitted = evidence.cascade({**everyday, "response": whole})
    odds, ones = fitted.odds["refusal"]["response"][-1_000:], np.concatenate((labels == 1, np.zeros(200, bool)))
    slope, offset = evidence.centre(whole, "refusal", fitted.odds["refusal"]["response"])
    assert (slope, offset) == pytest.approx((1, 0), abs=0.01)  # it is where it belongs
    raw = logits[:, column]
    alone = platt(raw[:800][~other], ones[:800][~other])
    before, after = alone[0] * raw + alone[1] >= 0, odds >= 0
    assert (after != ones).mean() < (before != ones).mean()


def test_unsafe_yields_to_a_refusal_and_no_kind_of_harm_does() -> None:
    """A reply that refuses in the words of harm comes out as less harmful than one that only has the words."""
    rng = np.random.default_rng(9)
    found = both(rng)
    rows = [Row("w " * 60, None, BOTH, {**HARMLESS, "refusal": number % 2}, UNSEEN, True) for number in range(400)]
    logits = rng.normal(size=(400, 2 * len(HEADS)))
    logits[:, len(HEADS) + list(HEADS).index("refusal")] += np.where(np.arange(400) % 2, 6, -6)
    logits[:, len(HEADS) + list(HEADS).index("unsafe")] += 4
    known = found["response"]
    whole = Evidence("response", [*known.rows, *rows], np.concatenate((known.logits, logits)))
    fitted = evidence.cascade({**found, "response": whole})
    tables = head_tables(fitted, DATE)
    assert tables.yields == {"unsafe": {"response": evidence.YIELDS}}
    unsafe = fitted.odds["unsafe"]["response"][-400:]
    assert unsafe[1::2].mean() < unsafe[::2].mean() - 1


def test_who_answers_with_harm_has_not_refused() -> None:
    labels = [{"unsafe": 1}, {"unsafe": 1, "refusal": 1}, {"unsafe": 0}, {"refusal": 1}]
    rows = [Row("x", None, BOTH, each, UNSEEN, False) for each in labels]
    known, ones = Evidence("response", rows, np.zeros((4, len(HEADS)))).labels["refusal"]
    assert known.tolist() == [True, True, False, True]
    assert ones.tolist() == [False, True, False, True]
    known, _ = Evidence("prompt", rows, np.zeros((4, len(HEADS)))).labels["refusal"]
    assert known.tolist() == [False, True, False, True]


def test_rows_of_a_class_that_is_left_are_not_read(tmp_path: Path) -> None:
    def raw(text: str, kind: str | None) -> dict[str, object]:
        meta = {} if kind is None else {"cls": kind}
        return {
            "text": text,
            "context": None,
            "role": "response",
            "labels": {"refusal": 1},
            "set": "made",
            "meta": meta,
        }

    (tmp_path / "train").mkdir()
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"made": {"licence_class": "permissive"}}))
    with gzip.open(tmp_path / "train" / "made.jsonl.gz", "wt") as file:
        for item in (raw("whole", "full"), raw("half", "partial"), raw("plain", None)):
            file.write(json.dumps(item) + "\n")
    found = rows_of(tmp_path, {"made": Source(leave=("partial",))}, random.Random(1))
    assert {row.text for row in found} == {"whole", "plain"}
