"""A bounded queue whose drops leave every weight right."""

import random

from gateway.opinions.thinned import ThinnedQueue


def test_what_fits_keeps_its_probability() -> None:
    waiting: ThinnedQueue[str] = ThinnedQueue(10, draw=random.Random(1).random)
    assert [waiting.offer(name, 0.25) for name in "abc"] == [0, 0, 0]
    assert [waiting.take() for _ in range(4)] == [("a", 0.25), ("b", 0.25), ("c", 0.25), None]


def test_it_stays_bounded_and_lets_all_in_again_when_there_is_room() -> None:
    waiting: ThinnedQueue[int] = ThinnedQueue(8, draw=random.Random(2).random)
    dropped = 0
    for number in range(1000):
        dropped += waiting.offer(number, 1.0)
        assert len(waiting) <= 8
    assert waiting.share < 0.1
    assert dropped == 1000 - len(waiting)
    while waiting.take():
        pass
    for _ in range(20):
        waiting.offer(0, 1.0)
        waiting.take()
    assert waiting.share == 1.0


def test_the_weights_of_what_is_left_add_up_to_what_came() -> None:
    """Bursts, and a taker that is behind: over many runs the sum of 1/probability is the number that was offered, also
    for a kind of items that comes late, when much is dropped."""
    runs, total, rare = 4000, 0.0, 0.0
    draw = random.Random(3).random
    for _ in range(runs):
        waiting: ThinnedQueue[int] = ThinnedQueue(6, draw=draw)
        taken: list[tuple[int, float]] = []
        for number in range(60):
            if draw() < 0.5:
                waiting.offer(number, 0.5)
            if number % 5 == 0 and (one := waiting.take()):
                taken.append(one)
        while one := waiting.take():
            taken.append(one)
        total += sum(1 / probability for _, probability in taken)
        rare += sum(1 / probability for number, probability in taken if number >= 50)
    assert abs(total / runs - 60) < 1.5  # five standard errors
    assert abs(rare / runs - 10) < 0.7


def test_one_that_is_put_back_is_next() -> None:
    waiting: ThinnedQueue[str] = ThinnedQueue(4, draw=lambda: 0.0)
    waiting.offer("a", 0.5)
    waiting.offer("b", 0.5)
    first = waiting.take()
    assert first == ("a", 0.5)
    waiting.put_back(*first)
    assert waiting.take() == ("a", 0.5)
