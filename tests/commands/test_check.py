"""`assay check` finds what an operator is most likely to get wrong: each kind once, by the command itself."""

import os
import sys
from pathlib import Path

import pytest

from gateway.__main__ import main
from tests.support.worlds.small_disk import disk, run_beside

UPSTREAMS = "upstreams: {a: {url: http://127.0.0.1:9/v1}, b: {url: http://127.0.0.1:8/v1}}\n"
POLICY = "version: 1\nmode: monitor\nrules:\n  - {id: r, when: {subcategory: violence, route: caht}, then: block}\n"
LARGER = (
    "version: 1\nmode: monitor\nrules:\n  - {id: r, when: {subcategory: violence, on: prompt}, then: reroute, to: c}\n"
)
ROUTES = "routes: {chat: {models: ['*'], upstreams: [a]}}\n"

SLIPS = {
    "one model in two routes": (
        UPSTREAMS + "routes: {x: {models: [m], upstreams: [a]}, y: {models: [m], upstreams: [b]}}",
        "assay.yaml: routes.y.models: 'm' is already a model of route 'x'",
    ),
    "a key twice": ("port: 1\nport: 2\n", "assay.yaml:2: the key 'port' stands here and in line 1; keep one of them"),
    "no folder for the audit": (
        "audit_path: missing/audit.jsonl\n",
        "assay.yaml: audit_path: there is no folder missing; make it, or name another",
    ),
    "no folder for the state": (
        "state_dir: missing/deeper\n",
        "assay.yaml: state_dir: there is no folder missing; make it, or name another",
    ),
    "a folder for the audit": (
        "audit_path: .\n",
        "assay.yaml: audit_path: . is a folder; name a file in it",
    ),
    "a file for the state": (
        "state_dir: policy.yaml\n",
        "assay.yaml: state_dir: there is no folder policy.yaml; make it, or name another",
    ),
    "readable texts": (
        "audit_text: true\nkeys: [sk-caller-1]\n",
        "assay.yaml: texts would be shown at /trust/v1/flags to everyone who reaches the port; set `operator_key`",
    ),
    "a policy for a route that is not there": (
        UPSTREAMS + ROUTES + "policy: policy.yaml\n",
        "policy.yaml:4: there is no route 'caht'; did you mean 'chat'?",
    ),
    "a route's own policy for a route that is not there": (
        UPSTREAMS + "routes: {chat: {models: ['*'], upstreams: [a], policy: policy.yaml}}\n",
        "policy.yaml:4: there is no route 'caht'; did you mean 'chat'?",
    ),
    "a route's policy that is not there": (
        UPSTREAMS + "routes: {chat: {models: ['*'], upstreams: [a], policy: strcit}}\n",
        "policy: there is no policy 'strcit'; did you mean 'strict'?",
    ),
    "a reroute to nowhere": (
        UPSTREAMS + ROUTES + "policy: larger.yaml\n",
        "larger.yaml:4: there is no route or upstream 'c'",
    ),
    "an upstream that is not there": (
        UPSTREAMS + "routes: {chat: {models: ['*'], upstreams: [aa]}}\n",
        "assay.yaml: routes.chat.upstreams: no upstream is called 'aa'; did you mean `a`?",
    ),
    "no delay": (
        "hedge_after_seconds: p99\n",
        "hedge_after_seconds: 'p99' is not a delay; write seconds above 0, p95, or never",
    ),
}  # fmt: skip


def checked(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit status, and what was written on both ways."""
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "larger.yaml").write_text(LARGER)
    (folder / "assay.yaml").write_text(text)
    status = main(["check"])
    told = capsys.readouterr()
    return status, told.out + told.err


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("ASSAY_", "OPENAI_")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_refused_with_its_place_and_a_remedy(
    slip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, said = SLIPS[slip]
    status, told = checked(tmp_path, text, capsys)
    assert status == 2
    assert said in told


def test_what_may_be_meant_is_noted_and_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_KEY_APP", "sk-app-12345678")
    monkeypatch.setenv("ASSAY_PROT", "8081")
    text = "upstreams: {a: {url: http://127.0.0.1:9}}\nkeys: [{name: app, key: '${ASSAY_KEY_APP}'}]\n"
    status, told = checked(tmp_path, text, capsys)
    assert status == 0
    assert [line for line in told.splitlines() if line.startswith("note: ") and "detector" not in line] == [
        "note: ASSAY_PROT is set but is no setting of Assay; did you mean `ASSAY_PORT`?",
        "note: upstreams.a.url: http://127.0.0.1:9 has no path; most model servers are asked below /v1, so write "
        "http://127.0.0.1:9/v1",
    ]


@pytest.mark.slow
def test_folders_that_cannot_be_written_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "readonly"
    folder.mkdir()
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ASSAY_", "OPENAI_"))},
        "ASSAY_AUDIT_PATH": str(folder / "audit.jsonl"),
        "ASSAY_STATE_DIR": str(folder),
    }
    done = run_beside([disk(folder, "ro")], [sys.executable, "-m", "gateway", "check"], env)
    assert done.returncode == 2
    assert done.stdout.splitlines() == [
        f"assay: ASSAY_{setting}: {folder} cannot be written; change its owner or mode, or name another place"
        for setting in ("AUDIT_PATH", "STATE_DIR")
    ]
