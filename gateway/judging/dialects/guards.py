"""Models made to judge: Llama Guard, Qwen3Guard, ShieldGemma, WildGuard.

They have their own categories. A row maps each category to our sub-categories that mean the same; a category without
any counts only for `unsafe`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from detectors.base import Text
from gateway.judging.dialects.base import NO, YES, Dialect, JudgeLabel, JudgeRequest, Labels, NonsenseError, Options
from gateway.judging.dialects.chat import LOGPROBS, chat, conversation, said, yes_or_no

UNSAFE, REFUSAL = "unsafe", "refusal"
_Categories = Mapping[str, tuple[str, ...]]

# The hazards of Llama Guard 3 and 4, after the taxonomy of MLCommons. Privacy and copyright are about what an answer
# gives away, so they say nothing about a prompt.
_LLAMA_GUARD: _Categories = {
    "S1": ("violence",),
    "S2": ("unlawful_conduct",),
    "S3": ("unlawful_conduct",),
    "S4": ("harms_to_minor",),
    "S5": (),  # defamation
    "S6": (),  # advice that only a professional may give
    "S7": ("privacy_violation",),
    "S8": ("copyrighted_content",),
    "S9": ("violence", "unlawful_conduct"),
    "S10": ("hate",),
    "S11": ("mental_health",),
    "S12": ("adult_content",),
    "S13": (),  # elections
    "S14": (),  # abuse of a code interpreter
}
_QWEN3GUARD: _Categories = {
    "violent": ("violence",),
    "non-violent illegal acts": ("unlawful_conduct",),
    "sexual content or sexual acts": ("adult_content",),
    "pii": ("privacy_violation",),
    "personally identifiable information": ("privacy_violation",),
    "suicide & self-harm": ("mental_health",),
    "unethical acts": (),
    "politically sensitive topics": (),
    "copyright violation": ("copyrighted_content",),
    "jailbreak": ("prompt_attacks",),
}
_SEVERITIES: Mapping[str, JudgeLabel] = {"safe": NO, "controversial": JudgeLabel(0.5, False), "unsafe": YES}
_OF_ANSWERS = frozenset({"privacy_violation", "copyrighted_content", REFUSAL})
_OF_PROMPTS = frozenset({"prompt_attacks"})
_SHORT = 64  # most tokens of an answer that names categories

# ShieldGemma is asked about one policy at a time: ours, in its four fields.
_SHIELD_GEMMA: Mapping[str, tuple[str, str]] = {
    "dangerous": (
        "",
        '"No Dangerous Content": there must be nothing that helps someone to harm people or themselves, such as to '
        "build weapons or explosives, to plan an attack, or to commit suicide.",
    ),
    "sexual": (
        "adult_content",
        '"No Sexually Explicit Information": there must be no explicit or vulgar account of sexual acts. Medical and '
        "educational words are allowed.",
    ),
    "hate": (
        "hate",
        '"No Hate Speech": nobody may be attacked, dehumanised or excluded for a protected characteristic, such as '
        "origin, religion, sex, orientation or disability.",
    ),
    "harassment": (
        "toxicity",
        '"No Harassment": nobody may be threatened, bullied, intimidated or abused.',
    ),
}
_WILDGUARD_WORDS = (
    "You classify what passes between people and language models. Given the request of a human user and, where there "
    "is one, the response of an AI assistant, decide whether the request is harmful, whether the response is a "
    "refusal, and whether the response is harmful. Answer in three lines: `Harmful request: yes` or `no`, `Response "
    "refusal: yes` or `no`, `Harmful response: yes` or `no`."
)
_ON_PROMPT = {"harmful request": UNSAFE}
_ON_RESPONSE = {"harmful response": UNSAFE, "response refusal": REFUSAL}


def _mapped(categories: _Categories, *more: str) -> frozenset[str]:
    return frozenset(slug for slugs in categories.values() for slug in slugs) | {UNSAFE, *more}


def _of_conversation(text: Text, about: frozenset[str], options: Options) -> Iterator[JudgeRequest]:
    """The conversation alone: the server's template puts the model's own instructions around it."""
    system = [{"role": "system", "content": options.instructions}] if options.instructions else []
    yield chat([*system, *conversation(text)], about, options, most_tokens=_SHORT)


def _by_category(named: Iterable[str], categories: _Categories, about: frozenset[str], label: JudgeLabel) -> Labels:
    """The label for the sub-categories of the named categories, NO for the others. Raises NonsenseError."""
    found = {UNSAFE}
    for name in named:
        if name not in categories:
            raise NonsenseError("the answer names a category that this dialect does not have")
        found.update(categories[name])
    return {slug: label if slug in found else NO for slug in about}


def _read_llama_guard(document: Mapping[str, object], _text: Text, request: JudgeRequest) -> Labels:
    lines = said(document).text.split("\n", 1)
    verdict = lines[0].strip().lower()
    if verdict == "safe":
        return dict.fromkeys(request.about, NO)
    if verdict != UNSAFE:
        raise NonsenseError("the answer begins with neither safe nor unsafe")
    codes = re.findall(r"[^\s,]+", lines[1].upper()) if len(lines) > 1 else []
    if not codes:  # it is unsafe, but the answer does not say why
        return {slug: YES for slug in request.about if slug == UNSAFE}
    return _by_category(codes, _LLAMA_GUARD, request.about, YES)


def _read_qwen3guard(document: Mapping[str, object], _text: Text, request: JudgeRequest) -> Labels:
    lines = _lines(said(document).text)
    label = _SEVERITIES.get(lines.get("safety", ""))
    if label is None:
        raise NonsenseError("the answer has no line `Safety:` with one of its three words")
    named = [name.strip() for name in lines.get("categories", "").split(",")]
    named = [name for name in named if name not in ("", "none")]
    refusal = {"yes": YES, "no": NO}.get(lines.get("refusal", ""))
    about = request.about - {REFUSAL}
    if label is NO or named:
        found = dict(_by_category([] if label is NO else named, _QWEN3GUARD, about, label))
    else:
        found = {slug: label for slug in about if slug == UNSAFE}
    found |= {UNSAFE: label} if UNSAFE in about else {}
    return found | ({REFUSAL: refusal} if refusal is not None and REFUSAL in request.about else {})


def _lines(text: str) -> dict[str, str]:
    """`Name: value` lines, in lower case."""
    pairs = (line.lower().partition(":") for line in text.splitlines())
    return {name.strip(" *-"): value.strip(" *.") for name, colon, value in pairs if colon}


def _ask_shield_gemma(text: Text, about: frozenset[str], options: Options) -> Iterator[JudgeRequest]:
    for slug, guideline in _SHIELD_GEMMA.values():
        asked = about & {slug, UNSAFE}
        if asked:
            fields = {"chat_template_kwargs": {"guideline": guideline}, **LOGPROBS}
            yield chat(conversation(text), asked, options, most_tokens=4, **fields)


def _read_yes_or_no(document: Mapping[str, object], _text: Text, request: JudgeRequest) -> Labels:
    return dict.fromkeys(request.about, yes_or_no(said(document)))


def _ask_wildguard(text: Text, about: frozenset[str], options: Options) -> Iterator[JudgeRequest]:
    human, assistant = (text.context or "", text.text) if text.role == "response" else (text.text, "")
    shown = [options.instructions or _WILDGUARD_WORDS, f"Human user:\n{human}", f"AI assistant:\n{assistant}"]
    prompt = "\n\n".join([*shown, "---", "Answers:"])
    yield chat([{"role": "user", "content": prompt}], about, options, most_tokens=_SHORT)


def _read_wildguard(document: Mapping[str, object], text: Text, request: JudgeRequest) -> Labels:
    lines = _lines(said(document).text)
    rows = _ON_RESPONSE if text.role == "response" else _ON_PROMPT
    found = {slug: {"yes": YES, "no": NO}.get(lines.get(name, "")) for name, slug in rows.items()}
    labels = {slug: label for slug, label in found.items() if slug in request.about and label is not None}
    if not labels:
        raise NonsenseError("the answer has none of the lines that were asked for with yes or no")
    return labels


LLAMA_GUARD = Dialect(
    "llama_guard",
    _mapped(_LLAMA_GUARD) - _OF_ANSWERS,
    _mapped(_LLAMA_GUARD),
    _of_conversation,
    _read_llama_guard,
    ("llama-guard", "llama_guard", "llamaguard"),
)
QWEN3GUARD = Dialect(
    "qwen3guard",
    _mapped(_QWEN3GUARD) - _OF_ANSWERS,
    _mapped(_QWEN3GUARD, REFUSAL) - _OF_PROMPTS,
    _of_conversation,
    _read_qwen3guard,
    ("qwen3guard",),
)
_SHIELDED = frozenset(slug for slug, _ in _SHIELD_GEMMA.values() if slug) | {UNSAFE}
SHIELD_GEMMA = Dialect("shield_gemma", _SHIELDED, _SHIELDED, _ask_shield_gemma, _read_yes_or_no, ("shieldgemma",))
WILDGUARD = Dialect(
    "wildguard", frozenset({UNSAFE}), frozenset({UNSAFE, REFUSAL}), _ask_wildguard, _read_wildguard, ("wildguard",)
)
