"""The messages between the process that judges and the one that observes: frames of msgpack."""

import msgspec

from detectors.opinions import Opinion
from gateway.monitoring.changes import Change

SYSTEM, PROMPT, RETRIEVED, ANSWER = "system", "prompt", "retrieved", "response"  # the part that a text belongs to


class Seen(msgspec.Struct, array_like=True, tag="seen", gc=False):
    """A judged sample: its bodies, and which of their texts were judged.

    `at` is Unix seconds, `weight` is 1 divided by the inclusion probability. `texts` lists the texts to read as (part,
    direction, path). `seconds` is how long the answer took; None where that is unknown or the answer did not end.
    `orders` says whether a retrieved passage gives orders; None where there is no passage.
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
    """Asks for what has changed since the last Ask. `now` is Unix seconds."""

    now: float


class Told(msgspec.Struct, array_like=True):
    """The answer to Ask. `sketches` are (start of the hour, number, sketch as a store keeps it). If an hour was
    forgotten and gets samples again, its new sketch has another number and stands beside the first. `changes` are those
    that were noticed. `failed` counts samples that could not be observed; `why` is the type of the last error."""

    sketches: list[tuple[int, int, bytes]]
    changes: list[Change]
    failed: int = 0
    why: str = ""
