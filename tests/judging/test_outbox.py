"""What goes to a detector process next: little of the long, so that nothing short waits behind it."""

from collections.abc import Iterator

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.judging.messages import FrameReader, JudgingRequest, judging_request
from gateway.judging.outbox import OWN_BYTES, ROOM_BYTES, Outbox
from tests.support.running.steps import grows_with_the_length

SLICE = 64 * 1024


class Line:
    """The other side: what was written, and what it holds. Each write takes ten milliseconds."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.now = 0.0
        self.written: list[int] = []  # bytes
        self.came: list[JudgingRequest] = []
        self._reader = FrameReader()
        self._decode = msgspec.msgpack.Decoder(JudgingRequest).decode
        self._ids: Iterator[int] = iter(range(1, 10**6))

    def add(self, caller: str, size: int, *, urgent: bool = True) -> JudgingRequest:
        request = judging_request("chat", caller=caller, prompt=b"x" * size, urgent=urgent)
        request.id = next(self._ids)
        self.outbox.add(request)
        return request

    def read(self, data: bytes) -> list[JudgingRequest]:
        """What came whole with these bytes."""
        return [self._decode(body) for body in self._reader.feed(data)]

    def write(self, most: int = 10**6) -> list[str]:
        """The callers of the requests that came whole with so many writes."""
        before = len(self.came)
        for _ in range(most):
            part = self.outbox.next(self.now)
            self.now += 0.01
            if part is None:
                break
            self.written.append(len(part))
            self.came += map(self._decode, self._reader.feed(part))
        return [request.caller for request in self.came[before:]]

    def answer(self, caller: str) -> None:
        request = next(request for request in self.came if request.caller == caller)
        self.came.remove(request)
        self.outbox.answered(request.id)


def test_whatever_fifty_callers_send_a_short_text_is_the_next_that_is_written() -> None:
    line = Line()
    for number in range(50):
        for size in (300_000, 128_000, 60_000, 20_000):
            line.add(f"hostile {number}", size)
    for _ in range(40):
        line.write(1)
        line.add("good", 300)
        assert line.write(1) == ["good"]
        line.answer("good")
    assert max(line.written) <= SLICE + 4


def test_short_ones_are_written_together_and_nothing_long_is_held_up_by_that() -> None:
    line = Line()
    asked = [line.add("app", 1_000 + n) for n in range(32)]
    writes = list(iter(lambda: line.outbox.together(0.0), b""))
    assert len(writes) < 5
    assert max(map(len, writes)) < SLICE
    assert [frame for write in writes for frame in line.read(write)] == asked

    line.add("other", 10 * SLICE)
    first = line.outbox.together(0.0)
    assert len(first) < SLICE + 100  # one slice, and not all of it
    urgent = line.add("app", 100)
    assert line.read(first + line.outbox.together(0.0)) == [urgent]
    assert line.outbox.together(0.0)


def test_no_more_is_sent_than_can_be_done_soon_and_each_caller_has_a_little_beside_that() -> None:
    line = Line()
    for number in range(50):
        line.add(f"hostile {number}", 200_000)
    sent = line.write()
    assert len(sent) * 200_000 < ROOM_BYTES < (len(sent) + 1) * 201_000
    for _ in range(10):
        line.add("good", 20_000)
    assert line.write() == ["good"] * (OWN_BYTES // 21_000)
    line.answer(sent[0])
    assert line.write() == ["good"] * (10 - OWN_BYTES // 21_000)


def test_one_that_is_larger_than_all_the_room_goes_where_half_is_free() -> None:
    line = Line()
    line.add("a", 5 * ROOM_BYTES)
    line.add("b", 300_000)
    line.add("c", 300_000)
    assert line.write() == ["b", "c"]
    line.answer("b")
    assert line.write() == ["a"]


def test_who_sent_little_goes_before_who_sent_much() -> None:
    line = Line()
    for _ in range(100):
        line.add("much", 100_000)
    before = line.write()
    line.add("little", 200_000)
    for _ in before:
        line.answer("much")
    assert line.write()[0] == "little"


def test_what_is_not_urgent_goes_last_and_has_room_of_its_own() -> None:
    line = Line()
    for number in range(20):
        line.add(f"sample {number}", 100_000, urgent=False)
    line.add("urgent", 200_000)
    sent = line.write()
    assert sent[0] == "urgent"
    assert set(sent[1:]) <= {f"sample {number}" for number in range(20)}
    line.add("urgent", 200_000)
    assert line.write() == ["urgent"]


def test_what_was_not_sent_can_be_withdrawn_and_what_was_cannot() -> None:
    line = Line()
    first, _ = line.add("a", 900_000), line.add("a", 900_000)  # which fill the room
    second, third = line.add("a", 900_000), line.add("a", 900_000)
    line.write(1)
    assert not line.outbox.withdraw(first)
    assert line.outbox.withdraw(second)
    assert not line.outbox.withdraw(second)
    line.write()
    line.answer("a")
    line.answer("a")
    line.write()
    assert [request.id for request in line.came] == [third.id]


def test_a_very_long_request_leaves_room_for_the_short_ones_of_its_caller() -> None:
    line = Line()
    line.add("a", 5_000_000)
    line.write()
    for _ in range(20):
        line.add("a", 300)
    assert line.write() == ["a"] * 20
    assert sum(len(request.prompt) for request in line.came) == 5_006_000


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0, 300, 70_000, 200_000, 2_000_000]), st.booleans()))
)
def test_everything_comes_whole_in_the_end(asked: list[tuple[str, int, bool]]) -> None:
    line = Line()
    added = [line.add(caller, size, urgent=urgent) for caller, size, urgent in asked]
    came: list[JudgingRequest] = []
    while len(came) < len(added):
        line.write(3)
        came += line.came
        for request in line.came:
            line.outbox.answered(request.id)
        line.came.clear()
    assert sorted(request.id for request in came) == [request.id for request in added]
    assert all(request in added for request in came)


def test_one_that_is_larger_than_the_room_goes_beside_small_ones_that_never_end() -> None:
    line = Line()
    line.add("small", 300)
    line.add("large", 3 * ROOM_BYTES)
    for _ in range(100):
        line.write(1)
        line.add("small", 300)  # before the last one is answered: there is always something unanswered
        line.write(1)
        if any(request.caller == "large" for request in line.came):
            return
        line.answer("small")
    raise AssertionError("it was never sent")


def test_what_was_taken_back_and_sent_again_holds_room_once() -> None:
    line = Line()
    for _ in range(5):
        again = line.add("a", 400_000)
        line.write()
        assert not line.outbox.withdraw(again)  # it is on the line: another process gets it, and hands it back
        line.outbox.add(again)
        line.write()
        line.outbox.answered(again.id)
        line.outbox.answered(again.id)
    line.came.clear()
    line.add("b", ROOM_BYTES - 1000)
    assert line.write() == ["b"]


def test_many_that_are_withdrawn_together_cost_no_more_each() -> None:
    def withdraw_all(marks: str) -> None:
        line = Line()
        for request in [line.add("impatient", 10) for _ in marks]:
            line.outbox.withdraw(request)

    assert grows_with_the_length(withdraw_all, "x", 8_000)
