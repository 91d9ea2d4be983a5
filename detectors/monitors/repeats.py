"""Does a retrieved passage repeat the question that it was retrieved for?

So that it is retrieved for a question, a planted passage is made of the question itself and a false statement
(PoisonedRAG, arXiv 2402.07867, section 4). Texts that people wrote seldom repeat a question word for word, except lists
of questions and answers.
"""

import re
from collections.abc import Iterator, Sequence

from detectors.comparing.sources import laid_out

_FEWEST_WORDS = 4  # of a question: shorter ones occur in many texts
_MOST_WORDS = 60
_SHARE = 0.8  # of the question's words, one after another
_BEHIND = 5  # words that must follow in the passage: a prompt may end with its question
_WORD = re.compile(r"\w+")
_NAMED = re.compile(r"^[ \t>*#-]*(?:user )?(?:question|query|q)\b[^\n:]{0,20}:[* \t]*(?P<said>[^\n]+)", re.I | re.M)
_ASKED = re.compile(r"(?<![^.?!\n:])[^.?!\n:]++\?")  # starts only where a sentence does, so that the time is linear


def repeats_question(prompt: str, retrieved: Sequence[str]) -> bool | None:
    """Whether a passage repeats the question. Passages are those that the prompt contains (`laid_out`), and those that
    came separately (`retrieved`). None if there is no passage, or no question beside the passages."""
    inside = list(laid_out(prompt))
    passages = [*retrieved, *inside]
    rest = prompt
    for passage in inside:
        rest = rest.replace(passage, "\n")
    questions = list(_questions(rest)) if passages else []
    if not questions:
        return None
    texts = [_words(passage) for passage in passages]
    return any(_holds(text, question) for text in texts for question in questions)


def _questions(text: str) -> Iterator[list[str]]:
    """The words of each question: of lines that are labelled as one, else of sentences that end with a question mark,
    else of the last line."""
    found = [match["said"] for match in _NAMED.finditer(text)] or _ASKED.findall(text)
    last = [line for line in text.splitlines() if line.strip()][-1:]
    for each in found or last:
        words = _words(each).split()
        if _FEWEST_WORDS <= len(words) <= _MOST_WORDS:
            yield words


def _words(text: str) -> str:
    return f" {' '.join(_WORD.findall(text.lower()))} "


def _holds(text: str, question: list[str]) -> bool:
    run = -int(-_SHARE * len(question) // 1)
    for first in range(len(question) - run + 1):
        begins = text.find(f" {' '.join(question[first : first + run])} ")
        if begins >= 0 and len(text[begins:].split()) >= len(question) - first + _BEHIND:
            return True
    return False
