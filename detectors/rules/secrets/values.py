"""What a value looks like: generated, chosen by a person, made of words, an expression of code."""

import base64
import binascii
import re
from collections.abc import Sequence
from itertools import pairwise

from detectors.rules.patterns import entropy

# Which letters follow a letter in words of English text and code, each from two in ten thousand pairs on; counted in
# the standard library and in our own texts. A run of drawn letters soon has a pair that is not among them.
_FOLLOWERS = {
    row[0]: frozenset(row[1:])
    for row in [
        "abcdfgiklmnprstuvwxy",
        "babcdeijloprsuy",
        "cacdehiklmnoprstuvy",
        "dabcdefgilmnoprstuvy",
        "eabcdefghiklmnopqrstuvwxy",
        "facdefiloprstuy",
        "gaceghilmnorstu",
        "hadeilnorstuy",
        "iabcdefgklmnoprstvxz",
        "jaeou",
        "kadegilnsw",
        "labcdefiklnopstuvy",
        "mabdeilmopstuy",
        "nacdefghiklmnoprstuvy",
        "oabcdefgiklmnoprstuvwx",
        "pacdefhiklnoprstuwy",
        "qu",
        "rabcdefgiklmnoprstuvwy",
        "sabcdefghiklmnoprstuvwy",
        "tabcdefhilmnoprstuvwy",
        "uabcdefgilmnoprst",
        "vaeio",
        "wadehilnors",
        "xacefilpt",
        "ybcefilmnopst",
        "zeio",
    ]
}
_VOWELS = frozenset("aeiouy")
_PIECE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[A-Z]")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

MIN_GENERATED = 16  # characters of a value that somebody drew
_ENTROPY_GENERATED, _ENTROPY_CHOSEN = 3.0, 2.5  # bits a character, at least
_MOSTLY_WORDS = 0.5  # of the letters and digits


def is_word(piece: str) -> bool:
    """Whether it reads as a word: it has a vowel, and hardly a pair of letters that words do not have."""
    lowered = piece.lower()
    if _VOWELS.isdisjoint(lowered):
        return False
    strange = sum(second not in _FOLLOWERS.get(first, "") for first, second in pairwise(lowered))
    return strange <= (len(lowered) >= 8)


def wordiness(value: str) -> float:
    """The share of letters and digits that stand in words of four letters or more, 0 to 1."""
    counted = sum(map(str.isalnum, value))
    in_words = sum(len(piece) for piece in _PIECE.findall(value) if len(piece) >= 4 and is_word(piece))
    return in_words / counted if counted else 1.0


def is_generated(value: str) -> bool:
    """Whether it mixes letters and digits and looks random; words and paths do not."""
    if len(value) < MIN_GENERATED or not _is_mixed(value) or entropy(value[:200]) < _ENTROPY_GENERATED:
        return False
    return wordiness(value[:200]) < _MOSTLY_WORDS and not _is_composed(value)


_COMPOSED = re.compile(r"[A-Za-z]{1,20}\d{0,4}(?:[-_./:@][A-Za-z]{0,20}\d{0,4}){1,20}")
_SOME_WORDS, _FEW_WORDS = 0.3, 0.2


def _is_composed(value: str) -> bool:
    """Whether it is a name of several parts, each of letters and perhaps a number."""
    if _COMPOSED.fullmatch(value) is None:
        return False
    return wordiness(value) >= _SOME_WORDS or (value.islower() and sum(map(value.count, "_-.")) >= 3)


def _is_mixed(value: str) -> bool:
    """Whether it has digits among letters, or capitals among small letters as no word has them."""
    if any(map(str.isdigit, value)):
        return any(map(str.isalpha, value))
    return len(_PIECE.findall(value)) >= len(value) / 3


_LONGEST_MIXED = 24  # characters of a sequence of letters and digits in turn: a longer one has the shape of a token


def is_sequence(value: str) -> bool:
    """Steps of one from each character to the next, as in abcdefgh and 12345678; in short ones also where the two are
    mixed, as in a1b2c3d4. A whole token of letters and digits in turn is cut: nobody is hurt by it."""
    if len(value) > _LONGEST_MIXED:
        return _goes_up(value)
    letters = [character for character in value.lower() if character.isalpha()]
    digits = [character for character in value if character.isdigit()]
    return _goes_up(value) or (len(letters) >= 4 and _goes_up(letters) and (not digits or _goes_up(digits)))


def _goes_up(characters: Sequence[str]) -> bool:
    steps = sum(ord(second) - ord(first) == 1 for first, second in pairwise(characters))
    return 2 * steps >= len(characters) - 1


def is_uuid(value: str) -> bool:
    return _UUID.fullmatch(value) is not None


# What a description of a password says: no password is made of these.
_DESCRIBING = frozenset((
    "minimum", "maximum", "characters", "chars", "character", "digit", "digits", "required", "optional", "length",
    "string", "letters", "letter", "must", "contain", "contains", "uppercase", "lowercase", "numbers", "number",
    "symbols", "alphanumeric", "none", "null", "true", "false", "empty", "default", "reset", "incorrect", "wrong",
    "invalid", "expired", "forgotten", "changed", "missing", "hidden", "hashed", "hash", "encrypted", "encoded",
    "plaintext", "least", "should", "cannot", "between", "and", "the", "not", "with", "from", "policy", "field",
    "label", "input", "type", "text", "varchar", "char", "int", "integer", "bool", "boolean", "bytes", "byte",
    "value", "optional", "str", "required", "verify", "confirm", "confirmation", "change", "update", "updated",
    "valid", "strength", "authentication", "authenticator", "sha", "md", "pbkdf", "bcrypt", "scrypt", "argon",
    "oauth", "saml", "ldap", "utf", "base", "env",
))  # fmt: skip


