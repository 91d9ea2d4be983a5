"""The servers of the benchmark: upstreams, nginx `proxy_pass` as the floor, the gateway. What is tested has core 0."""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers.ports import HeldPort

TESTED, LOAD = "0", "1"
BOTH = f"{TESTED},{LOAD}"
KEY = "sk-bench-0123456789"
ANSWER = (
    '{"id":"chatcmpl-bench","object":"chat.completion","created":1767225600,"model":"demo-small","choices":[{"index":0,'
    '"message":{"role":"assistant","content":"A gateway stands between apps and model servers: it checks keys, chooses '
    'where a request goes, and measures what comes back, so that every app gets it without code of its own."},'
    '"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":58,"completion_tokens":37,"total_tokens":95}}'
)
_NGINX = """
worker_processes {workers}; daemon off; pid {folder}/{name}.pid; error_log {folder}/{name}.err;
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
proxy_set_header Connection ""; proxy_buffering {buffering}; }} }}"""


class Server:
    """A process on given cores; its memory counts with all its children."""

    def __init__(
        self,
        arguments: Sequence[str],
        cores: str,
        port: HeldPort,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        self._held = port
        self.port = port.number
        self.url = f"http://127.0.0.1:{self.port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASSAY_", "OPENAI_"))}
        self._log_file = log or Path(os.devnull)
        self._log = self._log_file.open("wb")
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
        """Seconds from the start of the process until `path` answers at all; AssertionError when it does not."""
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
        said = self._log_file.read_text(errors="replace")[-2000:]
        raise AssertionError(f"{self._process.args!r} did not come up: {said}")

    def rss_mib(self) -> float:
        """Resident memory of the process and all its descendants."""
        return sum(_status(pid, "VmRSS") for pid in _descendants(self.pid)) / 2**20

    def rss_at_rest_mib(self) -> float:
        """The least of some looks: what the monitors start for a few seconds is left out."""
        looks = []
        for _ in range(8):
            looks.append(self.rss_mib())
            time.sleep(1)
        return min(looks)

    def cpu_seconds(self) -> float:
        """The processor's time that the process and its descendants have taken so far."""
        return sum(_ticks(pid) for pid in _descendants(self.pid)) / os.sysconf("SC_CLK_TCK")

    def own_cpu_seconds(self) -> float:
        """The same of the process itself, without its descendants, by the scheduler's clock."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def peak_mib(self) -> float:
        """The most resident memory that the process itself ever had."""
        return _status(self.pid, "VmHWM") / 2**20

    def descriptors(self) -> int:
        """Open files and sockets of the process itself."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()
        self._held.release()


@contextmanager
def running(server: Server, ready: str = "/v1/models") -> Iterator[Server]:
    try:
        server.wait(ready)
        yield server
    finally:
        server.stop()


def static_upstream(folder: Path, cores: str, workers: int = 1) -> Server:
    port = HeldPort()
    return _nginx(folder, "static", _STATIC.format(port=port.number, answer=ANSWER), cores, port, workers)


def nginx_proxy(folder: Path, cores: str, behind: int, *, streams: bool = False) -> Server:
    """With `streams` it passes on what comes as it comes."""
    port = HeldPort()
    inside = _PROXY.format(port=port.number, behind=behind, buffering="off" if streams else "on")
    return _nginx(folder, "proxy", inside, cores, port)


def model_server(cores: str) -> Server:
    port = HeldPort()
    return Server([sys.executable, "-m", "tests.bench.model_server", str(port.number)], cores, port)


def gateway(cores: str, behind: int, log: Path | None = None, **settings: str) -> Server:
    """`assay serve` in front of `behind`; settings as in the configuration, in lower case.

    With `config`, the path of a configuration file, keys and upstreams are that file's.
    """
    port = HeldPort()
    env = {"ASSAY_PORT": str(port.number)}
    if "config" not in settings:
        env |= {"ASSAY_KEYS": KEY, "ASSAY_UPSTREAM_URL": f"http://127.0.0.1:{behind}/v1"}
    env |= {f"ASSAY_{name.upper()}": value for name, value in settings.items()}
    return Server([sys.executable, "-m", "gateway", "serve"], cores, port, env, log)


def move_detectors(server: Server) -> None:
    """The detector process runs beside the load, on the other core."""
    for pid in _descendants(server.pid)[1:]:
        os.sched_setaffinity(pid, {int(LOAD)})


def spare_detectors(server: Server) -> None:
    """The detector process has a core of its own where there is a third; else it gets what the load leaves."""
    for pid in _descendants(server.pid)[1:]:
        if (os.cpu_count() or 1) > 2:
            os.sched_setaffinity(pid, {2})
            continue
        os.sched_setaffinity(pid, {int(LOAD)})
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))


@contextmanager
def paused_detectors(server: Server) -> Iterator[None]:
    """The processes beside the gateway's own stand still; what is sent to them waits."""
    pids = _descendants(server.pid)[1:]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def metric(server: Server, name: str) -> float:
    """The sum of the series whose line begins with `name`."""
    with urllib.request.urlopen(server.url + "/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def _nginx(folder: Path, name: str, inside: str, cores: str, port: HeldPort, workers: int = 1) -> Server:
    file = folder / f"{name}-{port.number}.conf"
    file.write_text(_NGINX.format(folder=folder, name=f"{name}-{port.number}", inside=inside, workers=workers))
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


def _ticks(pid: int) -> int:
    """In user and kernel mode, of all threads; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def _status(pid: int, line: str) -> int:
    """Bytes, of a line of the process's status; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(text.split()[1]) * 1024 for text in lines if text.startswith(line)), 0)
