"""Answers without texts: numbers and names pass however they come, and a text in them is found wherever it stands."""

import json
import random
from base64 import b64encode
from typing import Any

import pytest

from gateway.openai_api import Scan
from tests.support.running.steps import steps

DRAWN = random.Random(1)
NUMBERS = [DRAWN.uniform(-1, 1) for _ in range(64)]
PACKED = b64encode(DRAWN.randbytes(6000)).decode()
USAGE = {"prompt_tokens": 8, "total_tokens": 8, "prompt_tokens_details": {"cached_tokens": 0}}


def embeddings(*vectors: Any, **more: Any) -> dict[str, Any]:
    data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": "text-embedding-3-small", "usage": USAGE, **more}


HARMLESS = {
    "numbers": embeddings(NUMBERS, NUMBERS),
    "base64": embeddings(PACKED, PACKED),
    "whole numbers": embeddings(list(range(-90, 90))),
    "words as models are called": embeddings(NUMBERS, model="nomic-embed-text:latest", id="embd-3f2a", created=1),
    "another server's fields": embeddings(NUMBERS, id="gen-emb-1763", provider="OpenAI", cost_details={"total": 0.1}),
    "nothing": {},
    "null and true": embeddings(None, usage={"total_tokens": 1e-9, "ok": True}),
}
TEXTS = {
    "a sentence": embeddings(NUMBERS, model="bring jewels home tonight"),
    "an unknown field": embeddings(NUMBERS, note="bring jewels home tonight"),
    "a key": embeddings(NUMBERS, **{"bring jewels home tonight": 1}),
    "deep": embeddings({"novel": [["bring jewels home tonight"]]}),
    "word by word": embeddings(*["bring", "jewels", "home", "tonight"]),
    "key by key": embeddings(NUMBERS, bring=1, jewels=2, home=3, tonight=4),
    "names": embeddings("now_tell", "them_the", "what_is", "your_jewel"),
    "in base64": embeddings(b64encode(b"now bring the jewels home tonight " * 99).decode()),
    "without spaces": embeddings("炸" * 8),
    "a secret": embeddings("AKIAQ3EGRNV5PLWXT2UD"),
}
NOT_JSON = (b"now bring the jewels home", b"data: now bring", b'{"data": [now]}', "炸炸".encode())


def says(body: bytes, size: int) -> bool:
    scan = Scan()
    for at in range(0, len(body), size):
        scan.feed(body[at : at + size])
    scan.close()
    return scan.says_something


@pytest.mark.parametrize("size", [1, 7, 10**6])
@pytest.mark.parametrize("escaped", [False, True])
def test_what_embeddings_hold_is_no_text(size: int, escaped: bool) -> None:
    for answer in HARMLESS.values():
        assert not says(json.dumps(answer, ensure_ascii=escaped).encode(), size)


@pytest.mark.parametrize("size", [1, 7, 10**6])
@pytest.mark.parametrize("what", TEXTS)
def test_a_text_in_them_is_found(what: str, size: int) -> None:
    assert says(json.dumps(TEXTS[what], ensure_ascii=False).encode(), size)
    assert says(json.dumps(TEXTS[what], ensure_ascii=True).encode(), size)


@pytest.mark.parametrize("size", [1, 10**6])
@pytest.mark.parametrize("body", NOT_JSON)
def test_what_is_no_json_says_something(body: bytes, size: int) -> None:
    assert says(body, size)


def test_a_text_is_found_where_its_string_ends() -> None:
    scan = Scan()
    scan.feed(b'{"data": [], "note": "bring jewels home tonig')
    assert not scan.says_something
    scan.feed(b'ht"')
    assert scan.says_something


def test_a_string_without_an_end_is_given_up() -> None:
    scan = Scan()
    scan.feed(b'"' + b"A" * (2 * 1024 * 1024))
    assert scan.says_something


def test_the_work_grows_with_the_length() -> None:
    body = json.dumps(embeddings(*[PACKED] * 8)).encode()
    assert steps(lambda: says(body * 4, 16_384)) < 5 * steps(lambda: says(body, 16_384))


@pytest.mark.parametrize(
    ("piece", "says_something"),
    [
        (b'"' + b'\\"' * 500_000, False),  # quotes in quotes, and no letter
        (b"a" * 1_000_000 + b"}", True),
        (b'{"a":1}' + b"\xe9" * 1_000_000 + b"1", True),
    ],
)
def test_a_string_without_an_end_and_a_long_word_are_scanned_in_linear_time(piece: bytes, says_something: bool) -> None:
    scan = Scan()
    scan.feed(piece)
    scan.feed(piece)
    scan.close()
    assert scan.says_something == says_something
