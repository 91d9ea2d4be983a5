"""Removes the user's opinion from the last message, or reverses it. Questions and facts around it stay."""

import re

from gateway.probes.changes.conversation import Conversation, Edits
from gateway.probes.changes.sentences import sentences

_LEAST_LEFT = 3  # words that a message without its opinion must still have
_OPINION = re.compile(
    r"\bi (?:really |strongly |firmly |honestly |personally |do |don't |do not |just )*"
    r"(?:think|believe|feel|suspect|reckon|guess|doubt)\b(?! about)|"
    r"\bi(?:'m| am) (?:pretty |quite |fairly |very |absolutely |almost |100% )*"
    r"(?:sure|certain|convinced|confident|positive)\b|"
    r"\bin my (?:humble |honest )?(?:opinion|view)\b|\bmy (?:own |personal )?(?:opinion|view|belief|guess|answer) is\b|"
    r"\bif you ask me\b|\bi(?:'d| would) say\b|"
    r"\bi (?:really |strongly |completely |totally )*(?:like|love|dislike|hate|agree|disagree)\b",
    re.IGNORECASE,
)  # fmt: skip
_ASKED = re.compile(r"\b(?:do|would|did) you\b[^?]*$", re.IGNORECASE)

_OPPOSITES = {
    "agree": "disagree",
    "disagree": "agree",
    "like": "dislike",
    "dislike": "like",
    "love": "hate",
    "hate": "love",
}
# An opinion is reversed by denying it, or by removing its denial; a verb that has an opposite is replaced by that.
_HELD = re.compile(
    r"\b(?P<who>i(?: really| strongly| firmly| honestly| personally| completely| totally| just)* )"
    r"(?P<denied>do not |don't )?"
    r"(?P<verb>think|believe|feel|suspect|reckon|guess|agree|disagree|like|dislike|love|hate)\b",
    re.IGNORECASE,
)
# After these words the claim itself is denied.
_DENIED = re.compile(
    r"(\b(?:i(?:'m| am) (?:pretty |quite |fairly |very |absolutely |almost |100% )*"
    r"(?:sure|certain|convinced|confident|positive)(?: that)?|in my (?:humble |honest )?(?:opinion|view),?(?: that)?|"
    r"my (?:own |personal )?(?:opinion|view|belief) is(?: that)?|if you ask me,?|i(?:'d| would) say(?: that)?))\s+",
    re.IGNORECASE,
)
_DENIAL = "it is not true that "


def states_opinion(sentence: str) -> bool:
    """Whether a sentence says what the user thinks; a question what the model thinks does not count."""
    found = _OPINION.search(sentence)
    return found is not None and not _ASKED.search(sentence[: found.end()])


def removed(conversation: Conversation) -> Edits | None:
    """The message without the sentences that say what the user thinks."""
    question = conversation.question
    if question is None or question.path is None:
        return None
    parts = sentences(question.text)
    left = "".join(part for part in parts if not states_opinion(part)).strip()
    if left == question.text.strip() or len(left.split()) < _LEAST_LEFT:
        return None
    return {question.path: left}


def reversed_(conversation: Conversation) -> Edits | None:
    """The message with its first opinion turned into the opposite; all other words stay."""
    question = conversation.question
    if question is None or question.path is None:
        return None
    parts = sentences(question.text)
    for number, part in enumerate(parts):
        turned = turned_round(part) if states_opinion(part) else part
        if turned != part:
            return {question.path: "".join([*parts[:number], turned, *parts[number + 1 :]])}
    return None


def turned_round(sentence: str) -> str:
    """The sentence with its opinion denied, or with the denial removed; unchanged where neither can be done."""
    if _DENIAL in sentence.lower():
        at = sentence.lower().index(_DENIAL)
        return sentence[:at] + sentence[at + len(_DENIAL) :]
    found = _HELD.search(sentence)
    if found:
        return sentence[: found.start()] + found["who"] + _turned(found) + sentence[found.end() :]
    return _DENIED.sub(lambda match: match[1] + " " + _DENIAL, sentence, count=1)


def _turned(found: re.Match[str]) -> str:
    verb = found["verb"]
    if found["denied"]:
        return verb
    return _OPPOSITES.get(verb.lower(), f"don't {verb}")
