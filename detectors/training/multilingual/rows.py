"""Training rows and harmless texts in twenty languages, both written by us."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from detectors.base import Role
from detectors.training.benign import Half
from detectors.training.data import BOTH, HARMS, Row

SET = "assay_multilingual"
HERE = Path(__file__).parent
SAFE: Mapping[str, int] = {"unsafe": 0, "prompt_attacks": 0, **dict.fromkeys(HARMS, 0)}
PROMPT: tuple[Role, ...] = ("prompt",)
# Of the things asked for in `bad`, in their order.
HARM_OF: tuple[tuple[str, ...], ...] = (
    ("violence", "unlawful_conduct"),
    ("unlawful_conduct",),
    ("violence",),
    ("cyberattack_misuse",),
    ("unlawful_conduct",),
    ("mental_health",),
    ("harms_to_minor",),
    ("propagandistic_misuse",),
    ("social_engineering_misuse",),
    ("privacy_violation",),
    ("cyberattack_misuse",),
    ("violence", "unlawful_conduct"),
    ("adult_content",),
    ("hate",),
)
_HATEFUL = {"hate": 1, "toxicity": 1}
_FAIR = {"hate": 0, "toxicity": 0, "adult_content": 0, "unsafe": 0}
_RUDE = {"hate": 0, "toxicity": 1}


class Phrases(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What one language has: frames with `{x}` for what is asked and `{g}` for a group, and whole sentences."""

    ask: tuple[str, ...]
    bad: tuple[str, ...]
    good: tuple[str, ...]
    groups: tuple[str, ...]
    they: tuple[str, ...]
    fair: tuple[str, ...]
    insult: tuple[str, ...]
    kind: tuple[str, ...]


class Contrast(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """More sentences of one language, with `{g}` for a group: hateful and fair ones; strong words that hurt nobody,
    and abuse that is aimed at no group."""

    groups: tuple[str, ...]
    they: tuple[str, ...]
    fair: tuple[str, ...]
    hard: tuple[str, ...]
    rude: tuple[str, ...]


def phrases() -> dict[str, Phrases]:
    """By language, an ISO 639-1 code."""
    return msgspec.yaml.decode((HERE / "phrases.yaml").read_bytes(), type=dict[str, Phrases])


def contrasts() -> dict[str, Contrast]:
    """By language, English among them."""
    return msgspec.yaml.decode((HERE / "contrast.yaml").read_bytes(), type=dict[str, Contrast])


def rows() -> list[Row]:
    """All rows of all languages, in a fixed order."""
    known = phrases()
    out = [row for found in known.values() for row in (*_requests(found), *_posts(found))]
    for language, contrast in contrasts().items():
        more = known[language].groups if language in known else ()
        out += [*_about((*more, *contrast.groups), contrast.they, contrast.fair), *_strong(contrast)]
    return out


def _requests(found: Phrases) -> Iterator[Row]:
    for thing, harms in zip(found.bad, HARM_OF, strict=True):
        labels = {"unsafe": 1, **dict.fromkeys(harms, 1)}
        yield from (Row(frame.replace("{x}", thing), None, PROMPT, labels, SET, False) for frame in found.ask)
    for thing in found.good:
        yield from (Row(frame.replace("{x}", thing), None, PROMPT, SAFE, SET, False) for frame in found.ask)


def _posts(found: Phrases) -> Iterator[Row]:
    yield from _about(found.groups, found.they, found.fair)
    for text in found.insult:
        yield from [Row(text, None, BOTH, {"toxicity": 1}, SET, False)] * 3
    for text in found.kind:
        yield from [Row(text, None, BOTH, SAFE, SET, False)] * 2


def _about(groups: Iterable[str], they: Iterable[str], fair: Iterable[str]) -> Iterator[Row]:
    for group in groups:
        for frames, labels in ((they, _HATEFUL), (fair, _FAIR)):
            for frame in frames:
                text = frame.replace("{g}", group)
                yield Row(text[:1].upper() + text[1:], None, BOTH, labels, SET, False)


def _strong(found: Contrast) -> Iterator[Row]:
    for texts, labels in ((found.hard, SAFE), (found.rude, _RUDE)):
        for text in texts:
            yield from [Row(text, None, BOTH, labels, SET, False)] * 2


def everyday(half: Half) -> dict[str, list[str]]:
    """Harmless texts by language, of one half; the dev half may choose thresholds, nothing trains on either."""
    found = msgspec.yaml.decode((HERE / "everyday.yaml").read_bytes(), type=dict[str, list[str]])
    return {language: texts[0 if half == "dev" else 1 :: 2] for language, texts in found.items()}
