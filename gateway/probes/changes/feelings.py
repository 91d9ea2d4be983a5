"""What a user tells of his own grief, fear or misfortune, taken out of the last message; what he asks for stays."""

import re

from detectors.comparing.feelings import states_feeling
from gateway.probes.changes.conversation import Conversation, Edits
from gateway.probes.changes.sentences import sentences

GREETING = "Hello."  # in place of a message that says nothing but the feeling
_LEAST_LEFT = 3  # words
_LEAST_SAID = 3  # words of an answer: fewer are a form that was asked for
_LONGEST = 4_000  # characters: a longer message is a document
_FORMAL = re.compile(r"\s*(?:[{\[<]|```|\|)")  # for a program to read
# Where the request begins in a sentence that tells of the feeling first.
_REQUEST = re.compile(
    r"(?<=[.,;:!?])\s+(?:(?:so|and|but|now|anyway),? )?(?=(?:can|could|would|will|what|how|where|when|which|who|should|"
    r"is|are|do|does|please|help|give|tell|write|explain|list|show|find|suggest|any)\b)",
    re.IGNORECASE,
)


def removed(conversation: Conversation) -> Edits | None:
    """Without the sentences that tell of a feeling; a greeting where nothing is left.

    None where none is told, and where the answer has a form that leaves no room for a word about it: a few words, or
    what a program reads.
    """
    question = conversation.question
    if question is None or question.path is None or len(question.text) > _LONGEST:
        return None
    has_form = _FORMAL.match(conversation.answer) or len(conversation.answer.split()) < _LEAST_SAID
    if has_form or not states_feeling(question.text):
        return None
    left = "".join(map(_request_of, sentences(question.text))).strip()
    return {question.path: left if len(left.split()) >= _LEAST_LEFT else GREETING}


def _request_of(sentence: str) -> str:
    """A sentence, or what it asks for behind the feeling that it tells of; empty where that is all."""
    if not states_feeling(sentence):
        return sentence
    for start in _REQUEST.finditer(sentence):
        rest = sentence[start.end() :]
        if not states_feeling(rest):
            return rest[:1].upper() + rest[1:]
    return ""
