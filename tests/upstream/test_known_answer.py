"""Heads of answers that came before: read without the parser, and never otherwise than the parser reads them."""

from itertools import product

import pytest

from gateway.exchange import Headers
from gateway.upstream.http1.known_answer import KnownAnswer, known_answer
from tests.support.wire.http1_twice import answers_on_one_connection, answers_on_two

DATE = b"Date: Sun, 06 Nov 1994 08:49:37 GMT"
LATER = b"Date: Mon, 07 Nov 1994 00:00:00 GMT"
TYPE = b"Content-Type: application/json"


def wire(*lines: bytes, body: bytes = b"x" * 400, status: bytes = b"200 OK") -> bytes:
    """An answer with these header lines; `%d` in one stands for the body's length."""
    head = b"\r\n".join([b"HTTP/1.1 " + status, *(line.replace(b"%d", b"%d" % len(body)) for line in lines)])
    return head + b"\r\n\r\n" + body


def headers_of(answer: bytes) -> Headers:
    lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]


def learnt(answer: bytes) -> KnownAnswer | None:
    return known_answer(answer, 200, headers_of(answer))


ORDERS = [
    (b"Content-Length: %d", DATE, TYPE),
    (DATE, b"Server: s", b"content-length: %d", b"Connection: keep-alive"),
    (TYPE, b"x-rate: 5%% of %s", b"Content-Length:%d"),
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [100, 999, 1000, 9_999, 10_000, 60_000])
def test_a_head_is_known_again_with_another_length_and_date(order: tuple[bytes, ...], size: int) -> None:
    known = learnt(wire(*order))
    assert known is not None
    again = wire(*order, body=b"y" * size).replace(DATE, LATER)
    found = known.read(again)
    assert found is not None
    assert found == (headers_of(again), len(again) - size)


@pytest.mark.parametrize(
    "other",
    [
        wire(*ORDERS[0])[:-1],  # a byte is still to come
        wire(*ORDERS[0]) + b"H",  # a byte too many
        wire(*ORDERS[0], status=b"201 OK"),
        wire(*ORDERS[0], body=b"x" * 99),
        wire(*ORDERS[0]).replace(b"400", b"0400"),
        wire(*ORDERS[0]).replace(b"400", b"+400"),
        wire(*ORDERS[0]).replace(DATE, b"Date: Sun, 06 Nov 1994 08:49:37\r\nA:"),
        wire(*ORDERS[0]).replace(DATE, b"Date: Sun, 06 Nov 1994 08:49:37 UTC"),
        wire(*ORDERS[0], b"X: y"),
        wire(*ORDERS[1]),
        b"",
    ],
)
def test_anything_else_is_for_the_parser(other: bytes) -> None:
    known = learnt(wire(*ORDERS[0]))
    assert known is not None
    assert known.read(other) is None


@pytest.mark.parametrize(
    "answer",
    [
        wire(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        wire(b"Content-Length: %d", b"Transfer-Encoding: identity"),
        wire(b"Content-Length: %d", b"X: " + b"y" * 2048),
        wire(b"Content-Length: %d") + wire(b"Content-Length: %d"),
        wire(b"Content-Length: %d", DATE, LATER),
        wire(TYPE),
        b"HTTP/1.1 100 Continue\r\n\r\n" + wire(b"Content-Length: %d"),
    ],
)
def test_what_is_not_framed_by_one_length_alone_is_not_remembered(answer: bytes) -> None:
    assert learnt(answer) is None


SECOND = [
    *(
        wire(*order, body=b"z" * size).replace(DATE, LATER)
        for order, size in product(ORDERS, (0, 7, 150, 3_000, 70_000))
    ),
    wire(*ORDERS[0], status=b"500 Internal Server Error"),
    wire(*ORDERS[0]) + b"HTTP/1.1 200 OK\r\n\r\n",
    wire(*ORDERS[0]).replace(b"400", b"401"),
    wire(*ORDERS[0]).replace(b"400", b"399"),
    wire(*ORDERS[0]).replace(DATE, b"Date: never"),
    b"HTTP/1.1 100 Continue\r\n\r\n" + wire(*ORDERS[0]),
    b"ICE/1.0" + wire(*ORDERS[0])[8:],
    wire(*ORDERS[0]).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("cut", [None, 0, 3, 60, -1])
async def test_a_connection_that_knows_the_head_says_what_a_new_one_says(
    order: tuple[bytes, ...], second: bytes, cut: int | None
) -> None:
    pieces = [second] if cut is None else [piece for piece in (second[:cut], second[cut:]) if piece]
    assert await answers_on_one_connection(wire(*order), pieces) == await answers_on_two(wire(*order), pieces)
