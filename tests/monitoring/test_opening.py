"""Where the sketches of a gateway lie."""

import tempfile
from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.config.settings import ConfigError
from gateway.monitoring.opening import monitoring


def test_without_any_folder_it_says_which_setting_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="state_dir"):
        monitoring(load({}, {}, None), lambda: 0.0)
    assert monitoring(load({}, {"ASSAY_STATE_DIR": str(tmp_path)}, None), lambda: 0.0) is not None
    assert monitoring(load({}, {"ASSAY_MONITORS": "false"}, None), lambda: 0.0) is None
