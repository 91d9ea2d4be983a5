"""What the README and the pages in docs/ say of the code is read from the code."""

import ast
import re
from pathlib import Path

import pytest

from gateway.__main__ import main
from gateway.config.explain import settings_table
from gateway.config.load import load
from gateway.config.settings import Config, env_name
from gateway.exchange import Outcome
from tests.support.running.together import together

ROOT = Path(__file__).parents[1]
PAGES = {
    str(page.relative_to(ROOT)): page.read_text("utf-8")
    for page in (
        ROOT / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        ROOT / "deploy" / "README.md",
        ROOT / "policies" / "README.md",
    )
}
README = PAGES["README.md"]
EVERY_PAGE = together("page", PAGES)
# Read by the compose file and not by the gateway; and the file that its operator writes.
OF_COMPOSE = {"ASSAY_PUBLISH"}
OF_THE_OPERATOR = {"deploy/.env"}
README_WORDS = 700


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= README_WORDS, "move what is more into a page of docs/"


def test_the_readme_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\((docs/[\w/-]+\.md)\)", README))
    assert linked == {name for name in PAGES if name.startswith("docs/")}


def test_the_settings_table_is_the_codes_own() -> None:
    between = re.search(r"<!-- settings -->\n(.*)\n<!-- /settings -->", PAGES["docs/configuration.md"], re.DOTALL)
    assert between is not None
    assert between[1].strip() == settings_table(), "run `make settings`"


@EVERY_PAGE
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    named = re.findall(r"`((?:gateway|detectors|policies|deploy|grafana|tests|docs)/[\w./-]*)`", PAGES[page])
    assert [name for name in sorted({*named} - OF_THE_OPERATOR) if not (ROOT / name).exists()] == []


@EVERY_PAGE
def test_every_link_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!https?://)([\w./-]*)(?:#([\w-]+))?\)", PAGES[page])
    assert [f"{path}#{heading}" for path, heading in links if not _leads_somewhere(page, path, heading)] == []


def _leads_somewhere(page: str, path: str, heading: str) -> bool:
    target = (ROOT / page).parent / path if path else ROOT / page
    return target.exists() and (not heading or heading in _headings(target.read_text("utf-8")))


def _headings(text: str) -> set[str]:
    """The anchors of a page's headings, as the usual viewers of Markdown make them."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_command_that_a_page_names_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    named = {
        tuple(found.split())
        for text in PAGES.values()
        for found in re.findall(r"(?:`|\.venv/bin/)assay ((?:(?:policy|fingerprint) )?[a-z-]+)", text)
    }
    assert {("policy", "test"), ("fingerprint", "build"), ("score",)} <= named
    for command in sorted(named):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--help"])
        assert ended.value.code == 0, command
    assert capsys.readouterr().out.count("usage: assay") == len(named)


@EVERY_PAGE
def test_every_target_that_a_page_names_is_in_the_makefile(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^ {4}|`|=\S+ )make ([a-z-]+)", PAGES[page], re.MULTILINE)) <= targets


def test_the_readme_names_the_two_commands() -> None:
    assert {"run", "test"} <= set(re.findall(r"^ {4}make ([a-z]+)", README, re.MULTILINE))


@EVERY_PAGE
def test_every_variable_that_a_page_names_is_a_setting(page: str) -> None:
    known = {env_name(setting) for setting in Config.model_fields} | OF_COMPOSE
    assert set(re.findall(r"ASSAY_[A-Z_]+[A-Z]", PAGES[page])) <= known


@EVERY_PAGE
def test_the_examples_in_python_are_python(page: str) -> None:
    for example in re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL):
        ast.parse(example)


def test_the_example_configuration_is_valid(tmp_path: Path) -> None:
    """Its folder is one that a machine is set up with, so here another one stands in for it."""
    environ = {"ASSAY_KEY_WEB_APP": "sk-web-app-1", "ASSAY_KEY_BATCH": "sk-batch-22", "OPENAI_API_KEY": "sk-upstream"}
    example = tmp_path / "assay.yaml"
    written = (ROOT / "deploy" / "assay.example.yaml").read_text()
    example.write_text(written.replace("/var/lib/assay", str(tmp_path)))
    config = load(environ=environ, path=example)
    assert [key.name for key in config.keys] == ["web-app", "batch"]
    assert set(config.routes) == {"small", "default"}


def test_the_outcomes_are_those_of_the_code() -> None:
    listed = re.search(r"exactly one outcome: ([a-z_, ]+)", PAGES["docs/developing/path-of-a-request.md"])
    assert listed is not None
    assert listed[1].strip().split(", ") == [outcome.value for outcome in Outcome]
