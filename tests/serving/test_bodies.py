"""Bodies of requests: bounds for each and for all together, and nothing stays counted that is not held."""

import gzip
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.serving.bodies import Bodies, BodyBounds, content_length

Message = MutableMapping[str, Any]
BOUNDS = BodyBounds(each=6, all=10, seconds=5)


def coming(*pieces: bytes, gone: bool = False) -> Callable[[], Awaitable[Message]]:
    """A body in pieces; with `gone` the client leaves in place of the last."""
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if gone:
        messages.append({"type": "http.disconnect"})
    else:
        messages[-1]["more_body"] = False

    async def receive() -> Message:
        return messages.pop(0)

    return receive


def nothing() -> None:
    """The body did not come along with its head."""


async def fills(bodies: Bodies, room: int) -> bool:
    """Whether exactly `room` bytes of the bound for all are free."""
    held = []
    try:
        while room:
            held.append((await bodies.read(nothing, coming(b"x" * min(room, BOUNDS.each)), ()))[0])
            room -= len(held[-1])
        with pytest.raises(GatewayError) as error:
            await bodies.read(nothing, coming(b"x"), ())
        return error.value.reason == "overloaded"
    finally:
        for body in held:
            bodies.release(body)


async def test_a_body_is_one_piece_whether_it_came_at_once_or_not() -> None:
    bodies = Bodies(BOUNDS)
    assert await bodies.read(lambda: b"abc", coming(gone=True), ()) == (b"abc", b"")
    assert await bodies.read(nothing, coming(b"ab", b"", b"cd"), ()) == (b"abcd", b"")
    assert await fills(bodies, 3)


@pytest.mark.parametrize(
    ("pieces", "gone", "headers", "reason"),
    [
        ((b"abcd", b"efg"), False, [], "body_too_large"),
        ((b"a",), False, [(b"content-length", b"7")], "body_too_large"),
        ((b"abcd",), True, [], "client_gone"),
    ],
)
async def test_nothing_of_a_refused_body_stays_counted(
    pieces: Sequence[bytes], gone: bool, headers: list[tuple[bytes, bytes]], reason: str
) -> None:
    bodies = Bodies(BOUNDS)
    with pytest.raises(GatewayError) as error:
        await bodies.read(nothing, coming(*pieces, gone=gone), headers)
    assert error.value.reason == reason
    assert await fills(bodies, 10)


async def test_all_bodies_together_are_bounded_until_they_are_released() -> None:
    bodies = Bodies(BOUNDS)
    first, _ = await bodies.read(nothing, coming(b"123456"), ())
    with pytest.raises(GatewayError) as error:
        await bodies.read(lambda: b"12345", coming(gone=True), ())
    assert error.value.reason == "overloaded"
    assert await fills(bodies, 4)
    bodies.release(first)
    assert await fills(bodies, 10)


async def test_an_upload_passes_piece_by_piece_and_is_not_counted() -> None:
    bodies = Bodies(BOUNDS)
    pieces = [piece async for piece in bodies.pieces(coming(b"12345678", b"", b"12345678"))]
    assert pieces == [b"12345678", b"12345678"]
    assert await fills(bodies, 10)


def test_a_length_is_a_plain_number() -> None:
    assert content_length([(b"content-length", b"12")]) == 12
    assert content_length([(b"content-length", b"1e3")]) is None
    assert content_length([]) is None


async def test_a_packed_body_is_held_both_ways() -> None:
    bodies = Bodies(BodyBounds(100, 300, 1.0))
    packed = gzip.compress(b"x" * 90)
    assert await bodies.read(lambda: packed, coming(gone=True), (), "gzip") == (b"x" * 90, packed)
    bodies.release(b"x" * 90)
    bodies.release(packed)
    for body, reason in ((gzip.compress(b"x" * 101), "body_too_large"), (packed[:-1], "bad_encoding")):
        with pytest.raises(GatewayError) as error:
            await bodies.read(lambda body=body: body, coming(gone=True), (), "gzip")  # type: ignore[misc]
        assert error.value.reason == reason
    assert bodies._held == 0