def is_chosen(value: str) -> bool:
    """Whether it is a password as people choose them, with digits or signs among letters, and not a description."""
    if not 6 <= len(value) <= 128 or not any(map(str.isalpha, value)):
        return False
    kinds = _kinds(value)
    if kinds < 2 or len(set(value)) < 5 or entropy(value) < _ENTROPY_CHOSEN:
        return False
    has_digits = any(map(str.isdigit, value))
    if max(value) >= "\u0250" or (kinds == 2 and (not has_digits or len(value) < 8)):
        return False
    return _DESCRIBING.isdisjoint(piece.lower() for piece in _PIECE.findall(value))


def _kind(character: str) -> str:
    if character.isdigit():
        return "1"
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return "-" if character in "_-./" else "!"


# Begins as code, a template or a reference does; hashes of passwords as crypt writes them.
_REFERENCE = re.compile(
    r"[A-Za-z_]\w*::|[$#%]?[{(]|<[^\s\d]|[\[|>]|\$[\w-]{1,12}\$|@Microsoft|\\\w{2}|"
    r"(?:ENC|vault|op|ssm|file|env|ref|arn|urn|secret)(?::|\[|\()"
)
# A variable of a shell or of Windows, an anchor or a tag of YAML.
_VARIABLE = re.compile(r"(?:[$%&*]{1,2}|[@!])[A-Za-z_][A-Za-z_.:-]*\d{0,3}[A-Za-z_]*%?[\"')]?")
_DOTTED = re.compile(r"[A-Za-z_$][\w$]*(?:(?:\.|::|->|\?\.)[A-Za-z_$][\w$]*)+[;,]?")
_PATH = re.compile(r"(?:~|\.{1,2}|[A-Za-z]:)[/\\]|//|/[A-Za-z_.-]+/|https?:")
_FILE = re.compile(
    r"[\w./-]+\.(?:pem|key|crt|cer|json|ya?ml|txt|env|py|js|ts|go|toml|ini|conf|cfg|jks|p12|pfx|xml|html?|md|sh|sql"
    r"|db|log|csv)"
)
_FOLDERS = re.compile(r"/?[\w.-]+/[\w.-]+(?:/|$)")
_READS = (
    "process.env",
    "os.environ",
    "getenv",
    "import.meta",
    "System.get",
    "()",
    "${",
    "{{",
    "}}",
    "://",
    "%(",
    "\\x",
)


_KEYWORD = re.compile(r"[A-Za-z_][A-Za-z_]{0,40}=")  # of an argument, in front of what it is given


def is_expression(value: str) -> bool:
    """Whether it is a variable, a call, a path, or a reference to a place where the secret is kept."""
    if (
        _REFERENCE.match(value)
        or _VARIABLE.fullmatch(value)
        or _PATH.match(value)
        or _KEYWORD.fullmatch(value)
        or any(part in value for part in _READS)
    ):
        return True
    if _FILE.fullmatch(value) or (_FOLDERS.match(value) and wordiness(value) >= _SOME_WORDS):
        return True
    dotted = _DOTTED.fullmatch(value)
    return dotted is not None and (wordiness(value) >= _FEW_WORDS or not any(map(str.isdigit, value)))


# Parts of a name: a bare word of code with one of them is a variable.
_OF_VARIABLES = re.compile(
    r"passw|pwd|secret|token|key|user|arg|param|value|config|cfg|opts|option|data|form|self|ctx|req|env|cred|auth|"
    r"client|account|login|result|response|var|default|setting|field|input|str$|hash|raw",
    re.IGNORECASE,
)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


def is_variable(value: str) -> bool:
    """Whether it is a bare name of a program, whose parts say what it holds."""
    return _IDENTIFIER.fullmatch(value) is not None and (
        _OF_VARIABLES.search(value) is not None and wordiness(value) >= _SOME_WORDS
    )


def decoded_pair(value: str) -> tuple[str, str] | None:
    """`user:password` in base64, as HTTP's basic authentication sends it (RFC 7617); None for any other text."""
    try:
        pair = base64.b64decode(value + "=" * (-len(value) % 4), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    user, colon, password = pair.partition(":")
    return (user, password) if user and colon and pair.isprintable() else None


def is_rich(value: str) -> bool:
    """Whether it is clearly a chosen password: three kinds of characters, or two with several digits."""
    return is_chosen(value) and not _is_composed(value) and (_kinds(value) >= 3 or sum(map(str.isdigit, value)) >= 2)


def _kinds(value: str) -> int:
    """How many of the four kinds it has: small letters, capitals, digits and signs."""
    return len({_kind(character) for character in value} - {"-"})


def is_mixed_with_signs(value: str) -> bool:
    """Whether it is a chosen value with a sign, and hardly a word in it."""
    has_sign = any(_kind(character) == "!" for character in value)
    return is_chosen(value) and has_sign and _kinds(value) >= 3 and wordiness(value) < _MOSTLY_WORDS


_PROSE = frozenset((
    "the", "and", "for", "with", "from", "are", "was", "has", "have", "not", "but", "its", "our", "your", "you",
    "must", "may", "can", "enter", "please", "is", "a", "an", "of", "to", "in", "on", "or", "that", "this", "it",
    "be", "at", "least", "long", "short", "used", "use", "when", "if", "no", "same", "new", "old", "wrong",
    "incorrect", "password", "phrase",
))  # fmt: skip


def is_passphrase(value: str) -> bool:
    """Whether it has four words or more, and is not a sentence."""
    words = value.split()
    return len(words) >= 4 and all(word.isalpha() and word.islower() for word in words) and _PROSE.isdisjoint(words)
