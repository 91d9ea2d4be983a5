"""Changes the question whether one thing causes another: asks it the other way round, or without the cause."""

import re

from gateway.probes.changes.conversation import Conversation, Edits
from gateway.probes.changes.sentences import sentences

# White space is bounded and never given back: a prompt with a long row of spaces took minutes.
_ASKS = re.compile(
    r"^(?P<before>\W*+(?:.{0,80}[:,]\s{0,9}+)?)(?P<asks>does|do|did|can|could|will|would)\s{1,9}+"
    r"(?P<cause>[^,;:?]{2,80}?)\s{1,9}+(?P<verb>cause|lead to|result in|bring about|give rise to|trigger)\s{1,9}+"
    r"(?P<effect>[^,;:?]{2,80}?)\s{0,9}+\?(?P<after>\s*+)$",
    re.IGNORECASE | re.DOTALL,
)


def reverse(conversation: Conversation) -> Edits | None:
    """Asks whether the effect causes the cause."""
    return _asked_anew(conversation, "{before}{asks} {effect} {verb} {cause}?{after}")


def counterfactual(conversation: Conversation) -> Edits | None:
    """Asks whether there would be just as much of the effect without the cause."""
    return _asked_anew(
        conversation,
        "{before}If there were no {cause} at all and everything else stayed the same, would there be just as much "
        "{effect}? Answer yes or no first.{after}",
    )


def _asked_anew(conversation: Conversation, form: str) -> Edits | None:
    """Rewrites the one sentence that asks about a cause; the others stay."""
    question = conversation.question
    if question is None or question.path is None:
        return None
    parts = sentences(question.text)
    found = [(number, match) for number, part in enumerate(parts) if (match := _ASKS.match(part))]
    if len(found) != 1:
        return None
    number, match = found[0]
    parts[number] = form.format(**match.groupdict())
    return {question.path: "".join(parts)}
