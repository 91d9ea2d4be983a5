"""What is said between the process that judges and the one that observes, as frames with msgpack in them."""

import msgspec

from detectors.opinions import Opinion
from gateway.monitoring.changes import Change

SYSTEM, PROMPT, RETRIEVED, ANSWER = "system", "prompt", "retrieved", "response"  # which part a text belongs to


class Seen(msgspec.Struct, array_like=True, tag="seen", gc=False):
    """A judged sample: its bodies, and what of them was judged.

    `at` is Unix seconds, `weight` one over the probability of being sampled. `texts` names what is to be read as (part,
    direction, path). `seconds` the answer took; None where it is not known, or was not given to its end. `orders`: does
    a retrieved passage give orders; None where there is no passage.
    """

    id: str
    at: float
    weight: float
    route: str
    model: str
    caller: str
    language: str
    operation: str
    prompt: bytes
    answer: bytes
    encoding: str
    stream: bool
    policy: str
    seconds: float | None
    orders: bool | None
    texts: list[tuple[str, str, list[str | int]]]
    scores: list[tuple[str, Opinion]]


class Ask(msgspec.Struct, array_like=True, tag="ask"):
    """For what has changed since it was asked last. `now` is Unix seconds."""

    now: float


class Told(msgspec.Struct, array_like=True):
    """The answer: sketches as a store keeps them, and the changes that were noticed. A sketch has the beginning of its
    hour and a number of its own: an hour that was forgotten and came once more has another one, beside the first.
    `failed` are samples that could not be observed; `why` names the last error by its type."""

    sketches: list[tuple[int, int, bytes]]
    changes: list[Change]
    failed: int = 0
    why: str = ""
