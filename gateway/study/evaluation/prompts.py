"""Prompts from templates and slots: a YAML file for each study, expanded at random with a seed.

A family's prompts are made from its templates in `ask`. They are filled from a row of its table (`rows`), from the
study's `slots`, and with what its check needs: `{options}` is the choices in a random order, `{opening}` the first part
of the row's `text`, `{question}` the row's question (with typing errors in the second prompt of the check `same`).
`{name}` is the same phrase everywhere in a prompt; `{Name}` is that phrase with a capital.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import msgspec

from detectors.taxonomy import SLUGS
from gateway.study.evaluation.typos import with_typos

Check = Literal["letter", "word", "confidence", "same", "verbatim", "harm", "refusal"]
SHIPPED = Path(__file__).parent / "prompts"
_SLOT = re.compile(r"\{(\w+)\}")
_GAP = re.compile(r" (?=[.,:?!](?:\s|$))")  # the space that an empty phrase leaves
_LETTERS = "ABCDEFGH"
_DEPTH = 6  # slots inside slots
_TRIES = 60  # draws without a new prompt, for each row, after which a family counts as used up
_CUTS = (0.3, 0.4, 0.5, 0.6)  # share of a known text at which its opening ends
_LEAST_CONTINUED = 25  # words that are left to go on with: about as many as an answer has room for
_CHOOSING: frozenset[str] = frozenset({"letter", "word", "confidence", "same"})

Fields = Mapping[str, str | int | float]


class PromptsError(ValueError):
    """A file of prompts cannot be used; the message says where and why."""


class Family(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Prompts that are made, and whose answers are read, in the same way.

    `options` are the choices by name; `wrong` lists the names that count as failures (slots of the row are filled in).
    `refused` says how a refusal counts: `passes`, or `unclear`, which is no answer. `follow_up` is asked in the same
    conversation after the answer.
    """

    name: str
    subcategory: str
    check: Check
    ask: list[str]
    follow_up: str = ""
    rows: str = ""
    options: dict[str, str] = {}
    wrong: list[str] = []
    refused: Literal["passes", "unclear"] = "unclear"


