"""Where the sketches of a gateway lie."""

import tempfile
from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.config.settings import ConfigError
from gateway.monitoring.opening import monitoring
from gateway.trust.stores.opening import state_folder, with_state_folder


def test_without_any_folder_it_says_which_setting_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="state_dir"):
        monitoring(load({}, {}, None), lambda: 0.0)
    assert monitoring(load({}, {"ASSAY_STATE_DIR": str(tmp_path)}, None), lambda: 0.0) is not None
    assert monitoring(load({}, {"ASSAY_MONITORS": "false"}, None), lambda: 0.0) is None


def test_the_ledger_and_the_sketches_lie_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    config = with_state_folder(load({}, {}, None))
    assert state_folder(config) == state_folder(config) == config.state_dir
    assert [path.name for path in tmp_path.iterdir()] == [state_folder(config).name]
    redis = load({}, {"ASSAY_REDIS_URL": "redis://127.0.0.1:1/0"}, None)
    assert with_state_folder(redis).state_dir is None
