"""The servers of the benchmark: a static nginx as upstream, nginx `proxy_pass` as the floor, the gateway, peers."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

KEY = "sk-bench-0123456789"
ANSWER = (
    '{"id":"chatcmpl-bench","object":"chat.completion","created":1767225600,"model":"demo-small","choices":[{"index":0,'
    '"message":{"role":"assistant","content":"A gateway stands between apps and model servers: it checks keys, chooses '
    'where a request goes, and measures what comes back, so that every app gets it without code of its own."},'
    '"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":58,"completion_tokens":37,"total_tokens":95}}'
)
_NGINX = """
worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log {folder}/{name}.err;
events {{ worker_connections 8192; }}
http {{ access_log off; client_body_temp_path {folder}/{name}.body; proxy_temp_path {folder}/{name}.proxy;
fastcgi_temp_path {folder}/{name}.f; uwsgi_temp_path {folder}/{name}.u; scgi_temp_path {folder}/{name}.s;
client_max_body_size 64m; keepalive_requests 1000000000; tcp_nodelay on;
{inside} }}
"""
_STATIC = """server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ default_type application/json;
return 200 '{answer}'; }} }}"""
_PROXY = """upstream behind {{ server 127.0.0.1:{behind}; keepalive 512; keepalive_requests 1000000000; }}
server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://behind; proxy_http_version 1.1;
proxy_set_header Connection ""; }} }}"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A process on given cores; its memory counts with all its children."""

    def __init__(
        self,
        arguments: Sequence[str],
        cores: str,
        port: int,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASSAY_", "OPENAI_"))}
        self._log = (log or Path(os.devnull)).open("wb")
        self.started_at = time.monotonic()
        self._process = subprocess.Popen(
            ["taskset", "-c", cores, *arguments],
            env={**kept, **(env or {})},
            stdout=self._log,
            stderr=self._log,
            stdin=subprocess.DEVNULL,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, path: str, seconds: float = 90.0) -> float:
        """Seconds from the start of the process until `path` answers at all."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(self.url + path, timeout=5) as reply:
                    reply.read()
                return time.monotonic() - self.started_at
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    return time.monotonic() - self.started_at
            except OSError:
                pass
            time.sleep(0.01)
        raise AssertionError(f"{self._process.args!r} did not come up")

    def rss_mib(self) -> float:
        """Resident memory of the process and all its descendants."""
        return sum(_rss(pid) for pid in _descendants(self.pid)) / 2**20

    def own_rss_mib(self) -> float:
        return _rss(self.pid) / 2**20

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()


@contextmanager
def running(server: Server, ready: str = "/v1/models") -> Iterator[Server]:
    try:
        server.wait(ready)
        yield server
    finally:
        server.stop()


def static_upstream(folder: Path, cores: str) -> Server:
    port = free_port()
    return _nginx(folder, "static", _STATIC.format(port=port, answer=ANSWER), cores, port)


def nginx_proxy(folder: Path, cores: str, behind: int) -> Server:
    port = free_port()
    return _nginx(folder, "proxy", _PROXY.format(port=port, behind=behind), cores, port)


def demo_upstream(cores: str) -> Server:
    port = free_port()
    return Server([sys.executable, "-m", "gateway", "demo-upstream", "--port", str(port)], cores, port)


def gateway(cores: str, behind: int, log: Path | None = None, **settings: str) -> Server:
    """`assay serve` in front of `behind`; settings as in the configuration, in lower case."""
    port = free_port()
    env = {"ASSAY_PORT": str(port), "ASSAY_KEYS": KEY, "ASSAY_UPSTREAM_URL": f"http://127.0.0.1:{behind}/v1"}
    env |= {f"ASSAY_{name.upper()}": value for name, value in settings.items()}
    return Server([sys.executable, "-m", "gateway", "serve"], cores, port, env, log)


def _nginx(folder: Path, name: str, inside: str, cores: str, port: int) -> Server:
    file = folder / f"{name}-{port}.conf"
    file.write_text(_NGINX.format(folder=folder, name=f"{name}-{port}", inside=inside))
    return Server([shutil.which("nginx") or "nginx", "-e", str(folder / f"{name}.start"), "-c", str(file)], cores, port)


def _descendants(pid: int) -> list[int]:
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        found.append(current)
        try:
            children = Path(f"/proc/{current}/task/{current}/children").read_text().split()
        except OSError:
            continue
        queue += map(int, children)
    return found


def _rss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS")), 0)
