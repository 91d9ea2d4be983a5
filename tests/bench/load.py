"""Load for the benchmark: wrk for short requests, an asyncio client for streams. Everything stays on loopback."""

import asyncio
import json
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

BODY = json.dumps(
    {
        "model": "demo-small",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant that answers briefly, in plain words."},
            {
                "role": "user",
                "content": "Tell the people who read this in a few sentences what a gateway does, and why one would "
                "put it in front of a model server that is already there and works quite well without it.",
            },
        ],
        "temperature": 0.2,
        "max_tokens": 128,
    }
)

_SCRIPT = """
wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer %(key)s"
wrk.body = [==[%(body)s]==]
done = function(summary, latency, requests)
  local e = summary.errors
  io.stdout:write(string.format("RESULT %%d %%d %%d %%.1f %%.1f\\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Shot:
    """One window of load: completed requests per second, latency in milliseconds, failed requests."""

    rate: float
    p50: float
    p99: float
    failed: int


class Wrk:
    """`wrk` with one request, pinned to the given cores."""

    def __init__(self, folder: Path, key: str, cores: str, body: str = BODY) -> None:
        self._script = folder / f"wrk-{abs(hash(body))}.lua"
        self._script.write_text(_SCRIPT % {"key": key, "body": body})
        self._cores = cores

    def shoot(self, url: str, connections: int, seconds: float) -> Shot:
        """Load `url` for `seconds`; raises AssertionError when wrk printed no result."""
        command = [
            "taskset",
            "-c",
            self._cores,
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds:g}s",
            "--timeout",
            "20s",
        ]
        printed = subprocess.run(
            [*command, "-s", str(self._script), url], capture_output=True, text=True, check=False
        ).stdout
        lines = [line.split() for line in printed.splitlines() if line.startswith("RESULT")]
        assert lines, printed
        requests, microseconds, failed, p50, p99 = (float(value) for value in lines[0][1:])
        return Shot(requests / (microseconds / 1e6), p50 / 1e3, p99 / 1e3, int(failed))


@dataclass(frozen=True, slots=True)
class Streams:
    """Streams at once: how many delivered every frame, time to first frame and gaps between frames, in milliseconds."""

    complete: int
    asked: int
    first_p50: float
    first_p99: float
    gap_p50: float
    gap_p99: float


async def stream(port: int, key: str, count: int, deltas: int, gap_ms: int) -> Streams:
    """Open `count` streams spread over a second and read all to the end."""
    body = json.loads(BODY) | {"stream": True, "model": f"demo-small?deltas={deltas}&gap_ms={gap_ms}"}
    content = json.dumps(body).encode()
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        b"authorization: Bearer %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (key.encode(), len(content))
    ) + content
    clock = asyncio.get_running_loop().time
    firsts: list[float] = []
    gaps: list[float] = []

    async def one(number: int) -> bool:
        await asyncio.sleep(number / count)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        frames, last, done = 0, clock(), False
        writer.write(request)
        try:
            while data := await reader.read(65536):
                now = clock()
                found = data.count(b"data: ")
                if found and frames == 0:
                    firsts.append(now - last)
                elif found:
                    gaps.append(now - last)
                if found:
                    frames += found
                    last = now
                done = done or b"[DONE]" in data
        finally:
            writer.close()
        return done and frames >= deltas

    complete = await asyncio.gather(*(one(number) for number in range(count)))
    return Streams(sum(complete), count, *_percentiles(firsts), *_percentiles(gaps))


def _percentiles(seconds: list[float]) -> tuple[float, float]:
    cut = statistics.quantiles(seconds, n=100)
    return cut[49] * 1e3, cut[98] * 1e3
