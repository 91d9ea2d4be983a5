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


def test_a_folder_that_is_missing_or_cannot_be_written_is_found_before_the_start(tmp_path: Path) -> None:
    missing, present = tmp_path / "missing", tmp_path / "present"
    present.mkdir()
    assert problems(tmp_path, f"audit_path: {missing}/audit.jsonl\nstate_dir: {missing}/deeper/state\n") == [
        f"assay.yaml: audit_path: there is no folder {missing}; make it, or name another",
        f"assay.yaml: state_dir: there is no folder {missing}/deeper; make it, or name another",
    ]
    file = tmp_path / "assay.yaml"
    file.write_text(f"audit_path: {present}/audit.jsonl\nstate_dir: {present}\n")
    assert load({}, {}, file).state_dir == present
