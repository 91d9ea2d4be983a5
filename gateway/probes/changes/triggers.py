"""Removes suspected triggers of a poisoned model from a request.

Suspected are the strings that the operator lists, invisible characters, and the rare short tokens of a published attack
(Kurita, Michel & Neubig, 2020, section 4): cf, mn, bb, tq, mb.
"""

import re
from collections.abc import Sequence

from gateway.probes.changes.conversation import Conversation, Edits

_UNSEEN = "[\u200b\u2060\u2061-\u2064\ufeff\u00ad\U000e0000-\U000e007f]+"
_RARE = r"(?<!\S)(?:cf|mn|bb|tq|mb)(?!\S)[ \t]?"


def pattern_of(listed: Sequence[str]) -> re.Pattern[str]:
    """Matches what is removed; the listed strings match in any case and only as whole words."""
    own = [rf"(?<!\w){re.escape(text)}(?!\w)[ \t]?" for text in sorted(listed, key=len, reverse=True) if text]
    return re.compile("|".join([*own, _UNSEEN, _RARE]), re.IGNORECASE)


def removed(conversation: Conversation, pattern: re.Pattern[str]) -> Edits | None:
    """The request without suspected triggers in the texts of the user, of tools and of retrieved passages."""
    edits = {}
    for said in conversation.texts:
        if said.channel not in ("user", "retrieved", "tool"):
            continue
        text = pattern.sub("", said.text)
        if text == said.text:
            continue
        if said.path is None or not text.strip():
            return None
        edits[said.path] = text
    return edits or None
