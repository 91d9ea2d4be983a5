"""Chat completions as a way to ask judges: the request, and what the answer says."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from detectors.base import Text
from gateway.judging.dialects.base import JudgeLabel, JudgeRequest, NonsenseError, Options, body_of

PATH = "/chat/completions"
_LEAST_MASS = 0.05  # least probability of yes and no together; below it the model meant something else
_THOUGHT = "</think>"
_LEAST_LOG = -700.0


class ModelAnswer(NamedTuple):
    """A model's answer: its text, and the probabilities of its first word, if it gives them."""

    text: str
    first: Mapping[str, float]


def conversation(text: Text) -> list[dict[str, str]]:
    """The exchange as messages; the last one has to be judged."""
    if text.role == "response":
        return [*_message("user", text.context), *_message("assistant", text.text)]
    return [*_message("assistant", text.context), *_message("user", text.text)]


def _message(role: str, text: str | None) -> list[dict[str, str]]:
    return [{"role": role, "content": text}] if text else []


def chat(
    messages: Sequence[Mapping[str, str]], about: frozenset[str], options: Options, *, most_tokens: int, **fields: Any
) -> JudgeRequest:
    """A request for one answer without randomness."""
    whole = {"messages": messages, "max_tokens": most_tokens, "temperature": 0, **fields}
    return JudgeRequest(PATH, body_of(whole, options), about)


LOGPROBS = {"logprobs": True, "top_logprobs": 10}


def said(document: Mapping[str, Any]) -> ModelAnswer:
    """The model's answer in a response. Raises NonsenseError if there is none."""
    choices = document.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise NonsenseError("the answer has no text")
    return ModelAnswer(text.rpartition(_THOUGHT)[2].strip(), _first_words(choice.get("logprobs")))


def _first_words(logprobs: Any) -> Mapping[str, float]:
    """The alternatives of the first token that is a word."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    for token in content if isinstance(content, list) else ():
        if _is_token(token) and word(token["token"]):
            listed = token.get("top_logprobs")
            return _alternatives(listed if isinstance(listed, list) else [], token)
    return {}


def _alternatives(listed: Sequence[Any], chosen: Mapping[str, Any]) -> Mapping[str, float]:
    """Probability by word: `Yes` and ` yes` count as one. Some servers leave the chosen token out of the list."""
    tokens = {each.get("token"): each.get("logprob") for each in [chosen, *listed] if _is_token(each)}
    found: dict[str, float] = {}
    for token, value in tokens.items():
        if word(token) and isinstance(value, int | float) and value <= 0:
            found[word(token)] = found.get(word(token), 0.0) + math.exp(max(value, _LEAST_LOG))
    return found


def _is_token(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("token"), str)


def word(token: Any) -> str:
    """The letters of a token in lower case, without its blanks and marks."""
    return "".join(filter(str.isalpha, token)).lower() if isinstance(token, str) else ""


def yes_or_no(answer: ModelAnswer) -> JudgeLabel:
    """The probability of yes as the first word if it is given, else the word itself. Raises NonsenseError."""
    yes, no = answer.first.get("yes", 0.0), answer.first.get("no", 0.0)
    if yes + no >= _LEAST_MASS:
        probability = yes / (yes + no)
        return JudgeLabel(probability, probability >= 0.5)
    said = word(answer.text.split()[0]) if answer.text else ""
    if said not in ("yes", "no"):
        raise NonsenseError("the answer begins with neither yes nor no")
    return JudgeLabel(float(said == "yes"), said == "yes")
