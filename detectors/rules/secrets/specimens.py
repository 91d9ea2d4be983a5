"""Values that stand in documentation in place of a secret: why each is left alone.

Test values that everybody knows are kept as digests, so that no scanner takes this file for a leak.
"""

import re
from collections import Counter
from hashlib import sha256

from detectors.rules.secrets.values import is_sequence

PLACEHOLDER = "a placeholder"
KNOWN_PASSWORD = "a password that examples use"

# The first sixteen hexadecimal digits of the SHA-256 of values that providers print in their documentation.
_KNOWN = {
    "53f5da0aaa93d64c": "an example of RFC 6749",
    "e9974c507d2a8021": "an example of RFC 6749",
    "6c96130f130ab0d6": "an example of RFC 6749",
    "00cf4c781dc37003": "an example of RFC 6749",
    "b8e148545b13c78b": "an example of RFC 6750",
    "8d4ef6536dc8895f": "the example of RFC 7519",
    "1a5d44a2dca19669": "the example key of AWS's documentation",
    "78314b11be2e5815": "the example key of AWS's documentation",
    "2cafc0970149a84f": "the test key of Stripe's documentation",
    "f2d6ca16515033e5": "the test key of Stripe's documentation",
    "3543c50b0cb9cea8": "the example token of GitHub's documentation",
    "a4f06cc536ba5f76": "the example token of Slack's documentation",
    "0b5dd075ccdd03c4": "the example token of Telegram's documentation",
    "654b2b06319049d0": "the example token of Telegram's documentation",
    "0011cc25eb432071": "the key of Azure's storage emulator",
    "aa6547439583c3a2": "the key of the Cosmos DB emulator",
    "f5e95c9954635b65": "the test secret of reCAPTCHA's documentation",
    "8be5d113c0871ce1": "the example secret of the format of authenticator keys",
    "bc1a50966c9e6486": "the first account of Hardhat's test network",
    "60a09e4357868c1e": "the first account of Hardhat's test network",
    "f79cd64f9cea2378": "the phrase of Hardhat's test network",
}
_MARKS = (
    "example", "placeholder", "changeme", "change_me", "change-me", "dummy", "redacted", "insert", "sample", "replace",
    "...", "****", "xxxx", "${", "{{", "}}", "<", "deadbeef", "foobar",
    "lorem", "goes-here", "goes_here", "goeshere", "not-a-real", "notareal", "not_a_real", "fake", "mysecret",
    "my_secret", "my-secret", "supersecret", "super-secret", "super_secret", "demo-key", "demo_key", "unit_test",
    "unit-test", "unittest", "for_test", "for-test", "dontuse", "do-not-use", "do_not_use", "todo", "…", "●●", "••",
)  # fmt: skip
PUBLISHED = "a key that is made to be published"
_PUBLISHED = re.compile(r"(?:pk_(?:live|test)|phc|sb_publishable)_|pk\.eyj")  # Stripe, PostHog, Supabase, Mapbox
_YOUR = re.compile(r"(?:^|[^a-z])(?:your|my|the|some|any)[^a-z0-9]+[a-z]|(?:^|[^a-z])your|key[^a-z]?here")
# Words that passwords of examples are made of, alone or joined, with digits and signs behind.
_EXAMPLE_WORDS = """
test testing pass password passwd passphrase passcode pwd pw admin administrator secret secrets demo foo bar baz
qux user username guest root qwerty qwertz letmein dummy fake mock my your some the change this enter insert
default temp none null abc xyz token key api app db database client auth access value string here new old super
hunter tiger scott postgres mysql redis mongo rabbitmq minio minioadmin elastic localhost unit not real and in
same as above below hello world hidden private public login account one two invalid wrong bad good correct horse
battery staple example sample placeholder sk pk a b x y z
"""
_EXAMPLES = re.compile(
    r"(?:\W|_)*(?:(?:"
    + "|".join([r"p[a@4][s5$]{2}w[o0]rd", *sorted(_EXAMPLE_WORDS.split(), key=len, reverse=True)])
    + r")(?:\W|_|\d)*)++",
    re.IGNORECASE,
)
MARKED_WITHIN = 100  # characters: in a longer value a mark may stand by chance
_REPEATED = 0.55  # of a value one character


def reason(value: str) -> str:
    """Why this value is no secret, in words for the operator; empty where nothing says so.

    An empty value says nothing.
    """
    if not value:
        return ""
    lowered = value[:MARKED_WITHIN].lower()
    known = _KNOWN.get(sha256(value.encode("utf-8", "replace")).hexdigest()[:16])
    if known:
        return known
    if lowered.startswith("eyj") and "eyjzdwiioiixmjm0nty3odkw" in lowered:
        return "the example token of jwt.io"
    if "EXAMPLE" in value:
        return "marked as an example"
    if _PUBLISHED.match(lowered):
        return PUBLISHED
    if any(mark in lowered for mark in _MARKS) or _YOUR.search(lowered) or _is_masked(value) or is_sequence(value):
        return PLACEHOLDER
    is_example = len(value) <= 64 and (_EXAMPLES.fullmatch(value) or "password" in lowered)
    return KNOWN_PASSWORD if is_example else ""


def _is_masked(value: str) -> bool:
    """Whether it repeats one character, or so few that it is not random."""
    if len(value) < 8:
        return len(set(value)) <= 2
    (_, most), *_ = Counter(value).most_common(1)
    return most / len(value) >= _REPEATED or len(set(value)) < 5
