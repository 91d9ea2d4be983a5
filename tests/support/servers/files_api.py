"""Files, uploads and batches as a model server has them: it keeps what it is sent, and runs a batch when it is made."""

import json
import threading
from collections.abc import Callable, Mapping
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from types import TracebackType
from typing import Any, Self

_CREATED = 1_700_000_000


class FilesApi:
    """Serves on a free port. A batch's answers say what `answer` makes of the last message of each request."""

    def __init__(self, answer: Callable[[str], str] = str.upper) -> None:
        self._answer = answer
        self._numbers = count(1)
        self._files: dict[str, tuple[dict[str, Any], bytes]] = {}
        self._batches: dict[str, dict[str, Any]] = {}
        self._parts: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, bytes]] = []  # method, path and body of all that came
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def keep(self, content: bytes, purpose: str = "batch_output") -> str:
        """The id of a file that nobody uploaded."""
        id = self._new("file")
        about = {"id": id, "object": "file", "bytes": len(content), "created_at": _CREATED, "filename": "f.jsonl"}
        self._files[id] = ({**about, "purpose": purpose, "status": "processed"}, content)
        return id

    def content(self, id: str) -> bytes:
        return self._files[id][1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # --- what is asked for, by method and the parts of the path below /v1

    def _reply(self, method: str, path: list[str], kind: str, body: bytes) -> tuple[bytes, str]:
        match method, path:
            case "POST", ["files"]:
                fields = _form(kind, body)
                return _json(self._files[self.keep(fields["file"], fields["purpose"].decode())][0])
            case "GET", ["files", id, "content"]:
                return self._files[id][1], "application/octet-stream"
            case "GET", ["files"]:
                return _listed([about for about, _ in self._files.values()])
            case "GET", ["files", id]:
                return _json(self._files[id][0])
            case "DELETE", ["files", id]:
                del self._files[id]
                return _json({"id": id, "object": "file", "deleted": True})
            case "POST", ["uploads"]:
                return _json(self._upload(self._new("upload"), json.loads(body)))
            case "POST", ["uploads", id, "parts"]:
                part = self._new("part")
                self._parts[part] = _form(kind, body)["data"]
                made = {"id": part, "object": "upload.part", "created_at": _CREATED, "upload_id": id}
                return _json(made)
            case "POST", ["uploads", id, "complete"]:
                content = b"".join(self._parts[part] for part in json.loads(body)["part_ids"])
                about = self._files[self.keep(content, "batch")][0]
                return _json(self._upload(id, about) | {"status": "completed", "file": about})
            case "POST", ["batches"]:
                return _json(self._run(json.loads(body)))
            case "GET", ["batches", id]:
                return _json(self._batches[id])
            case "GET", ["batches"]:
                return _listed(list(self._batches.values()))
            case _:
                return _json(_said("hello"))

    def _upload(self, id: str, about: Mapping[str, Any]) -> dict[str, Any]:
        more = {"status": "pending", "created_at": _CREATED, "expires_at": _CREATED + 3600}
        named = {"filename": about["filename"], "purpose": about["purpose"], "bytes": about["bytes"]}
        return {"id": id, "object": "upload", **more, **named}

    def _run(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        lines = [json.loads(line) for line in self.content(asked["input_file_id"]).splitlines() if line.strip()]
        answered = b"".join(json.dumps(self._answered(line)).encode() + b"\n" for line in lines)
        id = self._new("batch")
        counts = {"total": len(lines), "completed": len(lines), "failed": 0}
        made = {"id": id, "object": "batch", "created_at": _CREATED, "status": "completed", "request_counts": counts}
        self._batches[id] = {**asked, **made, "output_file_id": self.keep(answered), "error_file_id": None}
        return self._batches[id]

    def _answered(self, line: Mapping[str, Any]) -> dict[str, Any]:
        said = self._answer(line["body"]["messages"][-1]["content"])
        response = {"status_code": 200, "request_id": "req_1", "body": _said(said)}
        return {"id": "batch_req_1", "custom_id": line["custom_id"], "response": response, "error": None}

    def _new(self, kind: str) -> str:
        return f"{kind}-{next(self._numbers)}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                chunked = self.headers.get("transfer-encoding") == "chunked"
                body = self._chunks() if chunked else self.rfile.read(int(self.headers.get("content-length", "0")))
                api.requests.append((self.command, self.path, body))
                path = self.path.partition("?")[0].removeprefix("/v1/").split("/")
                content, kind = api._reply(self.command, path, self.headers.get("content-type", ""), body)
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_DELETE = do_POST  # noqa: N815 - so the library finds them

            def _chunks(self) -> bytes:
                pieces = []
                while size := int(self.rfile.readline(), 16):
                    pieces.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(pieces)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        return Handler


def _form(kind: str, body: bytes) -> dict[str, bytes]:
    """The fields of a form (RFC 7578), as their bytes."""
    whole = BytesParser(policy=HTTP).parsebytes(b"content-type: " + kind.encode() + b"\r\n\r\n" + body)
    found: dict[str, bytes] = {}
    for part in whole.iter_parts():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        found[str(part.get_param("name", header="content-disposition"))] = content
    return found


def _said(text: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def _listed(entries: list[dict[str, Any]]) -> tuple[bytes, str]:
    return _json({"object": "list", "data": entries, "has_more": False})


def _json(value: Any) -> tuple[bytes, str]:
    return json.dumps(value).encode(), "application/json"
