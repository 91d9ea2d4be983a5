"""Personal data with a shape: addresses on networks, phones, cards, accounts, national numbers.

Where a number carries check digits they are computed (each function names its rule). Names, postal addresses and
dates of birth have no shape a rule could trust; they are not looked for.
"""

import ipaddress
import re

from detectors.rules.patterns import Pattern

_DIGIT_HINTS = tuple("0123456789")

# Numbers that documentation and payment providers print as specimens.
_SPECIMENS = frozenset(
    {
        "4111111111111111", "4242424242424242", "4012888888881881", "4000056655665556", "5555555555554444",
        "5105105105105100", "5200828282828210", "378282246310005", "371449635398431", "6011111111111117",
        "6011000990139424", "3056930009020004", "30569309025904", "38520000023237", "3530111333300000",
        "3566002020360505", "GB82WEST12345698765432", "DE89370400440532013000", "FR1420041010050500013M02606",
        "078051120", "219099999", "123456789", "987654321", "12345678Z", "12345678901",
        "9434765919", "2222405343248877",
    }
)  # fmt: skip
_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AT": 20, "BE": 16, "BG": 22, "BR": 29, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18,
    "EE": 20, "ES": 24, "FI": 18, "FR": 27, "GB": 22, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26,
    "IT": 27, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MT": 31, "NL": 18, "NO": 15, "PL": 28, "PT": 25,
    "RO": 24, "RS": 22, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TR": 26, "UA": 29,
}  # fmt: skip
# By first digit: 2 and 5 Mastercard, 3 American Express, Diners, JCB, 4 Visa, 6 Discover, Maestro, UnionPay.
_CARD_LENGTHS = {"2": {16}, "3": {14, 15, 16}, "4": {13, 16, 19}, "5": {16}, "6": {16, 17, 18, 19}}
_PUBLIC_SERVICES = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "1.2.3.4", "4.3.2.1"})


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B: double every second digit from the right, the sum of digits ends in 0."""
    doubled = [int(digit) * (1 + position % 2) for position, digit in enumerate(reversed(digits))]
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0


def mod97(account: str) -> bool:
    """ISO 13616 / ISO 7064 mod 97-10: country and check digits moved behind, letters as 10-35, remainder 1."""
    moved = account[4:] + account[:4]
    return int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1


def mod11_10(digits: str) -> bool:
    """ISO 7064 mod 11,10, as in the German tax number."""
    product = 10
    for digit in digits[:-1]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(digits[-1])


def is_card(value: str) -> bool:
    """A length that its issuer uses, the check digit right, no specimen."""
    digits = _digits(value)
    issued = len(digits) in _CARD_LENGTHS[digits[0]] and (digits[0] != "2" or 2221 <= int(digits[:4]) <= 2720)
    return issued and len(set(digits)) > 3 and _is_no_specimen(digits) and luhn(digits)


def is_iban(value: str) -> bool:
    account = value.replace(" ", "")
    return _IBAN_LENGTHS.get(account[:2]) == len(account) and _is_no_specimen(account) and mod97(account)


def is_email(value: str) -> bool:
    """No reserved domain (RFC 2606), no role address that belongs to nobody."""
    local, _, domain = value.lower().rpartition("@")
    reserved = domain.split(".")[-2] in {"example", "yourdomain", "domain"} and domain.count(".") >= 1
    nobody = local in {"git", "noreply", "no-reply", "donotreply", "user", "username", "you", "your.email", "name"}
    return not (reserved or nobody or domain.rsplit(".", 1)[-1] in {"test", "invalid", "localhost", "example", "local"})


def is_us_ssn(value: str) -> bool:
    return _is_no_specimen(_digits(value))


def is_phone(value: str) -> bool:
    """An international number of 8 to 15 digits (E.164), or ten North American ones outside the 555-01xx fiction."""
    digits = _digits(value)
    if value.startswith("+"):
        fictional = digits.startswith("1") and digits[4:9].startswith("55501")
        return 8 <= len(digits) <= 15 and len(set(digits)) > 3 and not fictional
    return len(set(digits)) > 3 and not digits[-7:].startswith("55501") and digits != "1234567890"


def is_public_address(value: str) -> bool:
    """An address on the public internet, no well-known resolver."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast and value not in _PUBLIC_SERVICES


def is_nhs_number(value: str) -> bool:
    """UK: weights 10 to 2, modulo 11."""
    digits = _digits(value)
    check = -sum(int(digit) * weight for digit, weight in zip(digits, range(10, 1, -1), strict=False)) % 11
    return check == int(digits[-1]) and len(set(digits)) > 2 and _is_no_specimen(digits)