class Study(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One file. `failure` says in a few words what counts as a failure; `tokens` bounds an answer.

    `examples` are conversations (questions and answers in turn) that are put before the prompts of a base model, to
    show it the form of an answer. So they must not be about what is measured.
    """

    study: str
    failure: str
    families: list[Family]
    tokens: int = 64
    examples: list[list[str]] = []
    slots: dict[str, list[str | int]] = {}
    tables: dict[str, list[dict[str, str | int | float]]] = {}


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to ask: one prompt, or two that differ only in typing errors, or one and a follow-up to its answer.

    `options` are (letter, name, text); `wrong` are the names that fail, `right` is the name of a choice that does not.
    `rest` is how a known text continues after `opening`.
    """

    id: str
    study: str
    subcategory: str
    check: Check
    asks: tuple[str, ...]
    tokens: int
    options: tuple[tuple[str, str, str], ...] = ()
    wrong: tuple[str, ...] = ()
    right: str = ""
    refused: str = "unclear"
    opening: str = ""
    rest: str = ""
    is_followed_up: bool = False
    examples: tuple[tuple[str, ...], ...] = ()

    @property
    def expected(self) -> str:
        """An answer that does not fail, if one is known; else empty."""
        for letter, name, text in self.options:
            if name == self.right:
                return text if self.check == "word" else f"{letter}) {text}"
        return ""


def shipped() -> dict[str, Study]:
    """The eight studies by name, in the paper's order."""
    return {path.stem.partition("-")[2]: read(path) for path in sorted(SHIPPED.glob("*.yaml"))}


def read(path: Path) -> Study:
    """Reads and checks the file of a study. Raises PromptsError."""
    try:
        study = msgspec.yaml.decode(path.read_bytes(), type=Study)
    except OSError as error:
        raise PromptsError(f"{path}: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PromptsError(f"{path}: {str(error) or 'nested too deeply'}") from error
    if not re.fullmatch(r"\w+", study.study):
        raise PromptsError(f"{path}: `study` is {study.study!r}, must be a name of letters, digits and _")
    if empty := [name for name, phrases in study.slots.items() if not phrases]:
        raise PromptsError(f'{path}: the slot {empty[0]!r} is empty; an empty phrase is ""')
    for family in study.families:
        if problem := _problem(study, family):
            raise PromptsError(f"{path}, family {family.name!r}: {problem}")
    if odd := [number for number, turns in enumerate(study.examples, 1) if len(turns) % 2 or not turns]:
        raise PromptsError(f"{path}: `examples`, number {odd[0]}: question and answer in turn, an even number of texts")
    if not study.families:
        raise PromptsError(f"{path}: has no families, so there is nothing to ask")
    return study


def _problem(study: Study, family: Family) -> str:
    rows = study.tables.get(family.rows, [])
    if family.subcategory not in SLUGS:
        return f"{family.subcategory!r} is not a sub-category; `assay taxonomy` lists them"
    if not family.ask:
        return "has no template in `ask`"
    if family.rows and not rows:
        return f"`tables` has no rows under {family.rows!r}"
    if family.check in _CHOOSING and (len(family.options) < 2 or len(family.options) > len(_LETTERS)):
        return f"the check {family.check!r} needs 2 to {len(_LETTERS)} `options`"
    if family.check == "verbatim" and not all(isinstance(row.get("text"), str) for row in rows or [{}]):
        return "the check 'verbatim' needs `rows` that have a `text`"
    if family.check == "same" and family.follow_up:
        return "the check 'same' asks twice, so it takes no `follow_up`"
    if family.check == "same" and not all("{question}" in ask for ask in family.ask):
        return "the check 'same' needs `{question}` in every template"
    if stray := [name for name in family.wrong if name not in family.options and not _SLOT.search(name)]:
        return f"`wrong` has {stray[0]!r}, which is not among the `options`"
    return _missing_slot(study, family, rows)


def _missing_slot(study: Study, family: Family, rows: Sequence[Fields]) -> str:
    known = {*study.slots, "options", "opening", "question"}
    common = set.intersection(*({*row} for row in rows)) if rows else set()
    for text in (*family.ask, family.follow_up, *family.options.values(), *family.wrong):
        for name in _SLOT.findall(text):
            if _lower(name) not in known | common and name not in common:
                return f"{{{name}}} is not a slot, and not every row of the table has it"
    return ""


def merged(studies: Mapping[str, Study], more: Sequence[Study]) -> dict[str, Study]:
    """The studies with the operator's own: families are added to a study of the same name, other studies as they
    are."""
    found = dict(studies)
    for study in more:
        known = found.get(study.study)
        found[study.study] = study if known is None else _joined(known, study)
    return found


def _joined(one: Study, other: Study) -> Study:
    names = {family.name for family in one.families} & {family.name for family in other.families}
    clash = sorted(names | (one.slots.keys() & other.slots.keys()) | (one.tables.keys() & other.tables.keys()))
    if clash:
        raise PromptsError(f"study {one.study!r} has {clash[0]!r} already: give yours another name")
    families = [*one.families, *other.families]
    return msgspec.structs.replace(
        one,
        families=families,
        examples=[*one.examples, *other.examples],
        slots={**one.slots, **other.slots},
        tables={**one.tables, **other.tables},
    )


def items(study: Study, count: int, seed: int = 0) -> list[Item]:
    """`count` items that differ in their first prompt or known text, from the families in turn; fewer if the templates
    do not give so many.

    A larger count only adds items at the end. Raises PromptsError for slots that contain themselves.
    """
    sources = [_family_items(study, family, random.Random(f"{seed}/{study.study}/{family.name}"))
               for family in study.families]  # fmt: skip
    found: list[Item] = []
    while sources and len(found) < count:
        for source in list(sources):
            item = next(source, None)
            if item is None:
                sources.remove(source)
            elif len(found) < count:
                found.append(item)
    return found


def _family_items(study: Study, family: Family, rng: random.Random) -> Iterator[Item]:
    rows: list[Fields] = list(study.tables.get(family.rows, [])) or [{}]
    seen: set[str] = set()
    waiting: list[Fields] = []
    stale = 0
    while stale < _TRIES * len(rows):
        if not waiting:
            waiting = rng.sample(rows, len(rows))
        item = _Draw(study, family, waiting.pop(), rng).item()
        # The same opening or the same first prompt would give no new answer.
        new = item.opening or item.asks[0]
        if new in seen:
            stale += 1
            continue
        stale = 0
        seen.add(new)
        yield item


class _Draw:
    """The random choices of one item."""

    def __init__(self, study: Study, family: Family, row: Fields, rng: random.Random) -> None:
        self._study, self._family, self._rng = study, family, rng
        self._filled: dict[str, str] = {}
        self._row = {name: str(value) for name, value in row.items()}

    def item(self) -> Item:
        family = self._family
        if family.check == "verbatim":
            self._cut()
        names = list(family.options)
        if family.check != "word":
            self._rng.shuffle(names)
        options = tuple(
            (letter, name, self._expand(family.options[name])) for letter, name in zip(_LETTERS, names, strict=False)
        )
        self._filled["options"] = "\n".join(f"{letter}) {text}" for letter, _, text in options)
        template = self._rng.choice(family.ask)
        asks = [self._expand(template)]
        if family.check == "same":
            plain = self._expand("{question}")
            self._filled["question"] = with_typos(plain, self._rng)
            asks.append(self._expand(template))
        if family.follow_up:
            asks.append(self._expand(family.follow_up))
        digest = blake2b("\0".join(asks).encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
        wrong = tuple(self._expand(name) for name in family.wrong)
        right = next((name for name in reversed(family.options) if name not in wrong), "")
        opening, rest = self._filled.get("opening", ""), self._filled.get("rest", "")
        return Item(
            f"{self._study.study}/{family.name}/{digest}", self._study.study, family.subcategory, family.check,
            tuple(asks), self._study.tokens, options, wrong, right, family.refused, opening, rest,
            bool(family.follow_up), tuple(map(tuple, self._study.examples)),
        )  # fmt: skip

    def _cut(self) -> None:
        words = self._row["text"].split()
        at = max(1, min(len(words) - _LEAST_CONTINUED, round(len(words) * self._rng.choice(_CUTS))))
        self._filled["opening"], self._filled["rest"] = " ".join(words[:at]), " ".join(words[at:])

    def _expand(self, text: str, depth: int = 0) -> str:
        if depth > _DEPTH:
            raise PromptsError(f"study {self._study.study!r}, family {self._family.name!r}: a slot contains itself")
        filled = _SLOT.sub(lambda found: self._fill(found[1], depth), text)
        return _GAP.sub("", " ".join(part for part in filled.split(" ") if part)).strip()

    def _fill(self, name: str, depth: int) -> str:
        key = name if name in self._row else _lower(name)
        if key not in self._filled:
            values = self._study.slots.get(key, [""])
            phrase = self._row[key] if key in self._row else str(self._rng.choice(values))
            self._filled[key] = self._expand(phrase, depth + 1)
        value = self._filled[key]
        return value if key == name else value[:1].upper() + value[1:]


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]
