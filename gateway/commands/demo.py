"""`assay demo`: a gateway with a demo upstream and varied traffic, to see what Assay shows."""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway.commands import out, warn
from gateway.config.settings import env_name
from gateway.demo.judging import JUDGE_MODEL
from gateway.demo.process import start as start_demo_upstream
from gateway.demo.traffic import Asked, Traffic

_IN_FLIGHT = 4  # requests at once, whatever the rate: a slow machine gets less traffic, not more waiting
_START_SECONDS = 120.0
_ANSWER_SECONDS = 60.0
_END_SECONDS = 20.0
# The demo's judge costs nothing, so it gets a large budget: rates by second opinions appear within a minute.
_JUDGE = {"model": JUDGE_MODEL, "dialect": "policy", "calls_per_hour": 20_000, "tokens_per_hour": 100_000_000}


def demo(parsed: argparse.Namespace) -> int:
    """`assay demo`, until it is stopped or `--seconds` are over."""
    with contextlib.closing(socket.create_server(("127.0.0.1", parsed.port))):
        pass  # fails if the port is taken, so that another server is not taken for our gateway; main reports it
    for number in (signal.SIGINT, signal.SIGTERM):  # both end the demo, even if it was started with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    with (
        tempfile.TemporaryDirectory(prefix="assay-demo-") as folder,
        _upstream() as upstream,
        _gateway(parsed, Path(folder), upstream) as gateway,
    ):
        base = f"http://127.0.0.1:{parsed.port}"
        if not _is_ready(base, gateway):
            warn("the gateway did not start; its own message above says why")
            return 1
        out(f"  traffic   {parsed.rate:g} requests a second, until Ctrl-C; look at {base}/")
        with contextlib.suppress(KeyboardInterrupt):
            _send(base + "/v1", parsed.rate, parsed.seconds, gateway)
    return 0


@contextlib.contextmanager
def _upstream() -> Iterator[str]:
    """The base URL of a demo upstream that ends together with this process."""
    process, url = start_demo_upstream(apart=True)
    try:
        yield url
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _gateway(parsed: argparse.Namespace, folder: Path, upstream: str) -> Iterator[subprocess.Popen[bytes]]:
    """`assay serve` with settings that show as much as possible. Its files are deleted afterwards."""
    settings = {
        "port": str(parsed.port),
        "policy": "default",
        "sample_rate": "1",
        "audit_path": str(folder / "audit.jsonl"),
        "audit_text": "true",  # the texts are ours
        "review_text": "true",
        "reviews_per_hour": "600",
        "state_dir": str(folder),
        "upstream_url": upstream,
        "judge": msgspec.json.encode({**_JUDGE, "url": upstream}).decode(),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASSAY_", "OPENAI_"))}
    env = {**kept, **{env_name(name): value for name, value in settings.items()}}
    # A process group of its own, so that Ctrl-C reaches only this process, which then ends the gateway.
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve"], env=env, cwd=folder, stdin=subprocess.DEVNULL, process_group=0
    )
    try:
        yield process
    finally:
        _end(process)


def _is_ready(base: str, gateway: "subprocess.Popen[bytes]") -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and gateway.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(base + "/readyz", timeout=5):
            return True
        time.sleep(0.1)
    return False


def _send(base: str, rate: float, seconds: float, gateway: "subprocess.Popen[bytes]") -> None:
    """Send until stopped, at most so many a second and `_IN_FLIGHT` at once."""
    room = threading.BoundedSemaphore(_IN_FLIGHT)
    end = time.monotonic() + seconds
    at = time.monotonic()
    for asked in Traffic():
        if gateway.poll() is not None or time.monotonic() >= end:
            return
        at = max(at + 1 / rate, time.monotonic())
        time.sleep(max(0.0, at - time.monotonic()))
        room.acquire()
        threading.Thread(target=_one, args=(base, asked, room), daemon=True).start()


def _one(base: str, asked: Asked, room: threading.BoundedSemaphore) -> None:
    """One request, read to its end. A block is an answer too."""
    headers = {"content-type": "application/json", "authorization": "Bearer sk-demo"}
    request = urllib.request.Request(base + asked.path, msgspec.json.encode(asked.body), headers)
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as reply:
            reply.read()
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:  # the gateway is ending
        pass
    finally:
        room.release()
