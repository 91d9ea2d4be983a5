"""What the README says of the code is read from the code."""

import re
from pathlib import Path

from gateway.config import load, settings_table

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
