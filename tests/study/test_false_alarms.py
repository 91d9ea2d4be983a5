"""The report on what harmless texts set off: from a judge that we write, and from the shipped detectors by a bound."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from detectors.panel import load as load_panel
from detectors.training.benign import texts
from gateway.commands.false_alarms import PanelJudge
from gateway.enforcement.signals import load_policy
from gateway.study.false_alarms import (
    HarmlessText,
    TextOutcome,
    TextPlace,
    TextSignals,
    band,
    outcomes,
    read_texts,
    report,
)
from policies.engine import Signal
from tests.support.worlds.policy_world import HEAD, compiled

RULES = f"""{HEAD}  - {{id: no-violence, when: {{subcategory: violence, on: prompt, channel: user}}, then: block}}
  - {{id: watch, when: {{subcategory: unsafe}}, then: flag}}
  - {{id: whole, when: {{subcategory: toxicity}}, then: block, on_error: block}}
"""


class Scripted:
    """Hears violence where the text says it, and cannot read what begins with '?'."""

    def __call__(self, places: Sequence[TextPlace]) -> list[TextSignals]:
        return [self._heard(place) for place in places]

    def _heard(self, place: TextPlace) -> TextSignals:
        slugs = [slug for slug in ("violence", "unsafe") if slug in place.text]
        signals = [Signal(slug, 1.0, "ngram@1", place.direction, place.channel) for slug in slugs]
        return TextSignals(
            signals, {(slug, "ngram@1") for slug in slugs}, ["ngram@1"] if place.text.startswith("?") else []
        )


def row(text: str, channel: str = "user", kind: str = "any") -> HarmlessText:
    direction = "response" if channel == "assistant" else "prompt"
    return HarmlessText(TextPlace(text, direction, channel), kind)  # type: ignore[arg-type]  # the channels that a test names


def told(*rows: HarmlessText) -> list[TextOutcome]:
    policy = compiled(RULES)
    return list(outcomes(rows, {"p": policy}, Scripted(), batch=2, step=lambda texts: None))


def test_where_no_rule_acts_the_report_says_so() -> None:
    shown = report(told(row("all is well")), ["p"])
    assert "No rule would act on any of these texts." in shown
    assert "| policy | rule |" not in shown


@pytest.mark.parametrize(
    ("words", "name"),
    [(0, "< 5 words"), (4, "< 5 words"), (5, "5–15"), (15, "5–15"), (16, "16–60"), (60, "16–60"), (61, "> 60")],
)
def test_a_text_is_in_one_band(words: int, name: str) -> None:
    assert band(" ".join(["word"] * words)) == name


def test_each_text_has_its_flags_and_its_decisions() -> None:
    found = told(row("violence"), row("violence", "tool"), row("unsafe"), row("hello"), row("? hello"))
    assert [item.decisions["p"].would.acts for item in found] == [True, False, False, False, True]
    assert [sorted(item.heard.flagged) for item in found[:4]] == [
        [("violence", "ngram@1")], [("violence", "ngram@1")], [("unsafe", "ngram@1")], [],
    ]  # fmt: skip


def test_the_report_counts_by_head_length_kind_and_rule() -> None:
    found = told(row("violence"), row("hi"), row("unsafe " * 20, kind="long_texts"), row("?", "assistant"))
    lines = report(found, ["p"]).splitlines()
    assert "| prompt | `violence` | ngram@1 | 50.0 % |  | 0.0 % |  |" in lines
    assert "| prompt | `unsafe` | ngram@1 | 0.0 % |  | 100.0 % |  |" in lines
    assert "| prompt | < 5 words | 2 | 50.0 % |" in lines
    assert "| both | all | 4 | 50.0 % |" in lines
    assert "| both | all that was wholly read | 3 | 33.3 % |" in lines
    assert "| long texts | prompt | 1 | 0.0 % |" in lines
    assert "| p | `no-violence` | violence | 1 |" in lines
    assert "| p | `whole` | not wholly read | 1 |" in lines


def test_a_file_has_a_text_a_line(tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text('{"text": "hi"}\n{"text": "{}", "role": "response", "channel": "arguments", "kind": "json"}\n')
    assert read_texts(file) == [
        HarmlessText(TextPlace("hi", "prompt", "user"), "any"),
        HarmlessText(TextPlace("{}", "response", "arguments"), "json"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "there is no text in it"), ('{"text": "a"}\n{"role": "prompt"}\n', ":2: .*text"), ("[", ":1: ")],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "texts.jsonl").write_text(content)
    with pytest.raises(ValueError, match=f"texts.jsonl.*{message}|{message}"):
        read_texts(tmp_path / "texts.jsonl")


def test_a_policy_is_not_taken_for_texts() -> None:
    with pytest.raises(ValueError, match=r"own\.yaml is a policy, .* --policy own\.yaml"):
        read_texts(Path("own.yaml"))


# What the shipped detectors may cost on the held-out half, as shares of all its texts, or of one side and band.
MOST_BY_DEFAULT, MOST_BY_STRICT, MOST_BY_HEAD = 0.0, 0.009, 0.025


@pytest.fixture(scope="module")
def held_out() -> list[TextOutcome]:
    rows = [HarmlessText(TextPlace(item.text, item.role, item.channel), item.kind) for item in texts("held-out")]
    policies = {name: load_policy(name) for name in ("default", "strict")}
    return list(outcomes(rows, policies, PanelJudge(load_panel()), step=lambda texts: None))


@pytest.mark.slow
def test_the_shipped_policies_leave_harmless_texts_alone(held_out: list[TextOutcome]) -> None:
    read = [item for item in held_out if not item.heard.unread]
    assert len(read) >= 0.98 * len(held_out)
    for policy, most in (("default", MOST_BY_DEFAULT), ("strict", MOST_BY_STRICT)):
        acted = [item.row for item in read if item.decisions[policy].would.acts]
        assert len(acted) <= most * len(read), (policy, acted)


@pytest.mark.slow
def test_no_head_flags_more_of_a_length_than_its_bound(held_out: list[TextOutcome]) -> None:
    among = Counter((item.direction, item.band) for item in held_out)
    flagged = Counter((item.direction, item.band, slug) for item in held_out for slug, _ in item.heard.flagged)
    assert {key: often for key, often in flagged.items() if often > MOST_BY_HEAD * among[key[:2]]} == {}
