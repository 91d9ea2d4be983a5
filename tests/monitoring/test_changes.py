"""Changes that are noticed, and changes that are told."""

import msgspec
import pytest

from gateway.monitoring.changes import MOST_VALUES, Change, ChangeError, Noticed, distinct, told
from tests.support.running.together import together

NOW = 1_000_000.0
ROUTES = frozenset({"chat"})


def body(**fields: object) -> bytes:
    return msgspec.json.encode(fields)


def test_a_first_sight_is_no_change_and_a_new_model_is() -> None:
    found: list[Change] = []
    noticed = Noticed(found.append)
    noticed.notice(1.0, "chat", {"model": "a", "policy": "p1", "system_prompt": ""})
    noticed.notice(2.0, "chat", {"model": "a", "policy": "p1"})
    noticed.notice(3.0, "code", {"model": "b"})
    noticed.notice(4.0, "chat", {"model": "b", "policy": "p1"})
    noticed.notice(5.0, "chat", {"model": "a"})
    assert found == [Change(4.0, "model", "b", "chat")]


def test_what_changes_with_every_request_is_no_change() -> None:
    found: list[Change] = []
    noticed = Noticed(found.append)
    for number in range(500):
        noticed.notice(float(number), "chat", {"system_prompt": f"{number:08x}"})
    assert len(found) == MOST_VALUES - 1


def test_what_two_processes_notice_is_one_change() -> None:
    seen = [Change(9.0, "model", "b", "chat"), Change(5.0, "model", "b", "chat"), Change(6.0, "model", "b", "code")]
    assert distinct(seen) == [Change(5.0, "model", "b", "chat"), Change(6.0, "model", "b", "code")]
    assert len(distinct([Change(0.0, "model", "b"), Change(9_000.0, "model", "b")])) == 2


def test_a_change_that_is_told() -> None:
    assert told(body(kind="deployment", what="v2", route="chat"), NOW, ROUTES) == Change(
        NOW, "deployment", "v2", "chat"
    )
    reference = told(body(kind="reference", at=5.0, until=900.0), NOW, ROUTES)
    assert reference == Change(5.0, "reference", "", "", 900.0)


@together(
    ("posted", "says"),
    [
        (b"not json", "does not describe a change"),
        (b"[]", "does not describe a change"),
        (body(what="x"), "kind"),
        (body(kind="weather", what="rain"), "one of model"),
        (body(kind="detector", what="mine"), "one of model"),
        (body(kind="model", what=" "), "say in a few words"),
        (body(kind="model", what="x", at=NOW + 9_999), "not in the future"),
        (body(kind="model", what="x", at=-1), "Unix seconds"),
        (body(kind="model", what="x", route="none"), "no route"),
        (body(kind="model", what="x", colour="red"), "colour"),
        (body(kind="reference"), "until"),
        (body(kind="reference", at=5.0, until=4.0), "until"),
        (body(kind="reference", at=5.0, until=NOW + 9), "until"),
    ],
)
def test_a_change_that_is_none_is_refused_with_a_reason(posted: bytes, says: str) -> None:
    with pytest.raises(ChangeError, match=says):
        told(posted, NOW, ROUTES)
