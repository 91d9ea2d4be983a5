"""JSON inside texts is read without its escapes, wherever it stands, and cut where it was written."""

import json

import pytest

from gateway.openai_api.bodies import texts

SECRET = "AKIA42"
ESCAPED = "".join(f"\\u{ord(letter):04x}" for letter in SECRET)
OBJECT = f'{{"key": "{ESCAPED}"}}'
FENCED = f"Here:\n```json\n{OBJECT}\n```\nDone \\n as written."
INSIDE = {
    "an object": OBJECT,
    "in a fence": FENCED,
    "in prose": f'It says {OBJECT}, in "C:\\new".',
    "in an object": json.dumps({"said": OBJECT}),
    "a fence in an object": json.dumps({"said": FENCED}),
    "prose in an object": json.dumps({"said": f"see {OBJECT} there"}),
    "a string of a string": json.dumps(json.dumps(OBJECT)),
    "a fence in a list in an object": json.dumps({"a": json.dumps([FENCED])}),
}


@pytest.mark.parametrize("where", INSIDE)
def test_escapes_are_undone_and_cuts_go_back_over_what_was_written(where: str) -> None:
    text = INSIDE[where]
    written = texts.read(text)
    assert written is not None
    at = written.text.index(SECRET)
    cut = texts.cut_out(text, written.put_back([(at, at + len(SECRET), "key")]))
    assert "[REDACTED:key]" in cut
    assert cut.replace("[REDACTED:key]", "") == text.replace(_as_written(text), "")
    if texts.is_valid(text):
        assert texts.is_valid(cut)


def _as_written(text: str) -> str:
    """The secret as it stands there: behind each level of strings its backslashes are doubled."""
    escaped = ESCAPED
    while escaped not in text or "\\" + escaped in text:
        escaped = escaped.replace("\\", "\\\\")
    return escaped


@pytest.mark.parametrize("text", ["C:\\new\\table", 'say "C:\\new" now', "a \\u00e9 without quotes", "```\nx\\n\n```"])
def test_backslashes_of_anything_else_stay(text: str) -> None:
    assert texts.read(text) is None
