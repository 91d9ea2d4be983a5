"""Personal data with a shape: addresses on networks and in towns, phones, cards, accounts, national numbers.

Where a number carries check digits they are computed (`checks`). Names are found only where a person states one's
own, or a form asks for it.
"""

import re
from collections.abc import Callable

from detectors.rules import addresses, checks
from detectors.rules.patterns import Pattern, pattern_rule

_LATIN = "A-Za-z0-9\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f"  # addresses may have such letters too (RFC 6532)
_DIGIT_HINTS = tuple("0123456789")

_ALONE_BEFORE, _ALONE_AFTER = r"(?<![\w.+-])", r"(?![\w-]|\.\d)"


def _number(expression: str) -> re.Pattern[str]:
    return re.compile(rf"{_ALONE_BEFORE}(?:{expression}){_ALONE_AFTER}", re.ASCII)


def _whole(expression: str) -> re.Pattern[str]:
    """The expression, with no more digits beside it: it must not be a part of a longer number written in groups."""
    return _number(rf"(?<!\d )(?<!\d [A-Z]{{4}} )(?:{expression})(?! \d)")


NUMBERS = (
    Pattern(
        "email",
        ("@",),
        re.compile(
            # It begins with a plain letter: another one may belong to the word before.
            rf"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_%+](?:[{_LATIN}._%+-]|['’](?=[{_LATIN}])){{0,63}}+"
            rf"@(?:[{_LATIN}-]{{1,63}}+\.){{1,4}}[A-Za-z]{{2,18}}(?![{_LATIN}-]|\.[A-Za-z])"
        ),
        0.95,
        checks.is_email,
    ),
    Pattern("phone", ("+",), _number(r"\+[1-9](?:[ .()-]{0,2}\d){7,14}"), 0.8, checks.is_phone),
    Pattern(
        "phone",
        _DIGIT_HINTS,
        _number(r"(?:(?:00)?1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[.-])[2-9]\d\d[.-]\d{4}(?:x\d{1,6})?"),
        0.75,
        checks.is_phone,
    ),
    Pattern("credit_card", _DIGIT_HINTS, _number(r"[2-6](?:[ -]?\d){12,18}"), 0.95, checks.is_card),
    Pattern(
        "iban",
        _DIGIT_HINTS,
        _number(r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?|[a-z]{2}\d{2}[a-z0-9]{11,30}"),
        0.99,
        checks.is_iban,
    ),
    Pattern(
        "us_ssn",
        ("-",),
        _number(r"(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}"),
        0.85,
        checks.is_us_ssn,
    ),
    Pattern("ip_address", (".",), _number(r"\d{1,3}(?:\.\d{1,3}){3}"), 0.4, checks.is_public_address),
    Pattern(
        "ip_address",
        (":",),
        re.compile(r"(?<![\w:.])[0-9A-Fa-f]{1,4}:[0-9A-Fa-f:]{4,36}(?![\w:.])", re.ASCII),
        0.5,
        checks.is_public_address,
    ),
    Pattern(
        "uk_nhs_number", ("nhs",), _number(r"\d{3}[ -]?\d{3}[ -]?\d{4}"), 0.9, checks.is_nhs_number, ("nhs",), True
    ),
    Pattern(
        "es_national_id", _DIGIT_HINTS, _number(r"(?:\d{8}|[XYZ]-?\d{7})-?[A-HJ-NP-TV-Z]"), 0.85, checks.is_spanish_id
    ),
    Pattern(
        "de_tax_number",
        ("steuer", "tax", "idnr"),
        _number(r"\d{2} ?\d{3} ?\d{3} ?\d{3}"),
        0.85,
        checks.is_german_tax_number,
        ("steuer", "tax", "idnr"),
        True,
    ),
    Pattern(
        "fr_national_number",
        _DIGIT_HINTS,
        _number(r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}"),
        0.9,
        checks.is_french_number,
    ),
    Pattern(
        "it_tax_code",
        _DIGIT_HINTS,
        _number(r"[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z]"),
        0.97,
        checks.is_italian_code,
    ),
    Pattern("br_tax_number", ("-",), _number(r"\d{3}\.\d{3}\.\d{3}-\d{2}"), 0.97, checks.is_brazilian_number),
    Pattern(
        "cn_resident_id",
        _DIGIT_HINTS,
        _number(r"[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])\d{3}[\dXx]"),
        0.97,
        checks.is_chinese_id,
    ),
)

# What stands before a number that is a phone's.
_CALLS = ("call ", "call:", "phone", "tel:", "tel.", "tél", "telefon", "mobil", "handy:", "handynummer",
          " cell", "fax", "whatsapp", "dial ", "sms", "text me",
          "ring me", "reach me", "reach you", "answering", "registered", "contact")  # fmt: skip
_LICENCES = ("driver's licen", "driver’s licen", "drivers licen", "driver licen", "driving licen")
_PASSPORTS = ("passport no", "passport num", "passport is", "passport:", "passport #")
_ACCOUNTS = ("account number", "account no", "account #", "acct", "routing number", "sort code")
_BIRTHS = ("date of birth", "birthdate", "birth date", "birthday is", "dob")
_SOCIAL = ("ssn", "social security", "social:", "my social ")
_TAX_CUES = ("tfn", "tax file")
_LOCAL_PHONE = r"\(?\d{1,5}\)?(?:[ ./-]{0,2}\(?\d{2,7}\)?){1,5}(?: ?(?:x|ext\.?) ?\d{1,6})?"
_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_NAMES = r"[^\W\d_a-z][\w'’-]{1,24}(?: [^\W\d_a-z][\w'’.-]{0,24}){1,3}"


def _said(
    label: str, expression: str, confidence: float, near: tuple[str, ...], accept: Callable[[str], bool]
) -> Pattern:
    """A pattern that counts only after one of the words `near`."""
    return Pattern(label, near, _whole(expression), confidence, accept, near, True)


SAID = (
    _said("phone", _LOCAL_PHONE, 0.6, _CALLS, checks.is_local_phone),
    _said("credit_card", r"\d(?:[ -]?\d){11,18}", 0.9, ("card", "maestro"), checks.is_named_card),
    _said("us_ssn", r"(?!000|666|9)\d{3}[ -]?(?!00)\d{2}[ -]?(?!0000)\d{4}", 0.8, _SOCIAL, checks.is_us_ssn),
    _said("driving_licence", r"(?:[A-Z]{1,2}-?)?\d[\d -]{3,15}\d[A-Z]{0,2}", 0.8, _LICENCES, checks.has_many_digits),
    _said("passport", r"[A-Z]{0,2}\d{6,9}", 0.8, _PASSPORTS, checks.has_many_digits),
    _said("bank_account", r"\d[\d -]{5,18}\d", 0.7, _ACCOUNTS, checks.has_many_digits),
    _said("pl_national_number", r"\d{11}", 0.9, ("pesel",), checks.is_polish_number),
    _said("nl_national_number", r"\d{9}", 0.9, ("bsn", "burgerservice"), checks.is_dutch_number),
    _said(
        "ca_social_number",
        r"\d{3}[ -]?\d{3}[ -]?\d{3}",
        0.9,
        (" sin ", "sin:", "social insurance"),
        checks.is_canadian_number,
    ),
    _said("au_tax_number", r"\d{3} ?\d{3} ?\d{3}", 0.9, _TAX_CUES, checks.is_australian_number),
    _said("date_of_birth", r"\d{1,4}[/.-]\d{1,2}[/.-]\d{1,4}", 0.6, _BIRTHS, checks.has_many_digits),
    Pattern(
        "date_of_birth",
        _BIRTHS,
        re.compile(
            rf"(?i)(?<!\w)(?:\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH}|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?),? \d{{4}}"
        ),
        0.5,
        near=_BIRTHS,
        fold=True,
    ),
    Pattern(
        "person_name",
        ("my name is", "my name's", "my name’s"),
        re.compile(rf"[Mm]y name(?: is|['’]s) ({_NAMES})"),
        0.5,
        fold=True,
    ),
    Pattern(
        "person_name",
        ("name",),
        re.compile(
            rf"(?m)^[^\w\n]{{0,6}}(?i:(?:full |patient |customer |client )?name)\s{{0,2}}:[ \t]{{0,12}}({_NAMES})"
        ),
        0.5,
        fold=True,
    ),
)

NATIONAL = (
    Pattern(
        "uk_national_insurance_number",
        _DIGIT_HINTS,
        _number(r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]"),
        0.8,
        checks.has_many_digits,
    ),
    Pattern("se_national_number", _DIGIT_HINTS, _number(r"(?:19|20)?\d{6}[-+]\d{4}"), 0.8, checks.is_swedish_number),
    Pattern(
        "fi_national_number",
        _DIGIT_HINTS,
        _number(r"[0-3]\d[01]\d{3}[-+A-F]\d{3}[0-9A-Y]"),
        0.9,
        checks.is_finnish_number,
    ),
    Pattern("ch_social_number", ("756",), _number(r"756\.\d{4}\.\d{4}\.\d{2}"), 0.97, checks.is_swiss_number),
    Pattern("in_national_number", _DIGIT_HINTS, _whole(r"[2-9]\d{3} \d{4} \d{4}"), 0.7, checks.is_indian_number),
    Pattern(
        "phone",
        ("0",),
        _whole(
            r"\(0[1-9]\d{0,3}\) ?\d{2,4}[ -]?\d{2,4}(?:[ -]\d{2,4})?"
            r"|(?!\d{3}-\d\d-\d{4})0[1-9]\d{0,3}(?:[ /-]\d{2,4}){2,4}"
        ),
        0.5,
        lambda value: 9 <= sum(map(str.isdigit, value)) <= 11 and checks.is_local_phone(value),
    ),
)

PATTERNS = (*NUMBERS, *NATIONAL, *SAID, *addresses.PATTERNS)

RULE = pattern_rule("privacy_violation", PATTERNS, why=checks.specimen)
