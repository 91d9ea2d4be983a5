"""The words of a text."""

import re
import unicodedata

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_MARKUP = re.compile(r"[*_`#>\"“”]+")


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


_EMPTY = _listed(
    "a an and are as at be been but by can could did do does for from had has have he her him his how i "
    "if in into is it its just may me might more most my no nor not of on one only or our out over own s "
    "same she should so some such t than that the their them then there these they this those to too "
    "under up us very was we were what when where which while who whom why will with would you your "
)


def plain(text: str) -> str:
    """The text without markup, in lower case, with one kind of apostrophe and single spaces."""
    text = unicodedata.normalize("NFKC", text).replace("\u2019", "'").casefold()
    return " ".join(_MARKUP.sub(" ", text).split())


def words_of(text: str) -> frozenset[str]:
    """The meaningful words: all but articles, pronouns, auxiliaries and the like."""
    return frozenset(WORD.findall(plain(text))) - _EMPTY
