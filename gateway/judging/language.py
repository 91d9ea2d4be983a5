"""The language of a text, from its script and its commonest words: cheap, and empty when it cannot tell.

A script that only one language commonly uses gives the language. Among languages that share a script, the one counts
whose function words (articles, pronouns, prepositions) occur most often, if it is well ahead of the next.
"""

import re
from collections import Counter
from unicodedata import name

from detectors.trained.words import UNREAD

_LOOKED_AT = 400  # characters
_FEWEST = 3  # function words, to be sure
_AHEAD = 1.5  # times as many as the next language

_SCRIPTS = {
    "HANGUL": "ko",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "CJK": "zh",
    "GREEK": "el",
    "HEBREW": "he",
    "THAI": "th",
    "BENGALI": "bn",
    "TAMIL": "ta",
    "TELUGU": "te",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
    "DEVANAGARI": "hi",
    "ARABIC": "ar",
    "CYRILLIC": "ru",
}
# Words that English shares with another language stand in both lists, `s` (of *today's*) too: else a few of them make
# that other language of an English text.
_WORDS = {
    "en": "the of and to in is that it for you with on are this be was have not what how can my your do a i s by at "
    "as me no he",
    "de": "der die das und ist nicht ich zu ein eine den mit sie auf für wie es dem von was kann mein im auch",
    "fr": "le la les de et est un une que pour dans des je vous pas ce il sur avec qui mon comment du sont",
    "es": "el la los de que y en un una es por con para no se las mi cómo como qué del lo puedo su",
    "it": "il di che e la un una per è non con sono le come mi del della si i ho cosa posso nel",
    "pt": "o a de que e do da em um uma para é com não os as como meu minha por no na você se",
    "nl": "de het een en van is dat niet ik in op te voor met zijn hoe wat je mijn er aan kan ook",
    "sv": "och att det som en är på jag för inte med av till den har om hur kan min ett vad",
    "pl": "i w na nie się jest że to z do jak co mam czy dla po od mój jestem przez oraz",
    "tr": "ve bir bu için ne da de ile nasıl çok ben mi mu var olarak daha gibi ama benim değil",
    "id": "yang dan di ini itu dengan untuk tidak saya dari ke apa bagaimana adalah bisa ada pada",
    "vi": "và là của có không tôi một cho được những này với các làm thế nào bạn trong để",
    "ru": "и в не на я что с как это по мне мой для он она так но из у за вы ты можно",
    "uk": "і в не на я що з як це по мені мій для він вона так але із у за ви ти можна є та",
}
# Languages that no encoder reads: those that differ clearly from all others.
_WORDS |= {code: UNREAD[code] for code in ("cs", "fi", "hu", "ro", "sw", "tl")}
_LANGUAGES_OF: dict[str, list[str]] = {}
for _code, _words in _WORDS.items():
    for _word in _words.split():
        _LANGUAGES_OF.setdefault(_word, []).append(_code)
_WORD = re.compile(r"[^\W\d_]+")
LANGUAGES = frozenset(_SCRIPTS.values()) | frozenset(_WORDS)


def language_of(text: str) -> str:
    """ISO 639-1 code, or empty if the text is too short or too mixed to tell."""
    part = text[:_LOOKED_AT].casefold()
    scripts = Counter(_script(letter) for letter in part[::7] + part[:60] if letter.isalpha())
    if not scripts:
        return ""
    script = scripts.most_common(1)[0][0]
    if script in ("CJK", "HIRAGANA", "KATAKANA"):
        return "ja" if scripts["HIRAGANA"] + scripts["KATAKANA"] else "zh"
    if script not in ("LATIN", "CYRILLIC"):
        return _SCRIPTS.get(script, "")
    votes = Counter(code for word in _WORD.findall(part) for code in _LANGUAGES_OF.get(word, ()))
    ranked = votes.most_common(2)
    if not ranked or ranked[0][1] < _FEWEST:
        return ""
    return ranked[0][0] if len(ranked) == 1 or ranked[0][1] >= _AHEAD * ranked[1][1] else ""


def _script(letter: str) -> str:
    if letter.isascii():
        return "LATIN"
    return name(letter, "").partition(" ")[0].partition("-")[0]
