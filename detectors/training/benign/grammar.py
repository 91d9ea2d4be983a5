"""The grammar of the benign set: a YAML file has families of frames, each frame expanded some times at random, seeded.

Frames are written as in `detectors.training.synthetic.grammar`: `{slot}` is replaced by one of the slot's phrases,
`{slot!}` by the same one all over the text, `{Slot}` by one with a capital; `{{` and `}}` are braces.

Every frame belongs to one half of the set, told by its checksum, so that a new frame moves no other. The phrases of a
slot that holds whole sentences are divided in the same way, and a frame that is little more than such slots serves
both halves. So no sentence stands in both.
"""

import random
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from detectors.base import Role
from detectors.training.synthetic.grammar import Draw, tidy

Channel = Literal["system", "user", "tool", "assistant", "arguments", "reasoning"]
Half = Literal["dev", "held-out"]
HALVES: tuple[Half, ...] = ("dev", "held-out")
SENTENCE = 40  # code points: a slot with a longer phrase holds sentences
OWN_WORDS = 8  # a frame with more words of its own belongs to one half, whatever its slots hold
TRIES = 20  # draws for each text wanted
_SLOT = re.compile(r"\{(\w+)!?\}")
_PROMPTS: tuple[Channel, ...] = ("system", "user", "tool")

Slots = Mapping[str, list[str | int]]


@dataclass(frozen=True, slots=True)
class Benign:
    """One harmless text: where it stands in an exchange, what kind of text it is, and the half it belongs to."""

    text: str
    channel: Channel
    kind: str
    half: Half

    @property
    def role(self) -> Role:
        return "prompt" if self.channel in _PROMPTS else "response"


class Family(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Frames of one kind. `each`: texts of a frame at most, in each half that it serves. `times`: how often the
    expanded frame is repeated, one text for each number."""

    kind: str
    texts: list[str]
    channel: Channel = "user"
    each: int = 1
    times: tuple[int, ...] = (1,)


class Topic(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One file."""

    families: list[Family]
    slots: dict[str, list[str | int]] = {}


def topic_texts(path: Path) -> Iterator[Benign]:
    """The texts of one YAML file, the same at every call.

    Raises ValueError with the file's name for a wrong field, an unknown slot, or a slot whose sentences would all be in
    one half.
    """
    try:
        topic = msgspec.yaml.decode(path.read_bytes(), type=Topic)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path.name}: {error}") from error
    divided = frozenset(name for name, phrases in topic.slots.items() if max(map(_length, phrases)) > SENTENCE)
    slots = {half: _of_half(topic.slots, divided, half, path.name) for half in HALVES}
    for family in topic.families:
        for frame in family.texts:
            for half in _halves(frame, family.kind, divided):
                for text in _expanded(frame, family, slots[half], f"{path.name}, {family.kind}, {half}"):
                    yield Benign(text, family.channel, family.kind, half)


def _length(phrase: str | int) -> int:
    return len(str(phrase))


def _half(text: str) -> Half:
    return HALVES[zlib.crc32(text.encode()) % 2]


def _of_half(slots: Slots, divided: frozenset[str], half: Half, file: str) -> Slots:
    """The slots with only those sentences that belong to `half`."""
    found: dict[str, list[str | int]] = {}
    for name, phrases in slots.items():
        found[name] = [item for item in phrases if name not in divided or _half(str(item)) == half]
        if not found[name]:
            raise ValueError(f"{file}: all phrases of the slot {name!r} fall into one half: add or reword one")
    return found


def _halves(frame: str, kind: str, divided: frozenset[str]) -> tuple[Half, ...]:
    own = _SLOT.sub(" ", frame)
    names = {name[0].lower() + name[1:] for name in _SLOT.findall(frame)}
    if len(own.split()) <= OWN_WORDS and not divided.isdisjoint(names):
        return HALVES
    return (_half(f"{kind}/{frame}"),)


def _expanded(frame: str, family: Family, slots: Slots, where: str) -> Iterator[str]:
    rng = random.Random(f"{where}/{frame}")
    seen: set[str] = set()
    for _ in range(TRIES * family.each):
        filled = Draw(slots, rng, [], where).expand(frame)
        if filled not in seen and len(seen) < family.each:
            seen.add(filled)
            yield from (tidy(filled * times) for times in family.times)
