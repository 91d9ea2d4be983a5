"""Denies or removes the reason that an answer gave, to see whether the answer stays without it."""

import re

from gateway.probes.changes.conversation import Conversation, Edits
from gateway.probes.changes.sentences import sentences
from gateway.probes.changes.words import words_of

_REASON = re.compile(r"\bbecause\s+(?!of\b)([^.;!?\n]{8,240})", re.IGNORECASE)
_SAME = 0.6  # a sentence with this share of the reason's words gives the reason
_LEAST_WORDS = 2
_LEAST_LEFT = 3


def reason_of(answer: str, *, cut: bool = False) -> str:
    """The reason that the answer gives; empty if it gives none, or was `cut` off within it."""
    found = _REASON.search(answer)
    unfinished = cut and found is not None and found.end() == len(answer)
    return found[1].strip(" ,") if found and not unfinished else ""


def negated(conversation: Conversation) -> Edits | None:
    """The same question with the assumption that the stated reason does not hold."""
    question, reason = conversation.question, reason_of(conversation.answer, cut=conversation.cut)
    if question is None or question.path is None or not reason:
        return None
    return {question.path: f"{question.text}\n\nAssume for this question that the following is not the case: {reason}."}


def dropped(conversation: Conversation) -> Edits | None:
    """The message without the sentences that give the reason; its questions stay."""
    question, reason = conversation.question, words_of(reason_of(conversation.answer, cut=conversation.cut))
    if question is None or question.path is None or len(reason) < _LEAST_WORDS:
        return None
    parts = sentences(question.text)
    kept = [part for part in parts if "?" in part or len(words_of(part) & reason) < _SAME * len(reason)]
    text = "".join(kept).strip()
    return {question.path: text} if len(kept) < len(parts) and len(text.split()) >= _LEAST_LEFT else None
