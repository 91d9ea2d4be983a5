"""What is said of settings that contradict each other, or that are most often a slip."""

from pathlib import Path

import pytest

from gateway.config.explain import unknown_environment
from gateway.config.load import load, load_with_notes
from gateway.config.settings import ConfigError

UPSTREAMS = "upstreams: {a: {url: 'http://a/v1'}, b: {url: 'http://b/v1'}}\n"


def problems(tmp_path: Path, text: str, **environ: str) -> list[str]:
    file = tmp_path / "assay.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load({}, environ, file)
    return [line.replace(str(file), "assay.yaml") for line in error.value.problems]


def test_a_model_belongs_to_one_route(tmp_path: Path) -> None:
    text = UPSTREAMS + (
        "routes:\n"
        "  first: {models: [m, 'gpt-*', m], upstreams: [a]}\n"
        "  second: {models: ['gpt-4*', 'gpt-*'], upstreams: [b]}\n"
    )
    assert problems(tmp_path, text) == [
        "assay.yaml: routes.second.models: 'gpt-*' is already a model of route 'first', which would get all of its "
        "requests; name it in one of them"
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    {
        "at the top": ("port: 1\nhost: ::1\nport: 2\n", ["3: the key 'port' stands here and in line 1"]),
        "deeper": (
            "routes:\n  r: {models: [m], upstreams: [a], models: [n]}\n  r: {models: [k], upstreams: [a]}\n",
            ["3: the key 'r' stands here and in line 2", "2: the key 'models' stands here and in line 2"],
        ),
        "in a list": ("keys:\n- name: a\n  key: s\n  name: b\n", ["4: the key 'name' stands here and in line 2"]),
        "quoted": ("'port': 1\nport: 2\n", ["2: the key 'port' stands here and in line 1"]),
        "beside deep nesting": (
            "port: 1\nport: 2\nx: " + "[" * 70 + "]" * 70,
            ["2: the key 'port' stands here and in line 1"],
        ),
    }.values(),
)  # fmt: skip
def test_a_key_that_stands_twice_is_refused_with_both_lines(tmp_path: Path, text: str, lines: list[str]) -> None:
    assert sorted(problems(tmp_path, text)) == sorted(f"assay.yaml:{line}; keep one of them" for line in lines)


def test_a_merge_may_be_overridden(tmp_path: Path) -> None:
    file = tmp_path / "assay.yaml"
    file.write_text(
        "upstreams:\n  a: &a {url: 'http://a/v1', key: sk-1}\n  b: {<<: *a, url: 'http://b/v1'}\n"
        "  c: {<<: *a, key: sk-3}\n"
    )
    made = load({}, {}, file).upstreams
    assert [(entry.url, entry.key and entry.key.get_secret_value()) for entry in made.values()] == [
        ("http://a/v1", "sk-1"),
        ("http://b/v1", "sk-1"),
        ("http://a/v1", "sk-3"),
    ]


@pytest.mark.parametrize("others", ["keys: [sk-caller-1]", "allow_without_keys: true"])
def test_flagged_texts_need_a_key_where_others_can_read_them(tmp_path: Path, others: str) -> None:
    assert problems(tmp_path, f"audit_text: true\n{others}\n") == [
        "assay.yaml: texts would be shown at /trust/v1/flags to everyone who reaches the port; set "
        "`operator_key` (ASSAY_OPERATOR_KEY), or leave `audit_text` off"
    ]
    file = tmp_path / "assay.yaml"
    file.write_text(f"audit_text: true\noperator_key: sk-operator\n{others}\n")
    assert load({}, {}, file).audit_text
    file.write_text("audit_text: true\n")  # for local callers only, who can read the audit file as well
    assert load({}, {}, file).audit_text


def test_a_url_without_a_path_is_most_often_a_slip(tmp_path: Path) -> None:
    file = tmp_path / "assay.yaml"
    file.write_text("upstreams: {a: {url: 'http://a:8000'}, b: {url: 'http://b/v1'}, c: {url: 'http://c/openai'}}")
    assert load_with_notes({}, {}, file).notes == [
        "upstreams.a.url: http://a:8000 has no path; most model servers are asked below /v1, so write http://a:8000/v1"
    ]
    file.write_text("upstreams: {a: {url: 'http://a/v1/chat/completions'}, b: {url: 'http://b/api/completions/'}}")
    assert load_with_notes({}, {}, file).notes == [
        "upstreams.a.url: http://a/v1/chat/completions ends in an operation; requests bring /chat/completions "
        "themselves, so write http://a/v1",
        "upstreams.b.url: http://b/api/completions ends in an operation; requests bring /completions themselves, "
        "so write http://b/api",
    ]
    (note,) = load_with_notes({}, {"ASSAY_UPSTREAM_URL": "https://a/v1/v1/"}).notes
    assert note == "upstream_url: https://a/v1/v1/ has /v1 twice; write https://a/v1/"
    (note,) = load_with_notes({}, {"ASSAY_UPSTREAM_URL": "https://a/"}).notes
    assert note.startswith("upstream_url: https://a/ has no path; ")
    assert load_with_notes({}, {"ASSAY_UPSTREAM_URL": "demo"}).notes == []


