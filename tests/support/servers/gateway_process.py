"""The product as a user runs it: `assay serve` and `assay demo-upstream` as processes of their own, ended by pid."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2 as httpx

from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.servers.ports import HeldPort

# What the gateways of tests/e2e are set up with, and what their model server says.
UPSTREAM_KEY = "sk-upstream-0123456789"
MOST_BODY_BYTES = 2**20
SILENT = "scripted-silent-"  # how the models begin whose silence is borne for a moment only
SECRET = "AKIA" + "Q3EGRZ7PLM2VX4TB"
SAID_BEFORE = "Here is all that I know of it, in a few plain words. There is more of that than one might think. "


class Process:
    """A command whose output is collected; a context manager that ends it. `before` is what starts it, if not we."""

    def __init__(
        self, arguments: Sequence[str], env: Mapping[str, str] | None = None, before: Sequence[str] = ()
    ) -> None:
        # One client for all: making one takes longer than a request. A connection each, as strangers would.
        self.http = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=PATIENCE_SECONDS)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASSAY_", "OPENAI_"))}
        self._process = subprocess.Popen(
            [*before, sys.executable, "-m", "gateway", *arguments],
            env={**kept, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return "".join(self._lines)

    def wait_for(self, url: str, ready: frozenset[int] = frozenset({200})) -> None:
        """Poll until `url` answers with one of these statuses; fails with the output when it does not."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if self.http.get(url, timeout=PATIENCE_SECONDS).status_code in ready:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(f"{url} did not come up; the process printed:\n{self.output}")

    def wait_until(self, what: str, holds: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
        """Poll until `holds()`."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not so after {seconds} s; the process printed:\n{self.output}")
            time.sleep(0.05)

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            status = self._process.wait(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self.http.close()
        self._reader.join(timeout=PATIENCE_SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return status

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """The exit status of a command that ends by itself."""
        return self._process.wait(timeout=seconds)

    def children(self, program: str = "") -> list[int]:
        """The pids of the processes that it started and that still run; those whose command line has `program`."""
        pids = [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        return [pid for pid in pids if program in _command_line(pid)]

    def peak_memory_bytes(self) -> int:
        """The most memory it held since `reset_peak_memory`."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024

    def reset_peak_memory(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    @contextmanager
    def ended_on_error(self) -> Iterator[None]:
        """Nothing runs on when a process could not be waited for: nobody has entered its context yet."""
        try:
            yield
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _collect(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line.decode("utf-8", "replace"))


def _command_line(pid: int) -> str:
    """Empty once the process is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


class DemoUpstream(Process):
    """`assay demo-upstream` on a port of its own."""

    def __init__(self) -> None:
        self._held = HeldPort()
        self.port = self._held.number
        super().__init__(["demo-upstream", "--port", str(self.port)])
        self.url = f"http://127.0.0.1:{self.port}/v1"
        with self.ended_on_error():
            self.wait_for(f"{self.url}/models")

    def stop(self) -> int:
        self._held.release()
        return super().stop()

    def received(self) -> dict[str, object]:
        """What the upstream counted; see `gateway.demo.server`."""
        counts: dict[str, object] = self.http.get(f"{self.url}/demo/received").json()
        return counts


class GatewayProcess(Process):
    """`assay serve` on a free port with one key. Without ASSAY_UPSTREAM_URL it starts its own demo upstream.

    `wait` names what to wait for: "live", or "detectors" (until they are loaded).
    """

    key = "sk-test-0123456789abcdef"

    def __init__(
        self,
        env: Mapping[str, str] | None = None,
        *,
        workers: int = 1,
        wait: str = "detectors",
        before: Sequence[str] = (),
    ) -> None:
        settings = {"ASSAY_PORT": "0", "ASSAY_KEYS": self.key, "ASSAY_WORKERS": str(workers), **(env or {})}
        super().__init__(["serve"], settings, before)
        with self.ended_on_error():
            self.url = self._announced()
            self.base_url = self.url + "/v1"
            self.wait_for(self.url + "/readyz")
            if wait == "detectors" and settings.get("ASSAY_DETECTORS", "true") == "true":
                self._wait_for_detectors(workers)

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def metrics(self) -> str:
        return self.http.get(self.url + "/metrics").text

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that carry these labels."""
        total = 0.0
        for line in self.metrics().splitlines():
            found = re.match(rf"{re.escape(name)}(?:\{{(.*)\}})? (\S+)$", line)
            if found:
                carried = dict(re.findall(r'(\w+)="([^"]*)"', found[1] or ""))
                if all(carried.get(key) == value for key, value in labels.items()):
                    total += float(found[2])
        return total

    def _announced(self) -> str:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            found = re.search(r"base URL\s+(http://\S+)/v1", self.output)
            if found:
                return found[1]
            time.sleep(0.02)
        raise AssertionError(f"the gateway did not start; it printed:\n{self.output}")

    def _wait_for_detectors(self, workers: int) -> None:
        self.wait_until(
            "the detectors are loaded", lambda: self.metric("assay_detectors_ready") >= workers, PATIENCE_SECONDS
        )
