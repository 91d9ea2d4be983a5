"""Text in disguise: invisible characters, letters that look like others, words that are pulled apart.

Each function takes a text and returns the corrections that undo one disguise. What languages need stays: joiners of
Persian and the Indic scripts, direction marks, emoji sequences, accents, full-width letters in Japanese.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from string import ascii_letters, digits

from detectors.hiding.confusables import CONFUSABLES, IDENTICAL, LOOKALIKE_RANGES, STYLED
from detectors.hiding.encodings import MIN_DECODED, as_text, table
from detectors.hiding.tricks import Trick

Edit = tuple[int, int, str]  # start and end of a stretch, and how it reads
Finding = tuple[Trick, list[Edit]]

# Invisible characters, by what they can be used for.
_ZERO_WIDTH = "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200d\u2060-\u2064\u206a-\u206f\u3164\ufeff\uffa0"
_DIRECTIONS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_TAGS = "\U000e0001\U000e0020-\U000e007f"
_MARKS = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f"
_STYLES = (
    "\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7cb\u249c-\u24e9\U0001f110-\U0001f189\u02b0-\u02b8\u1d00-\u1d6a\u2071"
    "\u207f\u2090-\u209c\u2102\u210a-\u2113\u2115\u2119-\u211d\u2124\u2128\u212c-\u2131\u2133\u2134\u2139\u2145-\u2149"
    + "".join(STYLED)
)


def _expanded(ranges: str) -> frozenset[str]:
    """The characters of a regular expression's class."""
    spelt = re.sub("(.)-(.)", lambda match: "".join(map(chr, range(ord(match[1]), ord(match[2]) + 1))), ranges)
    return frozenset(spelt)


_UNSEEN_CHARACTERS = _expanded(_ZERO_WIDTH + _DIRECTIONS + _SELECTORS + _TAGS)
_MARK_CHARACTERS, _STYLE_CHARACTERS = _expanded(_MARKS), _expanded(_STYLES)
_ASCII = frozenset(map(chr, range(128)))
# Letters that do not look like Latin ones: a text with some of them has honest words of that alphabet.
_HONEST = _expanded("бгджзийлптфцчшщъыьэюяБГДЖЗИЙЛПФЦЧШЩЪЫЬЭЮЯβγδζηθλμξπσςφχψωΓΔΘΛΞΠΣΦΨΩա-քև") - IDENTICAL


def undressed(text: str, decoded: list[Edit]) -> Iterator[Finding]:
    """The corrections of a text that is not all ASCII, one kind after the other. All refer to the text as given.

    What invisible characters spell is added to `decoded`, with the stretch that spells it.
    """
    foreign = set(text) - _ASCII
    if not foreign.isdisjoint(_UNSEEN_CHARACTERS):
        yield from _unseen(text, decoded)
    if not foreign.isdisjoint(_MARK_CHARACTERS):
        yield Trick.MARKS, _marked(text)
    if not foreign.isdisjoint(_STYLE_CHARACTERS):
        yield Trick.STYLED, _styled(text)
    if not foreign.isdisjoint(CONFUSABLES):
        yield Trick.HOMOGLYPHS, _lookalikes(text, honest=not foreign.isdisjoint(_HONEST))


_UNSEEN = re.compile(f"[{_ZERO_WIDTH}{_DIRECTIONS}{_SELECTORS}{_TAGS}]+")
_KINDS = re.compile(
    rf"(?P<tags>[{_TAGS}]+)|(?P<selectors>[{_SELECTORS}]{{4,}})|(?P<override>[\u202d\u202e])"
    rf"|(?P<zero>[{_ZERO_WIDTH}{_DIRECTIONS}]+)"
)
_TURNED = re.compile("[^\u202a-\u202e\n]{1,4000}")  # up to the next override, so that no text is reversed twice
_FLAG = re.compile("[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f")


def _unseen(text: str, decoded: list[Edit]) -> Iterable[Finding]:
    """Finds tags, selectors, overrides and zero-width runs."""
    edits: dict[Trick, list[Edit]] = {}
    idle: list[Edit] = []  # zero-width runs that hide nothing by themselves
    for run in _UNSEEN.finditer(text):
        if run.end() - run.start() == 1 and not _matters(text, run.start()):
            idle += [(*run.span(), "")] if _is_idle(text, *run.span()) else []
            continue
        for match in _KINDS.finditer(text, *run.span()):
            start, end = match.span()
            trick, spelt = _spelt(match, text)
            if trick is Trick.INVISIBLE and not spelt and not _breaks_a_word(text, start, end):
                idle += [(start, end, "")] if _is_idle(text, start, end) else []
            elif trick is not Trick.TAGS or not is_flag(text, start, end):
                edits.setdefault(trick, []).append((start, end, ""))
                turned = len(spelt) if trick is Trick.BIDI else 0
                decoded += [(start, end + turned, spelt)] if len(spelt.strip()) >= MIN_DECODED else []
    if Trick.INVISIBLE in edits:
        edits[Trick.INVISIBLE] += idle
    return edits.items()


