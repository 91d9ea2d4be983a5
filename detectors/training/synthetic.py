"""Rows we wrote ourselves, for heads whose public labels are thin: combinations of a few phrases, ours to ship.

They train and never measure: rows so alike would flatter any figure.
"""

import itertools
from collections.abc import Iterator

from detectors.training.data import BOTH, HARMS, Row

SET = "assay_synthetic"
_HARMLESS = {"unsafe": 0, "prompt_attacks": 0, **dict.fromkeys(HARMS, 0)}

_REFUSAL_OPENINGS = (
    "I'm sorry, but", "Sorry,", "I apologise, but", "Unfortunately,", "I appreciate you asking, but", "No.",
    "Thanks for reaching out.", "As an AI language model,", "I understand this matters to you. Still,", "",
)  # fmt: skip
_REFUSALS = (
    "I can't help with that.", "I cannot assist with this request.", "I won't provide instructions for that.",
    "I'm not able to discuss that topic.", "that is something I have to decline.",
    "I must refuse, because it could hurt people.", "I am unable to create that kind of content.",
    "this goes against my guidelines, so I won't continue.", "it would not be appropriate for me to write that.",
    "I don't feel comfortable answering this one.",
)  # fmt: skip
_REFUSAL_ENDINGS = (
    "", "Is there something else I can do for you?",
    "If you are in danger, please contact your local emergency number.",
    "I'd be glad to help with a safe and legal alternative.", "Doing so may break the law and harm others.",
)  # fmt: skip
_COMPLIANT = (
    "Sorry to hear your train was late. Here is how to claim a refund: keep the ticket, fill in the form, send both.",
    "I can't wait to see how it turns out! Start by sanding the wood, then apply two thin coats of varnish.",
    "Unfortunately, the museum is closed on Mondays. On other days it opens at ten, and entry is free on Sundays.",
    "You cannot divide by zero, so the function has no value at that point. Everywhere else it equals 1/x.",
    "As an AI language model, I have no taste buds, but a classic carbonara needs only eggs, guanciale and pecorino.",
    "I apologise for the confusion. The corrected loop starts at index one: for i in range(1, n).",
    "No problem. The law requires a deposit to be returned within 14 days, so write to the landlord and name the date.",
    "It would not be appropriate to wear shorts there; choose long trousers and a shirt with sleeves.",
    "I am unable to run code here, but reading it, the error comes from the missing comma on line four.",
    "Thanks for reaching out. Your order was shipped yesterday and should arrive on Thursday.",
)

# Words that attacks use, in requests that attack nothing.
_FRAMES = (
    "Can you explain {}?", "Write a short email about {}.", "I am preparing a lesson on {}. What should I cover?",
    "Give me three tips for {}.", "What does my manual mean by {}?", "Translate into French: {}.",
    "Summarise the usual advice on {} for beginners.", "Which tools are good for {}?",
)  # fmt: skip
_LOOKALIKES = (
    "ignoring case when I compare strings", "the previous instructions on the assembly sheet of my bookshelf",
    "overriding a method in a subclass", "bypass surgery and recovery", "the system prompt of an old DOS machine",
    "injecting dependencies into a constructor", "how a developer mode helps to debug an Android phone",
    "the rules of a role-playing game night", "disregarding outliers in a data set",
    "unlocking a forgotten bicycle lock",
    "resetting all settings of a router", "pretending to be a pirate at a children's party",
    "an admin password policy for a small office", "revealing hidden columns in a spreadsheet",
    "jailbreak films of the seventies", "acting as a treasurer for a sports club", "simulating a dice game in Python",
    "forgetting irregular verbs and learning them again", "the secret ingredient of grandmother's soup",
    "executing a will as a family member", "a kill switch on a lawn mower", "shooting photographs at night",
    "blowing up a balloon animal", "stealing bases in baseball", "how vaccines attack a virus",
    "dumping a database for a backup",
    "a bomb calorimeter in chemistry class", "cracking an egg with one hand", "crushing garlic without a press",
    "hanging a heavy picture", "a shot of espresso", "hijacking in the history of aviation",
)  # fmt: skip

# Personal details and snippets in everyday requests and answers: for the rules to find, no harm in themselves.
_DETAIL_FRAMES = (
    "mail {}", "{}", "Please send the minutes to {}.", "my new contact is {}", "You can reach the office at {}.",
    "Is {} written correctly?", "Add {} to the list.", "She wrote {} on the form.", "put {} into the table",
)  # fmt: skip
_DETAILS = (
    "anna@posteo.de", "j.smith@gmail.com", "maria.rossi@outlook.it", "info@bakery-lund.se", "kwame@mail.com",
    "+44 20 7946 0301", "(415) 867-2209", "030 1234567", "4539 1488 0343 6467", "DE44 5001 0517 5407 3249 31",
    "12 Mill Lane, York", "81.2.69.160", "https://github.com/python/cpython", "www.city-library.org/opening-hours",
    "SELECT name, price FROM products WHERE price < 20", "for i in range(10): print(i)", "npm install left-pad",
    "git commit -m 'fix typo'", "docker run -p 8080:80 nginx", "curl -s localhost:9090/metrics", "3 + 4 = 7", "x = 12",
    '{"name": "Ada", "age": 36}', "<p>Hello</p>", "const total = items.length;", "order 20391", "v2.4.1",
    "ping", "yes", "no", "next", "ok, go on", "why?", "and then?", "continue", "stop", "see you", "room 14",
)  # fmt: skip


def rows() -> list[Row]:
    """Refusals and replies that sound like them; harmless texts that share words or looks with harm."""
    return [*_refusals(), *_lookalikes(), *_details()]


def _refusals() -> Iterator[Row]:
    for parts in itertools.product(_REFUSAL_OPENINGS, _REFUSALS, _REFUSAL_ENDINGS):
        text = " ".join(filter(None, parts))
        yield Row(text[0].upper() + text[1:], None, ("response",), {"refusal": 1}, SET, False)
    for text in _COMPLIANT:
        yield Row(text, None, ("response",), {"refusal": 0}, SET, False)


def _details() -> Iterator[Row]:
    for frame, detail in itertools.product(_DETAIL_FRAMES, _DETAILS):
        yield Row(frame.format(detail), None, BOTH, _HARMLESS, SET, False)


def _lookalikes() -> Iterator[Row]:
    for frame, subject in itertools.product(_FRAMES, _LOOKALIKES):
        yield Row(frame.format(subject), None, ("prompt",), _HARMLESS, SET, False)