def test_a_variable_that_the_file_refers_to_is_no_unknown_setting(tmp_path: Path) -> None:
    file = tmp_path / "assay.yaml"
    file.write_text(
        "keys:\n- {name: app, key: '${ASSAY_KEY_APP}'}\n- {name: ops, key: '${ASSAY_KEY_OPS:-sk-12345678}'}"
    )
    environ = {
        "ASSAY_KEY_APP": "sk-app-12345",
        "ASSAY_KEY_OPS": "sk-ops-12345",
        "ASSAY_KEY_OLD": "x",
        "ASSAY_PROT": "1",
    }
    assert load_with_notes({}, environ, file).notes == [
        "ASSAY_KEY_OLD is set but is no setting of Assay; did you mean `ASSAY_KEYS_FILE`?",
        "ASSAY_PROT is set but is no setting of Assay; did you mean `ASSAY_PORT`?",
    ]
    assert len(unknown_environment(environ)) == 4


def told_at_the_start(tmp_path: Path, text: str) -> list[str]:
    """What is wrong with the places that these settings name, without the folder in front."""
    file = tmp_path / "assay.yaml"
    file.write_text(text)
    load({}, {}, file)  # what was started may be read again, whatever became of the disk
    try:
        load_with_notes({}, {}, file)
    except ConfigError as error:
        return [line.replace(f"{tmp_path}/", "") for line in error.problems]
    return []


def test_places_that_are_missing_or_cannot_be_written_are_found_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "present").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "whole").write_text("{}\n")
    before = sorted(tmp_path.rglob("*"))
    remedy = "make it, or name another"
    other = "change its owner or mode, or name another place"
    wrong = {
        f"audit_path: {tmp_path}/missing/audit.jsonl": f"audit_path: there is no folder missing; {remedy}",
        f"audit_path: {tmp_path}/present": "audit_path: present is a folder; name a file in it",
        f"audit_path: {tmp_path}/file/audit.jsonl": f"audit_path: there is no folder file; {remedy}",
        f"state_dir: {tmp_path}/missing/state": f"state_dir: there is no folder missing; {remedy}",
        f"state_dir: {tmp_path}/file": f"state_dir: there is no folder file; {remedy}",
        "audit_path: /proc/self/audit.jsonl": f"audit_path: /proc/self cannot be written; {other}",
        "state_dir: /proc/self": f"state_dir: /proc/self cannot be written; {other}",
    }
    for text, said in wrong.items():
        assert told_at_the_start(tmp_path, text) == [f"assay.yaml: {said}"]
    for setting in ("audit_path: /dev/null", f"audit_path: {tmp_path}/whole", f"audit_path: {tmp_path}/present/new"):
        assert told_at_the_start(tmp_path, setting) == []
    assert told_at_the_start(tmp_path, f"state_dir: {tmp_path}/present\n") == []
    assert told_at_the_start(tmp_path, f"state_dir: {tmp_path}/present/new\n") == []
    (tmp_path / "assay.yaml").unlink()
    assert sorted(tmp_path.rglob("*")) == before  # nothing was left behind


def test_keys_are_read_again_while_the_disk_is_read_only(tmp_path: Path) -> None:
    """Revoking one must not depend on the audit's disk."""
    file = tmp_path / "assay.yaml"
    file.write_text("audit_path: /proc/self/audit.jsonl\nkeys: [sk-caller-1]\n")
    assert len(load({}, {}, file).keys) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ASSAY_UPSTREAMS", '{"a": {"url": "http://a/v1"}, "a": {"url": "http://b/v1"}}'),
        ("ASSAY_UPSTREAMS", "{a: {url: 'http://a/v1', url: 'http://b/v1'}}"),
        ("ASSAY_KEYS", '[{"name": "a", "key": "sk-caller-1", "name": "b"}]'),
    ],
)
def test_a_key_that_stands_twice_in_a_variable_is_refused(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as error:
        load({}, {name: text}, None)
    assert error.value.problems[0].startswith(f"{name}:1: the key ")
    assert error.value.problems[0].endswith("stands here and in line 1; keep one of them")


def test_a_key_that_is_too_short_is_told_in_characters(tmp_path: Path) -> None:
    assert problems(tmp_path, "keys: [abc]\n") == ["assay.yaml: keys.0.key: must have at least 8 characters"]