def _matters(text: str, place: int) -> bool:
    """Whether a single invisible character hides something: an override, a tag, or one in the middle of a word."""
    return text[place] in "\u202d\u202e" or text[place] >= "\U000e0000" or _breaks_a_word(text, place, place + 1)


def _spelt(match: re.Match[str], text: str) -> tuple[Trick, str]:
    """What kind of run this is, and what it spells or reverses."""
    if match["tags"]:
        return Trick.TAGS, tagged(match["tags"])
    if match["selectors"]:
        return Trick.INVISIBLE, selected(match["selectors"])
    if match["override"]:
        turned = _TURNED.match(text, match.end()) if match["override"] == "\u202e" else None
        return Trick.BIDI, turned.group()[::-1] if turned else ""
    return Trick.INVISIBLE, zero_width_bits(match["zero"])


def is_flag(text: str, start: int, end: int) -> bool:
    """Whether these are tags right after a black flag: the flag of a region, such as Scotland's (UTS 51)."""
    return text[start - 1 : start] == "\U0001f3f4" and _FLAG.fullmatch(text, start, end) is not None


def tagged(run: str) -> str:
    """What tag characters spell: each stands for an ASCII character (U+E0020 to U+E007E)."""
    return "".join(chr(ord(tag) - 0xE0000) for tag in run if 0xE0020 <= ord(tag) <= 0xE007E)


def selected(run: str) -> str:
    """What variation selectors spell, one byte each in their order; empty if that is not text."""
    codes = map(ord, run)
    return as_text(bytes(code - 0xFE00 if code < 0xFE10 else code - 0xE0100 + 16 for code in codes))


