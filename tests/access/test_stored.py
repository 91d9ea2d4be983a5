"""Whether a list has to be sifted: told in the same time however much is remembered."""

from gateway.access.stored import StoredAnswers
from gateway.exchange import Asked, Exchange, Principal
from tests.support.running.steps import steps


def listing(caller: str) -> Exchange:
    return Exchange("req_1", Asked("GET", "/v1/files"), principal=Principal(caller))


def test_a_list_is_sifted_while_another_key_made_something_of_it() -> None:
    stored = StoredAnswers(entries=3)
    stored.remember("a", "ada", "files")
    stored.remember("b", "bob", "batches")
    assert not stored.sifts(listing("ada"))
    assert stored.sifts(listing("bob"))
    stored.remember("c", "bob", "files")
    assert stored.sifts(listing("ada"))
    for id in "def":
        stored.remember(id, "ada", "files")  # and what bob made is forgotten
    assert not stored.sifts(listing("ada"))
    assert stored.sifts(listing("bob"))


def test_it_takes_no_longer_the_more_is_remembered() -> None:
    costs = []
    for number in (10, 3_000):
        stored = StoredAnswers()
        for id in range(number):
            stored.remember(f"file-{id}", "ada", "files")
        costs.append(steps(lambda: stored.sifts(listing("ada"))))  # noqa: B023 - called at once
    assert costs[0] == costs[1]
