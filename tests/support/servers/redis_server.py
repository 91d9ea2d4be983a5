"""A real redis-server on a port of its own, ended by pid: killed, stopped and started again as a test wants it."""

import shutil
import signal
import subprocess
import tempfile
import time
from types import TracebackType
from typing import Any, Self

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.servers.ports import HeldPort

BINARY = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(BINARY is None, reason="needs a real redis-server (not installed)")

_START_SECONDS = 120.0


class RedisServer:
    """Keeps nothing on disk, as in deploy/compose.yaml. A context manager; `start` and `kill` in between."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self._held = HeldPort()
        self.port = self._held.number
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = tempfile.TemporaryDirectory(prefix="assay-redis-")
        self._process: subprocess.Popen[bytes] | None = None
        # To look from outside. Any: its types vary.
        self.client: Any = Redis.from_url(self.url, socket_timeout=PATIENCE_SECONDS)

    def start(self) -> None:
        assert BINARY is not None
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self._folder.name]
        self._process = subprocess.Popen(
            [BINARY, *arguments, *self._options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.client.ping()
            except RedisError as error:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise AssertionError(f"redis-server did not come up on port {self.port}: {error}") from None
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """At once, as when the machine is gone: what it held is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def revive(self) -> None:
        """Running again, whatever a test did to it, with the limits that it began with."""
        if self._process is None:
            self.start()
        self.thaw()
        self.client.config_set("maxmemory", "0")

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def empty(self) -> None:
        self.client.flushall()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.kill()
        self.client.close()
        self._folder.cleanup()
        self._held.release()
