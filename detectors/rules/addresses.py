"""Postal addresses by their shape: a street's kind of name with its number, boxes, flats, town lines with a code.

Places everybody knows and the placeholders of documentation are let through.
"""

import re

from detectors.rules.patterns import Pattern

LABEL = "postal_address"

# Of public buildings, of fiction, of examples: in lower case.
_KNOWN = (
    "wall street", "pennsylvania ave", "downing street", "baker street", "abbey road", "sesame street",
    "evergreen terrace", "privet drive", "supreme court", "district court", "federal court", "high court",
    "circuit court", "county court", "superior court", "main street", "main st", "elm street", "times square",
    "penny lane", "jump street", "infinite loop", "amphitheatre p", "appeals court", "bill of rights", "anytown",
)  # fmt: skip
# Words in front of which a house number in running text says where somebody lives or gets things.
_LIVES = (
    "address", "lives at", "live at", "living at", "lives in", "lives on", "live on", " resid", "located", "sent to",
    "send it to", "deliver", "ship", "office is", "offices are", "taxi to", "return to", "arrived at", "pick me up",
    "moved to", "move to", "mail it to", "meet at", "drops you off", "street is",
)  # fmt: skip
_NUMBER = r"(?<![\w.,:/$€£#%+-])\d{1,6}[A-Za-z]?"
_NAME = r"[^\W\d_a-z][\w'’.-]{0,24}"  # a word with a capital
_ENGLISH = (
    "Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Court|Ct|Crescent|Cres|Close|Boulevard|Blvd|Way|Place|Pl|Square|Sq|"
    "Terrace|Tce|Parkway|Pkwy|Trail|Highway|Hwy|Circle|Alley|Grove|Mews|Gardens|Quay|Row"
)
_LATIN = (
    "[Rr]ue|[Vv]ia|[Vv]iale|[Vv]icolo|[Rr]ua|[Tt]ravessa|[Aa]venida|[Cc]alle|[Cc]arrer|[Aa]venue|[Bb]oulevard|[Pp]iazza|"
    "[Pp]laza|[Pp]raça|[Cc]hemin|[Pp]aseo|[Cc]orso|ul\\.|ulica|ulice"
)
_COMPOUND = (
    "stra(?:ß|ss)e|straat|weg|gasse|platz|allee|damm|ufer|vej|gade|gata|gatan|väg|vägen|veien|vegen|laan|plein|gracht|"
    "kade|dijk|katu|kuja|polku"
)
_STATES = (
    "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[AT]|"
    "W[AIVY]"
)
_DIGITS = tuple("0123456789")


def is_unknown_place(value: str) -> bool:
    """Whether it is not a public or fictional address, nor a specimen."""
    lowered = value.lower()
    return not (lowered.startswith("123 ") or any(known in lowered for known in _KNOWN))


def is_likely_place(value: str) -> bool:
    """Whether it reads as an address, and not as a sentence with two numbers or a date."""
    words = frozenset(value.lower().replace(",", " ").split())
    return is_unknown_place(value) and words.isdisjoint(_OF_SENTENCES)


# fmt: off
_OF_SENTENCES = frozenset(
    {"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
     "december", "to", "until", "and", "or", "is", "was", "with", "at", "from", "in", "who", "president", "of", "are",
     "by", "for", "than", "electoral", "presidential", "minutes", "hours", "days", "miles", "km", "times", "percent"}
)
# fmt: on


def _address(hints: tuple[str, ...], expression: str, confidence: float, near: tuple[str, ...] = ()) -> Pattern:
    accept = is_likely_place if near else is_unknown_place
    return Pattern(LABEL, hints, re.compile(expression), confidence, accept, near, fold=True)


PATTERNS = (
    _address(_DIGITS, rf"{_NUMBER}(?: \d{{1,5}})?,? (?:{_NAME} ){{1,4}}(?:{_ENGLISH})\b(?![-'’\w])", 0.6),
    _address(
        _DIGITS,
        rf"(?<!\w)(?:{_LATIN}) (?:(?:d[aeo]s?|du|del|della|dello|de la|de|al|el|la|le|van|der) ){{0,2}}"
        rf"(?:{_NAME} ){{1,4}}\d{{1,5}}(?![\w.,]\d)",
        0.6,
    ),
    _address(
        ("rue ", "avenue ", "boulevard ", "chemin "),
        rf"{_NUMBER},? (?:bis )?(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Cc]hemin) "
        rf"(?:(?:d[aeu]s?|de la|de l['’]|de|la|le|du) ?)?{_NAME}",
        0.6,
    ),
    _address(_DIGITS, rf"(?<!\w)[^\W\d_a-z]\w{{2,24}}(?:{_COMPOUND}) \d{{1,4}}[a-z]?(?![\w.,]\d)", 0.6),
    _address(
        ("apt", "apartment", "suite", "unit"),
        rf"{_NUMBER} [^\n]{{2,60}}?[\s,>?]{{1,8}}(?i:apt\.?|apartment|suite|unit) ?#?\d{{1,5}}(?!\d)",
        0.7,
    ),
    _address(("apt", "apartment"), rf"(?<!\w)(?i:apt\.?|apartment) #?\d{{1,5}},? {_NUMBER} [^\W\d]{{2,24}}", 0.7),
    _address(
        ("box",),
        r"(?<!\w)(?i:(?:psc|cmr|unit) \d{3,5},?\s(?:po )?box \d{2,5}|p\.? ?o\.? ?box (?:no\.? )?\d{1,6})(?!\d)",
        0.7,
    ),
    _address(
        ("postfach", "postbus", "postboks", "apartado"), r"(?<!\w)(?i:postfach|postbus|postboks|apartado) \d{2,6}", 0.7
    ),
    _address(("apo", "fpo", "dpo"), r"(?<!\w)[AFD]PO,? A[AEP] \d{5}(?!\d)", 0.8),
    _address(_DIGITS, rf"(?<!\w){_NAME}(?: {_NAME}){{0,2}},? (?:{_STATES}) \d{{5}}(?:-\d{{4}})?(?![\w-])", 0.6),
    _address(_DIGITS, rf"{_NUMBER}(?: \d{{1,4}})? (?:[^\W\d]{{1,24}}[.,]? ){{1,4}}\d{{1,5}}(?![\w.,]\d)", 0.45, _LIVES),
    _address(_DIGITS, rf"(?<!\w){_NAME}(?: {_NAME}){{0,3}} \d{{1,4}},? {_NAME}", 0.3, _LIVES),
    Pattern(
        "postal_code",
        ("zip", "postcode", "postal code"),
        re.compile(r"(?<![\w.,/-])(?:\d{5}(?:-\d{4})?|(?i:[a-z]{1,2}\d[a-z\d]? ?\d[a-z]{2}))(?![\w-])", re.ASCII),
        0.3,
        near=("zip code", "postcode", "postal code", "zip:"),
        fold=True,
    ),
)