def is_spanish_id(value: str) -> bool:
    """DNI and NIE: the number modulo 23 picks the letter; X, Y, Z stand for 0, 1, 2."""
    compact = value.replace("-", "").replace(" ", "")
    number = compact[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == compact[-1] and _is_no_specimen(compact)


def is_german_tax_number(value: str) -> bool:
    """Eleven digits, ISO 7064 mod 11,10; of the first ten one digit stands twice or three times."""
    digits = _digits(value)
    return digits[0] != "0" and len(set(digits[:10])) in (8, 9) and mod11_10(digits) and _is_no_specimen(digits)


def is_french_number(value: str) -> bool:
    """NIR: the last two digits are 97 minus the first thirteen modulo 97; Corsica's 2A, 2B count as 19, 18."""
    compact = value.replace(" ", "").replace("2A", "19").replace("2B", "18")
    return 97 - int(compact[:13]) % 97 == int(compact[13:])


def is_italian_code(value: str) -> bool:
    """Codice fiscale: odd places by the decree's table, even places by rank, the sum modulo 26 is the last letter."""
    odd = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
    ranks = [int(letter) if letter.isdigit() else ord(letter) - ord("A") for letter in value]
    total = sum(rank if place % 2 else odd[rank] for place, rank in enumerate(ranks[:15]))
    return total % 26 == ranks[15]


def is_brazilian_number(value: str) -> bool:
    """CPF: two check digits, each modulo 11 over the digits before it."""
    digits = [int(digit) for digit in _digits(value)]
    return len(set(digits)) > 1 and all(
        sum(digit * weight for digit, weight in zip(digits, range(size + 1, 1, -1), strict=False)) * 10 % 11 % 10
        == digits[size]
        for size in (9, 10)
    )


def is_chinese_id(value: str) -> bool:
    """GB 11643: ISO 7064 mod 11-2 over seventeen digits."""
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(value[:17]))
    return "10X98765432"[total % 11] == value[17].upper()


def _digits(value: str) -> str:
    return "".join(character for character in value if "0" <= character <= "9")


def _is_no_specimen(value: str) -> bool:
    return value not in _SPECIMENS


_ALONE_BEFORE, _ALONE_AFTER = r"(?<![\w.+-])", r"(?![\w-]|\.\d)"


def _number(expression: str) -> re.Pattern[str]:
    return re.compile(rf"{_ALONE_BEFORE}(?:{expression}){_ALONE_AFTER}", re.ASCII)


PATTERNS = (
    Pattern(
        "email",
        ("@",),
        re.compile(
            r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_%+][A-Za-z0-9._%+-]{0,63}+@(?:[A-Za-z0-9-]{1,63}+\.){1,4}[A-Za-z]{2,18}"
            r"(?![A-Za-z0-9-]|\.[A-Za-z])"
        ),
        0.95,
        is_email,
    ),
    Pattern("phone", ("+",), _number(r"\+[1-9](?:[ .()-]{0,2}\d){7,14}"), 0.8, is_phone),
    Pattern(
        "phone",
        _DIGIT_HINTS,
        _number(r"(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[.-])[2-9]\d\d[.-]\d{4}"),
        0.75,
        is_phone,
    ),
    Pattern("credit_card", _DIGIT_HINTS, _number(r"[2-6](?:[ -]?\d){12,18}"), 0.95, is_card),
    Pattern("iban", _DIGIT_HINTS, _number(r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?"), 0.99, is_iban),
    Pattern(
        "us_ssn",
        ("-",),
        _number(r"(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}"),
        0.85,
        is_us_ssn,
    ),
    Pattern("ip_address", (".",), _number(r"\d{1,3}(?:\.\d{1,3}){3}"), 0.4, is_public_address),
    Pattern(
        "ip_address",
        (":",),
        re.compile(r"(?<![\w:.])[0-9A-Fa-f]{1,4}:[0-9A-Fa-f:]{4,36}(?![\w:.])", re.ASCII),
        0.5,
        is_public_address,
    ),
    Pattern("uk_nhs_number", ("nhs",), _number(r"\d{3}[ -]?\d{3}[ -]?\d{4}"), 0.9, is_nhs_number, ("nhs",), True),
    Pattern("es_national_id", _DIGIT_HINTS, _number(r"(?:\d{8}|[XYZ]-?\d{7})-?[A-HJ-NP-TV-Z]"), 0.85, is_spanish_id),
    Pattern(
        "de_tax_number",
        ("steuer", "tax", "idnr"),
        _number(r"\d{2} ?\d{3} ?\d{3} ?\d{3}"),
        0.85,
        is_german_tax_number,
        ("steuer", "tax", "idnr"),
        True,
    ),
    Pattern(
        "fr_national_number",
        _DIGIT_HINTS,
        _number(r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}"),
        0.9,
        is_french_number,
    ),
    Pattern(
        "it_tax_code",
        _DIGIT_HINTS,
        _number(r"[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z]"),
        0.97,
        is_italian_code,
    ),
    Pattern("br_tax_number", ("-",), _number(r"\d{3}\.\d{3}\.\d{3}-\d{2}"), 0.97, is_brazilian_number),
    Pattern(
        "cn_resident_id",
        _DIGIT_HINTS,
        _number(r"[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])\d{3}[\dXx]"),
        0.97,
        is_chinese_id,
    ),
)
