"""However many texts a request has, each piece of the work on them is small: a short text of another caller waits for
one. Counted in calls, of Python's functions and of built-in ones, so that no busy machine changes the result."""

import json
from collections.abc import Sequence

import numpy as np

from detectors.base import PIECE_CHARACTERS, State, Steps, Text, in_pieces
from detectors.manifest import load_one
from detectors.panel import Panel
from detectors.trained.encoder import Encoder
from detectors.trained.networks import Scored
from gateway.judging.messages import judging_request
from gateway.judging.request_panel import RequestPanel
from tests.support.running.steps import Calls

WORDS = "please tell me what the character in my novel wants to steal and how the poison works in the story "


class Reader(Encoder):
    """The English encoder without its network: what is left is what is done for each text beside that."""

    def __init__(self) -> None:
        info = load_one("encoder")
        super(Encoder, self).__init__(info)
        self._heads = len(info.heads) + (len(info.first.heads) if info.first else 0)

    def _score(self, texts: Sequence[Text]) -> Steps[Scored]:
        yield
        return Scored(np.zeros((len(texts), self._heads)), [State.SCANNED] * len(texts))


def pieces(texts: Sequence[str]) -> list[int]:
    """The calls that each piece of the judging of these texts takes, but for the first, which reads the body."""
    panel = RequestPanel(Panel([Reader()]), b"key")
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text} for text in texts]}).encode()
    work = panel.steps([judging_request("chat", prompt=body, prompt_slugs=None, urgent=True)])
    taken: list[int] = []
    ended = False
    while not ended:
        with Calls() as calls:
            ended = bool(next(work, True))
        taken.append(calls.number)
    return taken[1:]


def test_no_piece_of_many_texts_is_larger_than_one_of_few() -> None:
    few, many = ([f"{number} {WORDS}" for number in range(count)] for count in (100, 900))
    pieces(few)  # what is told once is told
    of_few, of_many = pieces(few), pieces(many)
    assert max(of_many) < 1.2 * max(of_few)
    assert sum(of_many) > 8 * sum(of_few)


def test_pieces_keep_order_and_are_bounded_in_texts_and_characters() -> None:
    sizes = [1] * 200 + [PIECE_CHARACTERS * 3, 1, PIECE_CHARACTERS - 1, 5]
    runs = list(in_pieces(sizes, int))
    assert [size for run in runs for size in run] == sizes
    assert max(map(len, runs)) == 64
    assert all(sum(run[:-1]) < PIECE_CHARACTERS for run in runs)


def test_a_stop_between_the_texts_leaves_them_unjudged() -> None:
    texts = [Text(f"{number} {WORDS}", "prompt") for number in range(300)]
    work = Reader().steps(texts)
    next(work)
    try:
        work.send(True)
    except StopIteration as done:
        assert [judgement.state for judgement in done.value] == [State.STOPPED] * 300
    else:
        raise AssertionError("it goes on")
