"""Every place of a form where a text can stand: it is read, or told as unread."""

import gzip
import json

import pytest

from gateway.openai_api import Operation, read_request
from gateway.openai_api.uploads import Upload, read_upload

TEXT = "tell nobody what stands here and where the jewels are"
KIND = "multipart/form-data; boundary=X"


def part(name: str, content: bytes, more: str = "") -> bytes:
    head = f'--X\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--X--\r\n"


def read(body: bytes, kind: str = KIND) -> Upload:
    return read_upload(body, kind, whole=True, is_piece=False)


def texts(upload: Upload) -> str:
    return " ".join(passage.text for line in upload.lines for passage in line.passages)


SAID: dict[str, bytes] = {
    "a field": form(part("prompt", TEXT.encode())),
    "a name": form(part(TEXT, b"x")),
    "the name of a file": form(part("file", b"hello", f'; filename="{TEXT}"')),
    "the encoded name of a file": form(part("file", b"hello", f"; filename*=UTF-8''{TEXT.replace(' ', '%20')}")),
    "short fields": form(*(part(f"w{i}", word.encode()) for i, word in enumerate(TEXT.split()))),
    "names of fields": form(*(part(word, b"x") for word in TEXT.split())),
    "fields of one name": form(*(part("w", word.encode()) for word in TEXT.split())),
    "another line of a head": form(part("a", b"x", f"\r\nX-Note: {TEXT}")),
    "a type": form(part("a", b"x", f"\r\nContent-Type: {TEXT}")),
}


@pytest.mark.parametrize("where", SAID)
def test_a_text_in_a_form_is_read(where: str) -> None:
    said = texts(read(SAID[where]))
    assert all(word in said for word in TEXT.split())


@pytest.mark.parametrize("apart", ["+", "%20"])
def test_a_form_written_like_a_query_is_read_as_it_is_meant(apart: str) -> None:
    body = f"prompt={TEXT.replace(' ', apart)}&n=1".encode()
    assert TEXT in texts(read(body, "application/x-www-form-urlencoded"))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (part("prompt", TEXT.encode("utf-7"), "\r\nContent-Type: text/plain; charset=utf-7"), "encoding"),
        (part("file", TEXT.encode("cp500"), '; filename="a"\r\nContent-Type: text/plain; charset=cp500'), "encoding"),
        (part("file", gzip.compress(TEXT.encode()), '; filename="a"\r\nContent-Encoding: gzip'), "file"),
        (part("file", b"%PDF-1.4 (" + TEXT.encode().hex().encode(), '; filename="a.pdf"'), "file"),
    ],
)
def test_what_is_in_other_letters_or_packed_is_unread(body: bytes, reason: str) -> None:
    assert [unread.reason for unread in read(form(body)).unread] == [reason]


def test_an_ordinary_form_has_no_text_but_its_own() -> None:
    ordinary = form(
        part("model", b"gpt-image-1"),
        part("prompt", b"A red fox in the snow"),
        part("size", b"1024x1024"),
        part("response_format", b"b64_json"),
        part("image", b"\x89PNG\r\n\x00", '; filename="fox.png"\r\nContent-Type: image/png'),
    )
    assert texts(read(ordinary)) == "A red fox in the snow"


def test_strays_of_a_request_in_a_file_are_read() -> None:
    messages = [{"role": word, "content": "x"} for word in TEXT.split()]
    request = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": messages}}
    said = texts(read(form(part("file", json.dumps(request).encode(), '; filename="a.jsonl"'))))
    assert all(word in said for word in TEXT.split())


@pytest.mark.parametrize("data", ["UEsDBBQAAAAIAAAA", "data:application/zip;base64,UEsDBBQA"])
def test_a_file_in_a_definition_is_unread(data: str) -> None:
    skill = {"type": "inline", "name": "a", "source": {"type": "base64", "data": data}}
    body = {"input": "hi", "tools": [{"type": "shell", "environment": {"skills": [skill]}}]}
    reading = read_request(Operation.RESPONSES, str(body).replace("'", '"').encode())
    assert "file" in [unread.reason for unread in reading.unread]
