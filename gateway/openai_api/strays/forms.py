"""Tells by its form what a string is: a name, an identifier, a key to something, or words of a text."""

import re
from binascii import a2b_base64
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import unquote_plus

from gateway.openai_api.strays.vocabulary import FUNCTION_WORDS, WORDS_OF_NAMES

LEAST_WORDS = 4  # of a text
_LEAST_JOINED, _LEAST_SMALL_JOINED = 6, 3
_LEAST_SMALL, _ONE_IN = 2, 5  # of small words, where words may be names: two, and one in five
_SPACE = re.compile(r"\s")
_WORD = re.compile(r"[^\W\d_]{2,}")
_PLAIN = re.compile(r"\W*[^\W\d_]+(?:['’-][^\W\d_]+)*\W*")
_LIKE_A_WORD = re.compile(r"[A-Za-z][a-z]+")  # few random strings look like this
_NUMBERED = re.compile(r"\d{0,2}_?[A-Za-z][a-z]{2,}_?\d{0,2}")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
# Fields in which the APIs have identifiers, hashes, signatures and encrypted data.
_OF_IDENTIFIERS = re.compile(
    r"(?:\w*_)?(?:ids?|uuid|signatures?|fingerprint|hash|sha256|digest|etag|cursor|token|key|identifier|index|data|content)"
    r"|object|user|name|model"
)
_PREFIX = re.compile(
    r"(?:chatcmpl|cmpl|resp|msg|msgbatch|call|tool|toolu|tooluse|srvtoolu|mcptoolu|fc|fp|rs|ws|ci|mcp|mcpl|mcpr|ctc|req|run|step"
    r"|file|batch|gen|conv|asst|thread|vs|item|event|embd|modr|cntr|container|msg_bdrk|ig|sh|cu|fs|rt|sess|ts|org|proj"
    r"|function-call|chatcmpl-tool|user|id|key|trace|span|x)[-_:.]+"
)
_OPAQUE = re.compile(
    r"(?:0x)?[0-9a-fA-F]{6,}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[\dTZ:.,+\-/ ]+|data:[\w/+.-]+[;,].*"
)
_TURN = re.compile(r"(?<=[a-z])(?=[A-Z\d])|(?<=\d)(?=[A-Za-z])|(?<=[A-Z])(?=\d)")  # as in random strings
_BASE64 = re.compile(r"[\w+/=.~:-]+")
_LONG = 16
_SHORTEST_SECRET = 16
_SHORT = 64
_SHORTEST_CODE, _READ_OF_CODE = 16, 256  # of a code that may be a text: least characters, and those read
_SPACES, _LETTERS_OF = 2, (4, 5)  # words have two spaces, and four in five are letters or spaces
_LONGEST_CHARACTER = 3  # most bytes that a cut may leave of a character
_CODE = re.compile(r"[\w+/-]+", re.ASCII)
_IN_MARKS = re.compile(r"[\W_]*+([^\W_]++)[\W_]*+")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
_LOOKED_AT = 4_096  # characters of a long run that are looked at
_RANDOM = 0.2  # turns per character: random letters and digits have 0.45, base 32 0.3, two words in one 0.12
_MODEL = re.compile(r"[\w@-]*[\d/][\w./:@+-]*|[\w.-]+[-:.][\w.:-]+")
# How well-known secrets begin.
_SECRET = re.compile(
    r"(?:A[KS]IA[A-Z2-7]{12}|sk-[\w-]{16}|[sr]k_live_\w{12}|gh[pousr]_\w{20}|github_pat_\w{20}|glpat-[\w-]{16}|xox[abeprs]-[\w-]{10}"
    r"|AIza[\w-]{30}|hf_\w{24}|npm_\w{24}|pypi-\w{24}|SG\.[\w-]{16}|ya29\.[\w-]{16}|eyJ[\w-]{8,}\.eyJ[\w-]{8})"
)


def has_space(text: str) -> bool:
    """Whether there is a space of any kind, such as a line end."""
    return _SPACE.search(text) is not None


def may_be_secret(text: str) -> bool:
    """Whether this looks like a well-known kind of secret."""
    return len(text) >= _SHORTEST_SECRET and _SECRET.search(text) is not None


