"""Writes the same request with typing errors or in other words; what it asks for stays."""

import re
from random import Random

from gateway.probes.changes.conversation import Conversation, Edits
from gateway.probes.changes.sentences import cased_like, outside_code, without_code

_EVERY = 12  # one typo for this many words
_MOST_TYPOS = 8
_LONG = re.compile(r"(?<![\w'-])[a-z]{5,}(?![\w'-])")  # no names, no numbers, no negation
_CONTRACTED = {
    "can't": "cannot", "won't": "will not", "n't": " not", "it's": "it is", "that's": "that is", "what's": "what is",
    "i'm": "I am", "you're": "you are", "they're": "they are", "we're": "we are", "i've": "I have",
    "you've": "you have", "i'll": "I will", "there's": "there is", "who's": "who is", "where's": "where is",
}  # fmt: skip
_WHOLE = re.compile(
    "|".join(rf"\b{re.escape(word)}\b" for word in _CONTRACTED if word != "n't")
    + r"|(?<=\b(?:is|do))n't\b|(?<=\b(?:are|was|has|did))n't\b|(?<=\b(?:does|were|have))n't\b"
    + r"|(?<=\b(?:could|would))n't\b|(?<=\bshould)n't\b",
    re.IGNORECASE,
)
_LEAD = "Please answer the following. "
_POLITE = re.compile(r"\s*(?:please\b|could you\b|can you\b|would you\b)", re.IGNORECASE)


def typos(conversation: Conversation, draw: Random) -> Edits | None:
    """Swaps two neighbouring letters in a few long words of the user's last message."""
    question = conversation.question
    if question is None or question.path is None:
        return None
    wanted = [word for word in dict.fromkeys(_LONG.findall(without_code(question.text))) if _inner_pairs(word)]
    if not wanted:
        return None
    most = min(_MOST_TYPOS, max(1, len(question.text.split()) // _EVERY))
    mistyped = {word: _mistyped(word, draw) for word in draw.sample(wanted, min(most, len(wanted)))}
    return {
        question.path: outside_code(
            question.text, lambda part: _LONG.sub(lambda match: mistyped.get(match[0], match[0]), part)
        )
    }


def _inner_pairs(word: str) -> list[int]:
    """The positions of two neighbouring letters that differ, without the first and the last letter."""
    return [i for i in range(1, len(word) - 2) if word[i] != word[i + 1]]


def _mistyped(word: str, draw: Random) -> str:
    i = draw.choice(_inner_pairs(word))
    return word[:i] + word[i + 1] + word[i] + word[i + 2 :]


def paraphrase(conversation: Conversation) -> Edits | None:
    """Writes contractions out and adds a polite beginning where there is none."""
    question = conversation.question
    if question is None or question.path is None or not question.text.strip():
        return None
    text = outside_code(question.text, written_out)
    text = text if _POLITE.match(text) else _LEAD + text
    return {question.path: text} if text != question.text else None


def written_out(text: str) -> str:
    """The text with its contractions written out."""
    return _WHOLE.sub(lambda match: cased_like(_CONTRACTED.get(match[0].casefold(), match[0]), match[0]), text)
