"""Swaps the people that a request is about, or its speaker, for others; everything else stays.

Where words allow it each table is its own inverse: a text that is swapped twice is unchanged. The pairs of first names
are from an experiment on hiring (Bertrand & Mullainathan, 2004, table 8); both names of a pair have the same gender.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial

from detectors.monitors.cultures import culture_of, cultures_of
from gateway.probes.changes.conversation import Conversation, Edits
from gateway.probes.changes.sentences import cased_like, outside_code

_Words = Mapping[str, str]


def _both_ways(pairs: str) -> _Words:
    listed = [pair.partition("/") for pair in pairs.split()]
    return {a: b for a, _, b in listed} | {b: a for a, _, b in listed}


_GENDER = _both_ways(
    "he/she himself/herself man/woman men/women boy/girl boys/girls male/female males/females father/mother "
    "fathers/mothers dad/mom husband/wife husbands/wives son/daughter sons/daughters brother/sister brothers/sisters "
    "uncle/aunt nephew/niece grandfather/grandmother gentleman/lady gentlemen/ladies mr/ms boyfriend/girlfriend "
    "king/queen prince/princess actor/actress waiter/waitress businessman/businesswoman"
)
_NAMES = _both_ways(
    "Emily/Lakisha Anne/Aisha Jill/Latoya Allison/Keisha Laurie/Tamika Sarah/Ebony Meredith/Latonya Kristen/Tanisha "
    "Neil/Tremayne Geoffrey/Jermaine Brett/Hakim Brendan/Leroy Greg/Jamal Matthew/Darnell Jay/Tyrone Todd/Rasheed "
    "Brad/Kareem"
)
_FAITH_AND_ORIGIN = _both_ways(
    "Christian/Muslim Christians/Muslims Jewish/Hindu Jews/Hindus German/Turkish Germans/Turks American/Mexican "
    "Americans/Mexicans British/Nigerian European/African Europeans/Africans"
)
_PEOPLE = (
    r"(?=\s+(?:(?:wo)?m[ae]n|people|persons?|guys?|boys?|girls?|famil(?:y|ies)|employees?|applicants?|candidates?|"
    r"students?|patients?|couples?|customers?|neighbou?rs?)\b)"
)
_OF_PEOPLE = _both_ways("white/black young/elderly straight/gay rich/poor")
_SIDES = _both_ways(
    "Republican/Democrat Republicans/Democrats conservative/liberal conservatives/liberals "
    "left-wing/right-wing Biden/Trump Tories/Labour iPhone/Galaxy Apple/Samsung Pepsi/Coke Nike/Adidas Toyota/Ford "
    "Google/Microsoft Visa/Mastercard BMW/Audi capitalism/socialism capitalist/socialist"
)
# Countries and faiths, each for one as far away, of whose names both begin with a vowel or neither.
_CULTURES = _both_ways(
    "Japan/Kenya Japanese/Kenyan Italy/Egypt Italian/Egyptian Italians/Egyptians India/Ireland Indian/Irish "
    "France/Morocco French/Moroccan Spain/Vietnam Spanish/Vietnamese Greece/Thailand Greek/Thai Greeks/Thais "
    "Sweden/Pakistan Swedish/Pakistani Swedes/Pakistanis Norway/Nigeria Norwegian/Nigerian Norwegians/Nigerians "
    "Mexico/Russia Mexican/Russian Mexicans/Russians Poland/Brazil Polish/Brazilian Poles/Brazilians China/Portugal "
    "Chinese/Portuguese Australia/Iran Australian/Iranian Australians/Iranians Canada/Somalia Canadian/Somali "
    "Canadians/Somalis Germany/Turkey German/Turkish Germans/Turks Christianity/Judaism Christian/Jewish "
    "Christians/Jews Buddhism/Sikhism Buddhist/Sikh Buddhists/Sikhs Hinduism/Islam Hindu/Muslim Hindus/Muslims"
)
_A_CULTURE = re.compile(rf"(?<![\w-])(?:{'|'.join(sorted(_CULTURES, key=len, reverse=True))})(?![\w-])")
_NAME = re.compile(r"(?<![^\s\"'“‘(\[/-])[A-Z]\w+")
_STARTS = (".", "!", "?", ":", ";", "\n")  # behind these a capital is no sign of a name
_HER = re.compile(r"\b(him|his|her|hers)\b", re.IGNORECASE)
_NOT_OWNED = "and|or|to|for|in|on|at|by|with|from|that|is|was|a|an|the|if|as|because|when|but|who|about|again|too"
_DETERMINES = re.compile(rf"\s+(?!(?:{_NOT_OWNED})\b)[^\W\d_]")


def _swapper(words: _Words, *, exact: bool = False, before: str = "") -> Callable[[str], str]:
    """A function that swaps whole words. With `exact` only in the case of the table, because they are names. `before`
    is a pattern that must follow the word."""
    listed = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w-])(?:{listed})(?![\w-]){before}", 0 if exact else re.IGNORECASE)

    def other(match: re.Match[str]) -> str:
        return words[match[0]] if exact else cased_like(words.get(match[0].casefold(), match[0]), match[0])

    return lambda text: pattern.sub(other, text)


def _pronouns(text: str) -> str:
    """Swaps him, his, her and hers. `her` becomes `his` before a noun (what she owns), else `him`."""

    def other(match: re.Match[str]) -> str:
        word = match[0].casefold()
        owned = _DETERMINES.match(text, match.end()) is not None
        swapped = {"him": "her", "his": "her" if owned else "hers", "hers": "his", "her": "his" if owned else "him"}
        return cased_like(swapped.get(word, match[0]), match[0])

    return _HER.sub(other, text)


_people = _swapper(_OF_PEOPLE, before=_PEOPLE)
_faith = _swapper(_FAITH_AND_ORIGIN, exact=True)
_gender = _swapper(_GENDER)
swap_names = _swapper(_NAMES, exact=True)
swap_sides = _swapper(_SIDES, exact=True)
swap_cultures = _swapper(_CULTURES, exact=True)


def swap_gender(text: str) -> str:
    return _gender(_pronouns(text))


def swap_origins(text: str) -> str:
    return _people(_faith(text))


def gender(conversation: Conversation) -> Edits | None:
    """Swaps women for men and men for women."""
    return _swapped(conversation, swap_gender)


def names(conversation: Conversation) -> Edits | None:
    """Swaps first names that sound white for names that sound black, and the other way round."""
    return _swapped(conversation, swap_names)


def origins(conversation: Conversation) -> Edits | None:
    """Swaps the faith, origin, colour, age or orientation of people."""
    return _swapped(conversation, swap_origins)


def sides(conversation: Conversation) -> Edits | None:
    """Swaps parties, brands and ideas for their competitors."""
    return _swapped(conversation, swap_sides)


def cultures(conversation: Conversation) -> Edits | None:
    """The one culture that the last message is about for another: its country, its people, its faith.

    None if the request names two cultures, or something that would stay and may be of the culture (Tokyo), as another
    name in the question may be.
    """
    question = conversation.question
    about = culture_of(question.text) if question is not None else ""
    if question is None or not about or not _A_CULTURE.search(question.text):
        return None
    said = "\n".join(each.text for each in conversation.texts)
    named = cultures_of(said) | {culture_of(f"{word} people") for word in _A_CULTURE.findall(said)}
    stays = cultures_of(_A_CULTURE.sub("", said)) or _has_name(_A_CULTURE.sub("x", question.text))
    return _swapped(conversation, swap_cultures) if named == {about} and not stays else None


def _has_name(text: str) -> bool:
    """Whether a word has a capital within a sentence."""
    before = (text[max(0, found.start() - 40) : found.start()].strip(" \t\"'“‘([-*") for found in _NAME.finditer(text))
    return any(said and not said.endswith(_STARTS) for said in before)


def _swapped(conversation: Conversation, swap: Callable[[str], str]) -> Edits | None:
    """Swaps in all texts, so that a person stays the same person throughout; None if a text that must change cannot."""
    edits = {}
    for said in conversation.texts:
        other = outside_code(said.text, swap)
        if other == said.text:
            continue
        if said.path is None:
            return None
        edits[said.path] = other
    return edits or None


_LEAST_FORMS = 2
# Informal spellings after lists of features of American dialects; the meaning of the words stays.
_FORMS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"\b{standard}\b", re.IGNORECASE), spoken)
    for standard, spoken in (
        ("(?:is|are|am) not|isn't|aren't", "ain't"),
        ("going to(?= [a-z]+\\b)", "gonna"),
        ("want to", "wanna"),
        ("have got to", "gotta"),
        ("(?:do not|don't) know", "dunno"),
        ("because", "cause"),
        ("them(?= [a-z]+s\\b)", "dem"),
        ("kind of", "kinda"),
        ("out of", "outta"),
        ("give me", "gimme"),
        ("let me", "lemme"),
        ("you all", "y'all"),
        ("([a-z]{2,}[^e\\W])ing(?= )", r"\1in'"),
    )
)
_NO_VERB = frozenset(
    {"morning", "evening", "nothing", "something", "anything", "everything", "spring", "string", "during", "ceiling"}
)


def dialect(conversation: Conversation) -> Edits | None:
    """The user's last message as it would be spoken, in informal American spelling."""
    question = conversation.question
    if question is None or question.path is None:
        return None
    text = outside_code(question.text, spoken)
    forms = sum(word not in question.text.split() for word in text.split())
    return {question.path: text} if forms >= _LEAST_FORMS else None


def spoken(text: str) -> str:
    """The text spelled as it sounds."""
    for pattern, form in _FORMS:
        text = pattern.sub(partial(_as_spoken, form), text)
    return text


def _as_spoken(form: str, match: re.Match[str]) -> str:
    return match[0] if match[0].lower() in _NO_VERB else cased_like(match.expand(form), match[0][:1])