def encodes_text(text: str) -> bool:
    """Whether a run of characters begins with several words in base64, in hexadecimal digits, or with their spaces
    escaped as in a URL."""
    begun = text[:_READ_OF_CODE].rstrip("=")
    if "%" in begun or "+" in begun:
        meant = unquote_plus(begun, errors="replace")
        if sum(is_word(part) for part in meant.split()) >= LEAST_WORDS:
            return True
    if len(begun) < _SHORTEST_CODE or not _CODE.fullmatch(begun):
        return False
    if _HEX.fullmatch(begun):
        found = bytes.fromhex(begun)
    else:
        found = a2b_base64(begun.replace("-", "+").replace("_", "/")[: len(begun) // 4 * 4])
    return found.count(b" ") >= _SPACES and _reads(found)


def _reads(found: bytes) -> bool:
    """Whether these bytes are words with spaces between them. They may end in the middle of a character."""
    for cut in range(_LONGEST_CHARACTER + 1):
        try:
            said = found[: len(found) - cut].decode()
        except UnicodeDecodeError:
            continue
        letters = sum(map(str.isalpha, said)) + said.count(" ")
        return said.isprintable() and letters * _LETTERS_OF[1] >= len(said) * _LETTERS_OF[0]
    return False


def is_opaque(key: str, text: str) -> bool:
    """Whether this is a name, a number, a time, a hash or a file, which nobody reads as a text."""
    if len(text) <= _SHORT and len(key) <= _SHORT:  # bounds what is remembered: a client chooses both
        return _is_opaque_and_short(key, text)
    return _is_opaque(key, text if has_space(text) else text[:_LOOKED_AT])


def _is_opaque(key: str, text: str) -> bool:
    if _SPACE.search(text):
        return _OPAQUE.fullmatch(text) is not None
    if not _WORD.search(text) or _OPAQUE.fullmatch(text):
        return True
    if key == "model" and _MODEL.fullmatch(text):
        return True
    if not _BASE64.fullmatch(text):
        return False
    turns = len(_TURN.findall(text))
    if len(text) >= _LONG and turns >= _RANDOM * len(text):
        return True
    return _OF_IDENTIFIERS.fullmatch(key) is not None and _is_identifier(text, turns)


_is_opaque_and_short = lru_cache(1024)(_is_opaque)  # names of models and the like come again and again


def _is_identifier(text: str, turns: int) -> bool:
    prefix = _PREFIX.match(text)
    if prefix is not None:
        text = text[prefix.end() :]
        return not _PLAIN.fullmatch(text) or len(text) > _LONG
    return turns >= 2


def words_in(text: str) -> list[str]:
    """The words of a text or of a name, in small letters."""
    return [word.lower() for word in _WORD.findall(_HUMP.sub(" ", text))]


def is_word(part: str) -> bool:
    """Whether this is one word, perhaps with marks at its ends."""
    found = _IN_MARKS.fullmatch(part)
    return found is not None and found[1].isalpha()


def is_plain(text: str) -> bool:
    """Whether this is one word and nothing else."""
    return _PLAIN.fullmatch(text) is not None


def hides_word(key: str, text: str) -> bool:
    """Whether this is a word with a digit or two at its ends, in a field whose names do not look like that."""
    return not _OF_IDENTIFIERS.fullmatch(key) and _NUMBERED.fullmatch(text) is not None


def is_like_a_word(text: str) -> bool:
    return _LIKE_A_WORD.fullmatch(text) is not None


def is_function_word(word: str, *, in_name: bool) -> bool:
    """Whether this is one of the small words that occur in sentences but not in lists of names; with `in_name`, not in
    names of several words either."""
    return word in FUNCTION_WORDS and not (in_name and word in WORDS_OF_NAMES)


def is_joined_sentence(text: str) -> bool:
    """Whether a run of characters is a sentence with marks in place of spaces: at least six words, three of them
    small."""
    if len(text) > _LOOKED_AT or has_space(text):
        return False
    words = words_in(text)
    small = len(FUNCTION_WORDS.intersection(words))
    return len(words) >= _LEAST_JOINED and small >= _LEAST_SMALL_JOINED and small * _ONE_IN >= len(set(words))


def are_a_sentence(words: Collection[str], small: Collection[str]) -> bool:
    """Whether words that may be names are a text: at least two different ones are small, and one in five."""
    every, little = _how_many(words), _how_many(small)
    return every >= LEAST_WORDS and little >= _LEAST_SMALL and little * _ONE_IN >= every


def _how_many(words: Collection[str]) -> int:
    """How many are different. A set is not copied, because it may be large and is asked about again and again."""
    return len(words if isinstance(words, set | frozenset) else set(words))
