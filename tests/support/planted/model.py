"""A model server that plays the planted cases: the model of a request says which case."""

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.planted.cases import CASES, FINE, Exchange


class PlantedModel(ThreadingHTTPServer):
    """Counts how often each prompt came, since a model may say another thing each time."""

    daemon_threads = True

    def __init__(self) -> None:
        self._known: Mapping[str, Sequence[Exchange]] = {case.model: case.exchanges for case in CASES}
        self._asked: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def answer(self, model: str, prompt: str) -> str:
        with self._lock:
            before = self._asked[model, prompt]
            self._asked[model, prompt] += 1
        exchanges = self._known.get(model, ())
        for exchange in exchanges:
            if exchange.prompt == prompt:
                return exchange.answers[min(before, len(exchange.answers) - 1)]
        return next((each.changed for each in exchanges if each.about and each.about in prompt), FINE)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert isinstance(self.server, PlantedModel)
        text = self.server.answer(asked["model"], asked["messages"][-1]["content"])
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
        answer = {"id": "1", "object": "chat.completion", "created": 1, "model": asked["model"], "usage": usage}
        data = json.dumps({**answer, "choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def planted_model() -> Iterator[PlantedModel]:
    with PlantedModel() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
