"""Numbers that carry check digits: whether they are what they look like, each by the rule its function names.

Specimens, which documentation prints in place of a real number, are refused.
"""

import ipaddress
import re

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
_JCB = ("1800", "2131")  # of fifteen digits
_MAESTRO = ("50", "56", "57", "58", "60", "63", "67")  # of twelve to nineteen
_PUBLIC_SERVICES = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "1.2.3.4", "4.3.2.1"})


def specimen(label: str, value: str) -> str:
    """Which known specimen a value is, in words; empty if it is none."""
    if {_digits(value), re.sub(r"[ -]", "", value).upper()} & _SPECIMENS:
        return "a test number that documentation prints"
    if label == "email":
        return "an address of documentation or of nobody"
    return "a public resolver" if value in _PUBLIC_SERVICES else ""


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
    """Whether the length is one that its issuer uses, the check digit is right, and it is not a specimen."""
    digits = _digits(value)
    issued = len(digits) in _CARD_LENGTHS.get(digits[0], ()) and (digits[0] != "2" or 2221 <= int(digits[:4]) <= 2720)
    return (
        (issued or (len(digits) == 15 and digits.startswith(_JCB)))
        and len(set(digits)) > 3
        and _is_no_specimen(digits)
        and luhn(digits)
    )


def is_named_card(value: str) -> bool:
    """The same for a number that the text calls a card: Maestro's short lengths count, too."""
    digits = _digits(value)
    short = digits.startswith(_MAESTRO) and len(set(digits)) > 3 and luhn(digits)
    return is_card(value) or (short and _is_no_specimen(digits))


def is_iban(value: str) -> bool:
    account = value.replace(" ", "").upper()
    return _IBAN_LENGTHS.get(account[:2]) == len(account) and _is_no_specimen(account) and mod97(account)


def is_email(value: str) -> bool:
    """Whether the domain is not reserved (RFC 2606), and the address is not one of a role that belongs to nobody."""
    local, _, domain = value.lower().rpartition("@")
    reserved = domain.split(".")[-2] in {"example", "yourdomain", "domain"} and domain.count(".") >= 1
    nobody = local in {"git", "noreply", "no-reply", "donotreply", "user", "username", "you", "your.email", "name"}
    return not (reserved or nobody or domain.rsplit(".", 1)[-1] in {"test", "invalid", "localhost", "example", "local"})


def is_us_ssn(value: str) -> bool:
    return _is_no_specimen(_digits(value))


# Of companies and help lines, and an area code that does not exist: never a person's.
_NOBODYS = ("555", "800", "833", "844", "855", "866", "877", "888")


def is_phone(value: str) -> bool:
    """An international number of 8 to 15 digits (E.164), or ten North American ones outside the 555-01xx fiction.

    Toll-free numbers and those of area code 555 are nobody's own.
    """
    digits = _digits(value.partition("x")[0])
    national = digits.removeprefix("00").removeprefix("1") if len(digits) != 10 else digits
    is_american = not value.startswith("+") or digits.startswith("1")
    if is_american and (national[3:].startswith("55501") or national.startswith(_NOBODYS)):
        return False
    return 8 <= len(digits) <= 15 and len(set(digits)) > 3 and digits != "1234567890"


def is_public_address(value: str) -> bool:
    """Whether it is an address on the public internet, and not a well-known resolver."""
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


def is_polish_number(value: str) -> bool:
    """PESEL: weights 1, 3, 7, 9 over ten digits; the last brings the sum to a multiple of 10."""
    weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)
    return sum(int(digit) * weight for digit, weight in zip(value, weights, strict=True)) % 10 == 0


def is_dutch_number(value: str) -> bool:
    """BSN: weights 9 to 2 and -1, a multiple of 11."""
    digits = _digits(value)
    weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
    total = sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))
    return total % 11 == 0 and len(set(digits)) > 2 and _is_no_specimen(digits)


def is_swedish_number(value: str) -> bool:
    """Personnummer: a date of birth, then Luhn over the last ten digits."""
    digits = _digits(value)[-10:]
    return 1 <= int(digits[2:4]) <= 12 and 1 <= int(digits[4:6]) <= 31 and luhn(digits)


def is_finnish_number(value: str) -> bool:
    """Henkilötunnus: date and running number modulo 31 pick the last character."""
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(value[:6] + value[7:10]) % 31] == value[10]


def is_swiss_number(value: str) -> bool:
    """AHV number: thirteen digits with the check digit of EAN-13, weights 1 and 3."""
    digits = _digits(value)
    return sum(int(digit) * (1 + 2 * (place % 2)) for place, digit in enumerate(digits)) % 10 == 0


def is_canadian_number(value: str) -> bool:
    """SIN: nine digits, Luhn; none begins with 0 or 8."""
    digits = _digits(value)
    return digits[0] not in "08" and len(set(digits)) > 2 and luhn(digits) and _is_no_specimen(digits)


def is_australian_number(value: str) -> bool:
    """TFN: weights 1, 4, 3, 7, 5, 8, 6, 9, 10, a multiple of 11."""
    digits = _digits(value)
    weights = (1, 4, 3, 7, 5, 8, 6, 9, 10)
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True)) % 11 == 0


def is_indian_number(value: str) -> bool:
    """Aadhaar: twelve digits, Verhoeff's check over the dihedral group of order 10 (1969)."""
    check = 0
    for place, digit in enumerate(reversed(_digits(value))):
        check = _dihedral(check, _permuted(int(digit), place))
    return check == 0


def _dihedral(left: int, right: int) -> int:
    if left < 5:
        return (left + right) % 5 + 5 * (right >= 5)
    return (left - right) % 5 + 5 * (right < 5)


def _permuted(digit: int, times: int) -> int:
    for _ in range(times % 8):
        digit = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[digit]
    return digit


def is_local_phone(value: str) -> bool:
    """Whether it may be a phone number without its country: six to thirteen digits; no date, years or decimals."""
    digits = _digits(value)
    groups = _DIGIT_GROUP.findall(value)
    is_years = len(groups) == 2 and all(len(group) == 4 and group[:2] in ("19", "20") for group in groups)
    is_decimal = "." in value and len(groups) == 2
    fits = 8 if len(groups) == 1 else 6
    if is_years or is_decimal or _DATE.search(value) or not fits <= len(digits) <= 13 or len(set(digits)) < 3:
        return False
    return len(digits) < 10 or is_phone(value)


_DIGIT_GROUP = re.compile(r"\d+", re.ASCII)
_DATE = re.compile(
    r"(?<!\d)(?:\d{1,2}([/.-])\d{1,2}\1(?:19|20)\d\d|(?:19|20)\d\d([/.-])\d{1,2}\2\d{1,2})(?!\d)", re.ASCII
)


def has_many_digits(value: str) -> bool:
    """Whether it has five digits or more, not all alike."""
    digits = _digits(value)
    return len(digits) >= 5 and len(set(digits)) > 2 and _is_no_specimen(digits)


def _digits(value: str) -> str:
    return "".join(character for character in value if "0" <= character <= "9")


def _is_no_specimen(value: str) -> bool:
    return value not in _SPECIMENS
