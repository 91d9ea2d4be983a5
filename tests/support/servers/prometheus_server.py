"""The real Prometheus, started for a test: scrapes one target quickly and answers queries."""

import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.servers.ports import HeldPort

BINARY = shutil.which("prometheus")

Json = dict[str, Any]


class PrometheusError(Exception):
    """Prometheus could not be reached, did not start, or refused an expression; the message says which."""


class Prometheus:
    """Asks a Prometheus that runs. `base_url` without a path at the end, e.g. `http://127.0.0.1:9090`."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")

    def query(self, expr: str) -> list[Json]:
        """The instant vector of `expr` now: `{"metric": labels, "value": [unix seconds, text]}` each."""
        return self._get("query", query=expr)

    def query_range(self, expr: str, seconds: float, step_seconds: float) -> list[Json]:
        """The matrix over the last `seconds`: `{"metric": labels, "values": [[unix seconds, text], …]}` each."""
        end = datetime.now(UTC).timestamp()
        return self._get("query_range", query=expr, start=str(end - seconds), end=str(end), step=str(step_seconds))

    def label_values(self, metric: str, label: str) -> list[str]:
        """The values of `label` on the series of `metric`, sorted."""
        return sorted({series["metric"].get(label, "") for series in self.query(metric)} - {""})

    def _get(self, endpoint: str, **parameters: str) -> list[Json]:
        url = f"{self.base_url}/api/v1/{endpoint}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as reply:
                result: list[Json] = json.load(reply)["data"]["result"]
        except urllib.error.HTTPError as error:
            detail = error.read().decode(errors="replace")
            raise PrometheusError(f"{parameters['query']}: HTTP {error.code}: {detail}") from error
        except OSError as error:
            raise PrometheusError(f"no Prometheus answers at {self.base_url}: {error}") from error
        return result


class PrometheusServer(Prometheus):
    """A Prometheus of its own, with its data in a folder that goes with it. A context manager.

    Scrapes `target` (`host:port`) as the job `assay` and evaluates `rules`, both every `interval_seconds`.
    """

    def __init__(self, target: str, rules: Path | None = None, interval_seconds: float = 0.5) -> None:
        self._held = HeldPort()
        self.port = self._held.number
        super().__init__(f"http://127.0.0.1:{self.port}")
        self._target = target
        self._rules = rules
        self._interval = f"{round(interval_seconds * 1000)}ms"

    def __enter__(self) -> Self:
        if BINARY is None:
            raise PrometheusError("the program `prometheus` is not installed")
        self._folder = tempfile.TemporaryDirectory(prefix="assay-prometheus-")
        folder = Path(self._folder.name)
        config = folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(self._config()))
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    BINARY,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--log.level=warn",
                ],
                stdout=log,
                stderr=log,
            )
        try:
            self._wait_until_ready()
        except PrometheusError:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _config(self) -> Json:
        return {
            "global": {
                "scrape_interval": self._interval,
                "scrape_timeout": self._interval,
                "evaluation_interval": self._interval,
            },
            "rule_files": [str(self._rules.resolve())] if self._rules else [],
            "scrape_configs": [{"job_name": "assay", "static_configs": [{"targets": [self._target]}]}],
        }

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise PrometheusError(f"Prometheus ended at once:\n{self._log.read_text(errors='replace')}")
            try:
                with urllib.request.urlopen(f"{self.base_url}/-/ready", timeout=PATIENCE_SECONDS):
                    return
            except OSError:
                time.sleep(0.05)
        raise PrometheusError(f"not ready in {PATIENCE_SECONDS:g} s:\n{self._log.read_text(errors='replace')}")

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()
        self._held.release()
