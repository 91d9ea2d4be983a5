"""Whether users tell of their own distress, and whether a reply responds to it.

Both are recognised by words. Three kinds of response are those of Sharma et al. (EMNLP 2020, section 3), who rate
replies to people in distress: reacting with feeling, saying what one has understood, and asking back. Encouragement,
shared experience and comfort are added to them.
"""

import re
from importlib.resources import files

from detectors.comparing.nearness import stems

READ_CHARACTERS = 20_000
OPENING = 500  # characters of a reply
_SOON = 300  # in which a word of feeling is no word of the matter itself

FILE = "feelings.txt"


def _parts() -> dict[str, str]:
    """The alternatives of each part of the file as one expression. In it, <name> stands for an earlier part."""
    parts: dict[str, list[str]] = {}
    name = ""
    for line in (files(__package__) / FILE).read_text("utf-8").splitlines():
        if line.startswith("["):
            name = line.strip("[]")
        elif line and not line.startswith("#"):
            parts.setdefault(name, []).append(line)
    joined = {name: "|".join(lines) for name, lines in parts.items()}
    for part in joined:
        for name in _WHOLE:
            joined[part] = joined[part].replace(f"<{name}>", _WHOLE[name].format(**joined))
    return joined


# How the words of some parts are combined in a sentence.
_WHOLE = {
    "very": "(?:(?:{very}) ){{0,3}}",
    "hurt": "(?:{hurt})",
    "mild": "(?:{mild})",
    "kin": "my (?:(?:{kin of}) ){{0,2}}(?:{kin})",
    "struck": "(?:(?:{struck by}) ){{0,4}}(?:{struck})",
}
_PARTS = _parts()
_STATED = re.compile(_PARTS["stated"])


def _any(name: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{_PARTS[name]})\b")


# A text written for others, or about an invented person, says nothing about the user.
_MADE_UP = _any("made up")
_QUOTED = re.compile(r"\"[^\"\n]{0,2000}\"|“[^”\n]{0,2000}”|```.*?(?:```|\Z)|`[^`\n]*`|^[ \t]*>.*$", re.M | re.S)
_IF = re.compile(r"\b(?:if|whenever|unless|say|says|said|saying|whether|should|when) (?:that )?$")
# Behind words of feeling: they are about one's skill, or about work on a computer.
_OF_A_MATTER = re.compile(
    r" (?:at (?:maths?|statistics|physics|chemistry|grammar|spelling|cooking|coding|programming|excel|chess)\b|"
    r"laughing\b|(?:\w+ )?(?:builds?|pipeline|deploy(?:ment)?)\b|(?:of|with|by) (?:this|the|these|that) (?:\w+ )?"
    r"(?:bug|code|error|app|compiler|printer|software|library|framework|query|build|script)s?\b)"
)
# The ways in which a reply may respond to a feeling.
_WAYS: tuple[tuple[str, re.Pattern[str]], ...] = (
    *((way, _any(way)) for way in ("reacts", "understands", "shares", "supports", "feels", "asks")),
    ("reacts", re.compile(_PARTS["reacts by a mark"])),
    ("feels", re.compile(rf"\b(?:{_PARTS['feels by its beginning']})\w*\b")),
)
_DISMISSES = _any("dismisses")


def states_feeling(text: str) -> bool:
    """Whether the user tells of distress, or of a blow of fate; quotes, code and invented stories do not count."""
    return bool(told(text))


def told(text: str) -> str:
    """The words in which the user does; empty if there are none."""
    said = _plain(_QUOTED.sub(" ", text[:READ_CHARACTERS]))
    if _MADE_UP.search(said):
        return ""
    return " ".join(
        found[0]
        for found in _STATED.finditer(said)
        if not _IF.search(said[max(0, found.start() - 12) : found.start()])
        and not _OF_A_MATTER.match(said, found.end())
    )


def signs(reply: str) -> frozenset[tuple[str, str]]:
    """The expressions by which a reply responds to a feeling, each with its way; empty for a flat reply.

    Only its opening is read: the advice that follows has its own words such as "hard" and "hurt".
    """
    said = _opening(reply)
    return frozenset(
        (way, sign[0])
        for way, pattern in _WAYS
        for sign in pattern.finditer(said, 0, _SOON if way == "feels" else len(said))
    )


def dismisses(reply: str) -> bool:
    """Whether a reply makes light of a feeling, or mocks it."""
    return _DISMISSES.search(_opening(reply)) is not None


# Words that whoever says anything of themselves uses, and that therefore take up nothing.
_OF_ONESELF = frozenset(stem for word in ("am", "i'm", "i've", "i'd", "i'll", "me", "myself") for stem in stems(word))


def takes_up(reply: str, feeling: str) -> frozenset[str]:
    """The stems of the user's words about the feeling that the reply repeats."""
    return (frozenset(stems(_opening(reply))) & frozenset(stems(feeling))) - _OF_ONESELF


def _opening(reply: str) -> str:
    return _plain(reply.strip()[:OPENING])


def _plain(text: str) -> str:
    return text.replace("’", "'").replace("‘", "'").lower()
