"""Personal data and what rules have in common: our own examples, checksums, spans, and texts built to be slow."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.base import Span, State, Text
from detectors.catalogue import RULES
from detectors.manifest import load
from detectors.rules import checks, pii, secrets
from detectors.rules.patterns import Pattern, entropy, pattern_rule
from detectors.rules.rule import LIMIT, RuleDetector, RuleFinding, united
from tests.support.judges.shipped import shipped
from tests.support.running.examples import size
from tests.support.running.together import together

SECRETS = RuleDetector(shipped()["secrets"], secrets.RULE)
PII = RuleDetector(shipped()["pii"], pii.RULE)
# Put together at run time, so that no scanner takes this file for a leak.
RANDOM = "q7Rk2Lm9Xw4Tz8Bv3Ny6Pd1Hs5Jc0FgA"

HOSTILE = (
    *("a", "4", "1-", "a@", "a@b.", "key=", "eyJaaaaaaaaa.", "https://a:", "sk-a1B", "1:", "+1", "A1", "\0", "é"),
    *("\ud800", "nhs 4010232137 ", "a." * 32 + "@"),
)


def labels(text: str, patterns: tuple[Pattern, ...]) -> list[str]:
    return [span.label for span in pattern_rule("privacy_violation", patterns).find(text)]


@together(
    ("label", "found"),
    [
        ("email", "maria.lopez@gmail.com"),
        ("phone", "+44 20 7946 0123"),
        ("phone", "(415) 867-5309"),
        ("credit_card", "4539 1488 0343 6467"),
        ("iban", "NL91 ABNA 0417 1643 00"),
        ("us_ssn", "536-22-8726"),
        ("ip_address", "81.2.69.142"),
        ("ip_address", "2a00:1450:4001:81b::200e"),
        ("es_national_id", "54362315K"),
        ("fr_national_number", "2 55 08 14 168 025 38"),
        ("it_tax_code", "RSSMRA85T10A562S"),
        ("br_tax_number", "529.982.247-25"),
        ("cn_resident_id", "11010519491231002X"),
    ],
)
def test_finds_personal_data_and_its_place(label: str, found: str) -> None:
    text = f"Grüße 👋 — here: {found}, thanks."
    (span,) = PII.detect([Text(text, "prompt")])[0].verdicts[0].spans
    assert (span.label, text[span.start : span.end]) == (label, found)


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("uk_nhs_number", "her NHS number is 943 476 5870"),
        ("de_tax_number", "Steuer-ID: 86 095 742 719"),
    ],
)
def test_numbers_that_need_a_word_beside_them(label: str, text: str) -> None:
    assert labels(text, pii.PATTERNS) == [label]
    assert labels(text.rpartition(" is ")[2].rpartition(": ")[2], pii.PATTERNS) == []


@pytest.mark.parametrize(
    "text",
    [
        "write to name@example.com or noreply@shop.com",
        "card 4111 1111 1111 1111 or 4539 1488 0343 6468",
        "IBAN DE89 3704 0044 0532 0130 00 or NL91 ABNA 0417 1643 01",
        "SSN 078-05-1120, 000-12-3456, 666-12-3456",
        "192.168.0.1, 10.0.0.7, 127.0.0.1, 8.8.8.8, 999.1.1.1, v1.2.3.4.5",
        "at 12:30:45 on 2024-05-06, order 1234567890, total 1,234,567.89, call 212-555-0123",
        "fe80::1 and ::1 and std::vector and 12:34:56",
        "a DNI of 54362315A is wrong, and so is 529.982.247-26",
        "3.141592653589793 and 0.1234567890123456",
    ],
)
def test_lets_ordinary_numbers_through(text: str) -> None:
    assert labels(text, pii.PATTERNS) == []


@given(st.integers(min_value=10**11, max_value=10**15 - 1))
def test_luhn_catches_any_single_changed_digit(number: int) -> None:
    digits = next(f"{number}{check}" for check in range(10) if checks.luhn(f"{number}{check}"))
    for position in range(len(digits)):
        changed = digits[:position] + str((int(digits[position]) + 3) % 10) + digits[position + 1 :]
        assert not checks.luhn(changed)


@given(st.integers(min_value=0, max_value=10**18 - 1))
def test_mod97_accepts_exactly_one_check(number: int) -> None:
    account = f"{number:018}"
    assert sum(checks.mod97(f"DE{check:02}{account}") for check in range(2, 99)) == 1


@given(st.text(max_size=200), st.sampled_from([SECRETS, PII]))
def test_spans_lie_in_the_text_in_order(text: str, rule: RuleDetector) -> None:
    planted = text + " maria.lopez@gmail.com ghp_" + RANDOM + "x8Kd"
    (verdict,) = rule.detect([Text(planted, "response")])[0].verdicts
    assert verdict.spans
    ends = 0
    for span in verdict.spans:
        assert ends <= span.start < span.end <= len(planted)
        ends = span.end


@pytest.mark.slow
def test_states_and_order() -> None:
    texts = [Text("", "prompt"), Text(" \n", "prompt"), Text("fine", "prompt"), Text("a" * (LIMIT + 1), "prompt")]
    states = [judgement.state for judgement in PII.detect(texts)]
    assert states == [State.SKIPPED, State.SKIPPED, State.SCANNED, State.TRUNCATED]
    assert [verdict.score for verdict in PII.detect(texts)[2].verdicts] == [0.0]


@together("unit", HOSTILE)
def test_hostile_text_is_searched_in_linear_time(unit: str) -> None:
    text = (unit * size(200_000))[: size(200_000)]
    started = time.process_time()
    pii.RULE.find(text)
    assert time.process_time() - started < 10  # of this process alone; a quadratic search of this size takes minutes


@pytest.mark.slow
def test_a_megabyte_of_one_character() -> None:
    assert labels("a" * LIMIT, pii.PATTERNS) == []


def test_entropy_of_known_strings() -> None:
    assert entropy("aaaa") == 0
    assert entropy("abab") == 1
    assert entropy("abcdefgh") == 3


@together(
    ("label", "text"),
    [
        ("phone", "you can call 051-363-821 after six"),
        ("phone", "reach us under (022) 0793-176"),
        ("credit_card", "my Maestro card 6759 6498 2643 8453 was lost"),
        ("postal_address", "Ship it to 48 Harbour View Road by noon"),
        ("postal_address", "9 rue des Tanneurs, second door"),
        ("postal_address", "Lindenstraße 14, Potsdam"),
        ("postal_address", "77 Long Meadow, Apt. 12"),
        ("postal_address", "P.O. Box 2217, Bend"),
        ("postal_address", "PSC 4821, Box 377"),
        ("postal_address", "Boulder, CO 80302"),
        ("date_of_birth", "date of birth: 14/03/1987"),
        ("driving_licence", "my driver's license number is D4483-2917-663"),
        ("passport", "passport number: X4412907"),
        ("bank_account", "account number 20817 4419 03"),
        ("person_name", "Name:  Ilse Vandermeer"),
        ("person_name", "Dear all,\n  Patient name: Ilse Vandermeer"),
        ("uk_national_insurance_number", "NI: JM 40 24 31 C"),
        ("pl_national_number", "PESEL 44051401359"),
        ("nl_national_number", "BSN: 111222333"),
        ("se_national_number", "811218-9876 is hers"),
        ("fi_national_number", "131052-308T"),
        ("ch_social_number", "756.9217.0769.85"),
        ("ca_social_number", "social insurance number 130 692 544"),
        ("in_national_number", "Aadhaar 2345 6789 0124"),
    ],
)
def test_finds_what_other_places_write(label: str, text: str) -> None:
    assert label in labels(text, pii.PATTERNS)


@pytest.mark.parametrize(
    "text",
    [
        "call 1-800-222-1222 or text 741741",
        "elected on 8 March 2022, president from 1961 until 1963",
        "the crash of 1929 on Wall Street, 10 Downing Street, 123 Main Street",
        '{"name": "Ilse Vandermeer"}',  # more often a product, as docs/limits.md says
        "registered on 03/07/2024 at 10:45, version 1.2, 2019-2023",
        "the PESEL 44051401358 and the BSN 111222334 are wrong",
        "The phone costs 4871.59 and lasts 12 hours.",
        "My name is on the list.",
    ],
)
def test_lets_public_numbers_and_dates_through(text: str) -> None:
    assert labels(text, pii.PATTERNS) == []


@given(st.integers(min_value=2 * 10**10, max_value=10**11 - 1))
def test_verhoeff_accepts_exactly_one_check(number: int) -> None:
    assert sum(checks.is_indian_number(f"{number}{check}") for check in range(10)) == 1


@pytest.mark.parametrize("name", RULES)
def test_the_shipped_tables_name_what_the_rule_can_find(name: str) -> None:
    """Policies are checked against them without loading a rule."""
    assert load(weights=False)[name].labels == RULES[name].labels


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("card 4242 4242 4242 4242", "a test number that documentation prints"),
        ("IBAN DE89 3704 0044 0532 0130 00", "a test number that documentation prints"),
        ("write to name@example.com", "an address of documentation or of nobody"),
        ("ping 8.8.8.8", "a public resolver"),
    ],
)
def test_says_why_a_specimen_is_left_alone(text: str, reason: str) -> None:
    assert pii.RULE.find(text) == {}
    assert list(pii.RULE.spared(text).values()) == [reason]


def test_overlapping_finds_are_one() -> None:
    assert united([RuleFinding(5, 9, "b", 0.4), RuleFinding(0, 6, "a", 0.9), RuleFinding(9, 12, "c", 0.3)]) == {
        Span(0, 9, "a"): 0.9,
        Span(9, 12, "c"): 0.3,
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("E-Mail: jürgen.weiß@gärtnerei-nord.de", ["email"]),
        ("mail: o'rourke.p@dublinworks.ie", ["email"]),
        ("我的邮箱是anna@kontor.de", ["email"]),
        ("ssn=219095837", ["us_ssn"]),
        ("social: 612 45 8391", ["us_ssn"]),
        ("part 219095837", []),
        ("Mobil: 0176 48291034", ["phone"]),
        ("Phone: +1 (555) 010-0199", []),
    ],
)
def test_personal_data_as_people_write_it(text: str, found: list[str]) -> None:
    detector = RuleDetector(shipped()["pii"], pii.RULE)
    [judgement] = detector.detect([Text(text, "prompt")])
    assert [span.label for verdict in judgement.verdicts for span in verdict.spans] == found


def test_an_address_begins_with_a_plain_letter() -> None:
    """Another one may belong to the word before, and is left alone."""
    assert pii.RULE.find("ñjane@corp.io").keys() == {Span(1, 13, "email")}
