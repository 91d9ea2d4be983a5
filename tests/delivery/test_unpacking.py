"""What an upstream packs or pads is read within bounds."""

import gzip

import pytest

from gateway.delivery.answers import Begun
from gateway.delivery.lookout import Lookout


@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_no_more_is_unpacked_than_an_answer_may_have(encoding: str) -> None:
    body = b"[" + b"0," * 100_000 + b"0]"
    data = gzip.compress(body) if encoding else body
    assert await Lookout(encoding, most=len(body)).feed(data) is None
    assert await Lookout(encoding, most=len(body) - 1).feed(data) == "too_long"


async def test_nothing_is_unpacked_behind_what_may_not_leave() -> None:
    """The first kilobyte says something; what follows would unpack to more than may be unpacked."""
    data = gzip.compress(b'["bring the jewels home tonight",' + b"0," * 10_000_000 + b"0]")
    lookout = Lookout("gzip", most=2**20)
    assert await lookout.feed(data) == "field"


class Padded:
    """An answer that begins with white space: `more` pieces of it, then this."""

    status = 200
    complete = False

    def __init__(self, blanks: int, then: bytes = b"") -> None:
        self.given = 0
        self._blanks = blanks
        self._then = then

    def take(self) -> bytes:
        return b""

    async def more(self) -> bytes:
        self.given += 1
        return b"\n" * 1024 if self.given <= self._blanks else self._then

    async def pour(self, offer: object, settle: object) -> bytes:
        return b""


async def test_white_space_without_an_end_is_not_waited_for() -> None:
    answer = Padded(1_000)
    begun = Begun(answer)
    assert not await begun.is_stream()
    assert answer.given < 10
    assert len(await begun.more()) == answer.given * 1024


async def test_white_space_before_a_stream_is_passed_over() -> None:
    assert await Begun(Padded(1, b"data: {}\n\n")).is_stream()
