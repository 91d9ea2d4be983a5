"""What the README says of the code is read from the code."""

import ast
import re
from pathlib import Path

import pytest

from gateway.__main__ import main
from gateway.config.settings import Config, env_name, load, settings_table
from gateway.exchange import Outcome

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_settings_table_is_the_codes_own() -> None:
    between = re.search(r"<!-- settings -->\n(.*)\n<!-- /settings -->", README, re.DOTALL)
    assert between is not None
    assert between[1].strip() == settings_table(), "run `make settings` and paste its output into the README"


def test_every_file_the_readme_names_is_there() -> None:
    named = set(re.findall(r"`((?:gateway|detectors|policies|deploy|grafana|tests)/[\w./-]*)`", README))
    named |= set(re.findall(r"\]\(((?!http)[\w./-]+)\)", README))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_example_configuration_is_valid() -> None:
    environ = {"ASSAY_KEY_WEB_APP": "sk-web-app-1", "ASSAY_KEY_BATCH": "sk-batch-22", "OPENAI_API_KEY": "sk-upstream"}
    config = load(environ=environ, path=ROOT / "deploy" / "assay.example.yaml")
    assert [key.name for key in config.keys] == ["web-app", "batch"]
    assert set(config.routes) == {"small", "default"}


def test_every_command_the_readme_names_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    named = {tuple(found.split()) for found in re.findall(r"`assay ((?:policy )?[a-z-]+)", README)}
    assert ("policy", "test") in named
    for command in sorted(named):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--help"])
        assert ended.value.code == 0, command
    assert capsys.readouterr().out.count("usage: assay") == len(named)


def test_every_target_the_readme_names_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)", README))
    assert {"run", "test"} <= named <= targets


def test_every_variable_the_readme_names_is_a_setting() -> None:
    assert set(re.findall(r"ASSAY_[A-Z_]+", README)) <= {env_name(setting) for setting in Config.model_fields}


def test_the_outcomes_are_those_of_the_code() -> None:
    listed = re.search(r"exactly one outcome: ([a-z_, ]+)", README)
    assert listed is not None
    assert listed[1].strip().split(", ") == [outcome.value for outcome in Outcome]


def test_the_examples_in_python_are_python() -> None:
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert examples
    for example in examples:
        ast.parse(example)