def zero_width_bits(run: str) -> str:
    """What two kinds of zero-width characters spell as bits, either of them as 0; empty if that is not text."""
    kinds = sorted(set(run))
    if len(run) < 8 * MIN_DECODED or len(kinds) != 2:
        return ""
    for zero in kinds:
        bits = "".join("0" if character == zero else "1" for character in run)
        whole = len(bits) // 8 * 8
        found = as_text(int(bits[:whole], 2).to_bytes(whole // 8, "big"))
        if found:
            return found
    return ""


def _breaks_a_word(text: str, start: int, end: int) -> bool:
    """Whether it stands between two letters of scripts that do not use such characters there."""
    before, after = text[start - 1 : start], text[end : end + 1]
    return bool(before and after) and _is_simple(before) and _is_simple(after)


def _is_idle(text: str, start: int, end: int) -> bool:
    """Whether it stands beside an ASCII space or punctuation, where nothing needs it."""
    return text[start - 1 : start] < "\x7f" and text[end : end + 1] < "\x7f"


def _is_simple(character: str) -> bool:
    """Whether this is a letter or digit of Latin, Greek, Cyrillic or Armenian, which need no joiners or direction
    marks."""
    return character < "\u0590" and character.isalnum()


_STACKED = re.compile(rf"[{_MARKS}]{{3,}}")
_ONE_MARK = re.compile(rf"(?<=[ -~])[{_MARKS}]+")


def _marked(text: str) -> list[Edit]:
    """Removes marks in stacks of three, and marks on most Latin letters that no language writes like that."""
    edits = [(*match.span(), "") for match in _STACKED.finditer(text)]
    loose = [
        match.span()
        for match in _ONE_MARK.finditer(text)
        if len(unicodedata.normalize("NFC", text[match.start() - 1 : match.end()])) > 1
    ]
    if len(loose) >= 6 and 2 * len(loose) >= sum(map(str.isascii, filter(str.isalpha, text))):
        edits += [(start, end, "") for start, end in loose]
    return edits


_STYLED_RUN = re.compile(rf"[{_STYLES}]+")
_EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
MIN_STYLED = 5  # styled letters in a text: fewer are units, formulas, ordinals


def _styled(text: str) -> list[Edit]:
    """Replaces letters of decorative alphabets. Full-width ones are normal in East Asian text, and stay there."""
    runs = [(*match.span(), _unstyled(match.group())) for match in _STYLED_RUN.finditer(text)]
    if runs and _EAST_ASIAN.search(text):
        runs = [run for run in runs if not "\uff21" <= text[run[0]] <= "\uff5a"]
    words = sum(end - start for start, end, content in runs if end - start >= 3 and content.isalpha())
    return runs if words >= MIN_STYLED else []


def _unstyled(run: str) -> str:
    folded = (STYLED.get(letter) or unicodedata.normalize("NFKC", letter).strip("()") for letter in run)
    return "".join(folded)


_WORD = re.compile(r"[^\W\d_]+")
_LOOKALIKE = re.compile(f"[{LOOKALIKE_RANGES}]")
_MIXED = re.compile(f"[{LOOKALIKE_RANGES}](?:[A-Za-z]|(?<=[A-Za-z].))")
_LATIN = re.compile("[A-Za-z]{2}")


def _lookalikes(text: str, honest: bool) -> list[Edit]:
    """Corrects words that mix Latin letters with look-alikes, and in Latin text words of only look-alikes.

    `honest`: the text has genuine words of the other alphabet.
    """
    if not (_MIXED.search(text) or (not honest and _LATIN.search(text))):
        return []
    edits = []
    for match in _WORD.finditer(text):
        word = match.group()
        foreign = () if word.isascii() else _LOOKALIKE.findall(word)
        if not foreign or not all(letter <= "ÿ" or letter in CONFUSABLES for letter in word):
            continue
        disguised = not honest and len(word) > 1 and all(letter in IDENTICAL for letter in word)
        if disguised or (len(foreign) < len(word) and len(word) > 2):
            edits.append((*match.span(), "".join(CONFUSABLES.get(letter, letter) for letter in word)))
    return edits


_SPACED = re.compile(r"[ .\-_*|~/]\w[ .\-_*|~/]\w[ .\-_*|~/]\w[ .\-_*|~/]")
_LONE = r"[^\W_](?!\w)"  # a letter or digit that is not part of a word
_SPACED_RUN = re.compile(
    rf"(?<![^\s\"'(]){_LONE}([ .\-_*|~/]){_LONE}(?:\1{_LONE})++(?:\1{{2,8}}{_LONE}(?:\1{_LONE})++)*+"
)
_LEET = re.compile(r"[0134578@$](?<=[A-Za-z].)(?=[A-Za-z013457@$])")
_LEET_WORD = re.compile(r"(?<![\w@$./-])[A-Za-z013457@$]{3,24}(?![\w@$./-])")
_LEET_INSIDE = re.compile("[A-Za-z][013457@$]{1,3}[A-Za-z]")
_LEET_AT_FRONT = re.compile("[0134@$](?!st$|nd$|rd$|th$|am$|pm$)[A-Za-z]{2,}[A-Za-z013457@$]*")
_LEET_LETTERS = str.maketrans("013457@$8", "oieastasb")
MIN_LEET_WORDS = 2


_IN_SPACED = table({ascii_letters + digits: "a", " .-_*|~/": " "})
_IN_LEET = table({ascii_letters: "a", "013457@$8": "1"})


def may_be_respelled(raw: bytes) -> bool:
    """Whether an ASCII text may have `spaced` or `leet` words: a quick look that rules out almost all others."""
    if b" a a a " in raw.translate(_IN_SPACED):
        return True
    classes = raw.translate(_IN_LEET)
    return b"a1a" in classes or b"a11" in classes


_SPELT = re.compile(r"\\\\?u00(3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa])")


def spelt(text: str) -> list[Edit]:
    """Undoes JSON escapes of letters and digits, which need none: in a tool call's arguments they hide a word."""
    return [(*match.span(), chr(int(match[1], 16))) for match in _SPELT.finditer(text)] if "\\u00" in text else []


def spaced(text: str) -> list[Edit]:
    """Joins letters with a separator after each."""
    if not _SPACED.search(text):
        return []
    return [
        (*match.span(), _joined(match.group(), match[1]))
        for match in _SPACED_RUN.finditer(text)
        if sum(map(str.isalpha, match.group())) >= MIN_DECODED
    ]


def leet(text: str) -> list[Edit]:
    """Replaces digits that stand for letters, if more than one word has them."""
    if not _LEET.search(text):
        return []
    words = list(_LEET_WORD.finditer(text))
    if sum(_is_leet(match.group()) for match in words) < MIN_LEET_WORDS:
        return []
    words = [match for match in words if _is_leet(match.group()) or _LEET_AT_FRONT.fullmatch(match.group())]
    return [(*match.span(), match.group().translate(_LEET_LETTERS)) for match in words]


def _joined(run: str, separator: str) -> str:
    """The letters as words: a wider gap separates two words."""
    return " ".join(part.replace(separator, "") for part in re.split(rf"{re.escape(separator)}{{2,}}", run))


def _is_leet(word: str) -> bool:
    """Whether digits stand between letters and the word reads as one, unlike codes, measures and abbreviations."""
    letters = sum(map(str.isalpha, word))
    read = word.translate(_LEET_LETTERS).lower()
    return 2 * letters >= len(word) > 3 and bool(_LEET_INSIDE.search(word)) and any(vowel in read for vowel in "aeiouy")
