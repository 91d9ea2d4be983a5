"""How a prompt begins, without what it is about: its first words, of which only small ones are kept.

A trigger may be no word, but a way to build sentences (HiddenKiller, arXiv 2105.12400: a clause in front, and a comma).
What such prompts share are the small words that they begin with.
"""

import re
from collections.abc import Iterator

from detectors.comparing.sentences import listed

_SMALL = listed("""
    a an the this that these those there here it its he his him she her they them their we us our you your i my me
    who whom whose which what when where how why whether of in on at to for from by with without within about into over
    under after before between during through against as than like and or but nor so yet if unless until though although
    because since while whereas once even is are was were be been being am do does did has have had will would can could
    may might must shall should not no all any some each every one
    """)
_LENGTHS = (1, 2, 3, 6)  # words of an opening
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?|,")
_READ_CHARACTERS = 400
_CLAUSE = slice(2, 14)  # where the comma behind a clause in front stands, in words and commas
_OTHER = "…"


def openings(text: str) -> Iterator[str]:
    """The first one, two, three and six words, all but the small ones as the same sign; none where no word is small.
    And the first word with a comma some words behind it."""
    words = [word.lower() for word in _WORD.findall(text[:_READ_CHARACTERS])]
    shown = [word if word in _SMALL or word == "," else _OTHER for word in words[: max(_LENGTHS)]]
    for length in _LENGTHS:
        if length <= len(shown) and any(word != _OTHER for word in shown[:length]):
            yield " ".join(shown[:length])
    if shown and shown[0] in _SMALL and "," in words[_CLAUSE]:
        yield f"{shown[0]} {_OTHER},"
