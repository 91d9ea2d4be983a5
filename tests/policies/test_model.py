"""What a person may write, and what is said when it is wrong: file, line, and the nearest valid name."""

from pathlib import Path

import msgspec
import pytest
import yaml

from policies.model import DIRECTIONS
from policies.reading import load_cases, load_document, schema, schema_text
from policies.source import MAX_BYTES, PolicyError
from tests.support.running.together import together
from tests.support.worlds.policy_world import HEAD, compiled


def message(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        compiled(text)
    return str(caught.value)


def rule(when: str = "{subcategory: violence}", then: str = "flag", more: str = "") -> str:
    return f"{HEAD}  - id: r\n    when: {when}\n    then: {then}\n{more}"


def test_defaults() -> None:
    document = load_document(rule(), "p.yaml")
    written = document.rules[0]
    assert (written.when.on, written.when.channel, written.on_error) == (DIRECTIONS, None, "allow")
    assert document.where("rules", 0, "then") == "p.yaml:6"


def test_a_single_word_may_stand_for_a_list() -> None:
    when = load_document(rule("{any: [violence], on: response, channel: assistant, route: r}"), "p").rules[0].when
    assert (when.on, when.channel, when.route) == (("response",), ("assistant",), ("r",))


WRITTEN = [
    ("version: 1\nmode: monitr\nrules: []", "p.yaml:2: 'mode' cannot be 'monitr'; did you mean 'monitor'?"),
    ("version: 2\nmode: monitor\nrules: []", "p.yaml:1: 'version' cannot be 2; `version` is the version"),
    ("version: 1\nmode: monitor\nrules: []\nrule: 1", "p.yaml:4: the key 'rule' is unknown; did you mean 'rules'?"),
    ("version: 1\nmode: monitor", "p.yaml:1: the key 'rules' is missing; `rules` is a list"),
    ("[1]", "p.yaml:1: found a list: a mapping of keys is expected"),
    (rule(more="    on: prompt\n"), "p.yaml:7: the key 'on' does not belong here; write it in `when`"),
    (HEAD.replace("rules:", "when: {subcategory: violence}\nrules:") + rule().removeprefix(HEAD),
     "the key 'when' does not belong here; write it in a rule"),
    (rule("{subcategory: violence, then: block}"), "the key 'then' does not belong here; write it in a rule, beside"),
    (rule("{subcategory: violence, within_minutes: 3}"), "'within_minutes' does not belong here; write it in `count`"),
    (rule("{subcategory: violence,\n     fals_alarms: 0.1}"), "p.yaml:6: the key 'fals_alarms' is unknown; did"),
    (rule("{subcategory: violence, false_alarms: 3}"), "p.yaml:5: 'false_alarms' cannot be 3: input should be less"),
    (rule("{subcategory: violence, score: .nan}"), "p.yaml:5: 'score' cannot be '.nan': a number is expected"),
    (rule("{subcategory: violence, score: 1e999}"), "p.yaml:5: 'score' cannot be inf"),
    (rule("{subcategory: violence, score: 1, false_alarms: 1}"), "`false_alarms` and `score` exclude each other"),
    (rule("{subcategory: violence, any: [violence]}"), "`subcategory` and `any` exclude each other; keep one"),
    (rule("{on: prompt}"), "p.yaml:5: the rule does not say what it looks for; add `subcategory`"),
    (rule("{any: []}"), "p.yaml:5: 'any' cannot be a list: at least one is needed"),
    (rule("violence"), "p.yaml:5: 'when' cannot be 'violence': a mapping of keys is expected"),
    (rule("{any: [violence], on: [promt]}"), "p.yaml:5: 'on' cannot be 'promt'; did you mean 'prompt'?"),
    (rule("{any: [violence], channel: [systm]}"), "p.yaml:5: 'channel' cannot be 'systm'; did you mean 'system'?"),
    (rule("{any: [violence], on: response, channel: user}"), "a response has no channel user; use `on: prompt`"),
    (rule("{any: [violence], route: 80}"), "p.yaml:5: 'route' cannot be 80: a list is expected"),
    (rule(then="blok"), "p.yaml:6: 'then' cannot be 'blok'; did you mean 'block'?"),
    (rule(then="allow"), "p.yaml:6: 'then' cannot be 'allow'; use one of: block, flag, redact"),
    (rule(more="    on_error: block\n"), "p.yaml:7: a rule that only flags changes no traffic"),
    (rule().replace("id: r", "id: Not a slug"), "p.yaml:4: 'id' cannot be 'Not a slug'"),
    (rule() + rule().removeprefix(HEAD), "p.yaml:7: the rule id 'r' is used twice (first in p.yaml:4); rename"),
    (rule("{subcategory: violense}"), "p.yaml:5: the sub-category 'violense' is unknown; did you mean 'violence'?"),
    (rule("{any:\n  [violence,\n  safety]}"), "p.yaml:7: the sub-category 'safety' is unknown; it is a category"),
    (rule("{category: saftey}"), "p.yaml:5: the category 'saftey' is unknown; did you mean 'safety'?"),
    (rule("{category: safety, detector: secret}"), "p.yaml:5: the detector 'secret' is unknown; did you mean 'se"),
    (rule("{subcategory: violence, detector: secrets}"), "the detector 'secrets' does not judge violence in a"),
    (rule("{subcategory: prompt_attacks, on: response}"), "no detector judges prompt_attacks in a response; use"),
    (rule("{subcategory: prompt_attacks, on: [prompt, response]}"), "no detector judges prompt_attacks in a resp"),
    (rule("{subcategory: injustice}"), "p.yaml:5: no detector judges injustice in a prompt; use one of: "),
    (
        rule("{subcategory: violence, false_alarms: 0.0001}"),
        "p.yaml:5: 0.0001 false alarms were asked of ngram@1 for violence in a prompt, the lowest rate measured is "
        "0.001; ask for `false_alarms: 0.001` or more, or give a `score` (there it is 0.9)",
    ),
    (
        rule("{subcategory: privacy_violation, detector: pii}"),
        "the false alarms of pii@1 for privacy_violation in a prompt were never measured; measure them with",
    ),
]  # fmt: skip


@together(("text", "expected"), WRITTEN)
def test_a_mistake_is_named_with_its_place_and_a_remedy(text: str, expected: str) -> None:
    assert expected in message(text)


def test_every_problem_is_named_up_to_a_limit() -> None:
    text = HEAD + "".join(f"  - {{id: r{n}, when: {{any: [violense]}}, then: flag}}\n" for n in range(30))
    lines = message(text).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 10 more"


HOSTILE = [
    ("[" * 100_000, "p.yaml:1: nested more than 16 levels deep"),
    ("- " * 100_000, "p.yaml:1: nested more than 16 levels deep"),
    ("a: &x 1\nb: *x", "p.yaml:1: anchors and aliases are not supported; write the value out"),
    ("b: *x", "p.yaml:1: anchors and aliases are not supported"),
    ("a: !!python/name:os.system x", "p.yaml:1: the tag 'tag:yaml.org,2002:python/name:os.system' is not"),
    ("mode: a\nmode: b", "p.yaml:2: the key 'mode' is repeated; remove it here or in line 1"),
    ("? [a]\n: b", "p.yaml:1: a key must be a word"),
    ("a: [b", "not valid YAML"),
    ("a: \x00", "p.yaml: not valid YAML: control characters"),
    ("a: \ud800", "p.yaml: not valid YAML"),
    ("a: 1\n--- \nb: 2", "p.yaml:2: a second document begins here"),
    ("# nothing\n", "p.yaml: the file is empty"),
    ("a" * (MAX_BYTES + 1), f"the limit is {MAX_BYTES}"),
]


@together(("text", "expected"), HOSTILE, ids=[row[1][:40] for row in HOSTILE])
def test_hostile_yaml_is_refused(text: str, expected: str) -> None:
    assert expected in message(text)


def test_the_limit_of_a_newer_libyaml_reads_like_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        mark = yaml.Mark("p", 0, 0, 0, None, 0)
        raise yaml.scanner.ScannerError(None, None, "exceeded maximum nesting depth", mark)

    monkeypatch.setattr(yaml, "parse", refuse)
    assert "p.yaml:1: nested more than 16 levels deep" in message("[[")


def test_the_yaml_words_of_old_stay_words() -> None:
    """YAML 1.1 would read `on` as true and `1e-3` as a text."""
    when = load_document(rule("{any: ['no'], on: prompt, route: [yes, '80'], false_alarms: 1e-2}"), "p").rules[0].when
    assert (when.any, when.route, when.false_alarms) == (("no",), ("yes", "80"), 0.01)


def test_cases_are_read_and_their_mistakes_named() -> None:
    good = "- {name: n, direction: prompt, channel: user, text: hi, expect: {action: allow}}\n"
    assert load_cases(good, "c")[0].route == "default"
    with pytest.raises(PolicyError, match=r"c.yaml:2: the key 'actoin' is unknown; did you mean 'action'"):
        load_cases(good + good.replace("action", "actoin"), "c.yaml")
    with pytest.raises(PolicyError, match=r"c.yaml:1: a case needs either `text` or `signals`"):
        load_cases(good.replace("text: hi, ", ""), "c.yaml")
    with pytest.raises(PolicyError, match=r"c.yaml:1: the key 'lable' is unknown; did you mean 'label'"):
        span = "signals: [{subcategory: x, score: 1, spans: [{start: 0, end: 2, lable: a}]}]"
        load_cases(good.replace("text: hi", span), "c.yaml")


def test_the_shipped_schema_is_up_to_date() -> None:
    shipped = Path(__file__).parents[2] / "policies" / "policy.schema.json"
    assert shipped.read_text("utf-8") == schema_text(), (
        "write policies.reading.schema_text() to policies/policy.schema.json"
    )
    assert msgspec.json.decode(shipped.read_bytes()) == schema()
    assert schema()["$defs"]["When"]["properties"]["on"]["description"] == "prompt, response or a list of both"
