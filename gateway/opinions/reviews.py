"""Draws the judged samples that people are asked about, and keeps their texts if the operator allows it."""

from gateway.opinions.allocation import Allocation, Needed
from gateway.opinions.exhibits import sides_of
from gateway.opinions.texts import Keep
from gateway.trust.drawing import DrawBudget, is_drawn
from gateway.trust.judged import Judged
from gateway.trust.ledger import Ledger
from gateway.trust.second_opinion import Waiting

MOST_CHARACTERS = 20_000  # kept of a side's text


class Reviews:
    """A sink. Draws samples for `reviewers` people each, with `shows_texts` together with their texts. `needed` says
    how much a label of a sample would tell; `keep` stores texts for export."""

    def __init__(
        self,
        ledger: Ledger,
        budget: DrawBudget,
        *,
        reviewers: int = 1,
        shows_texts: bool = False,
        needed: Needed = Allocation().need,
        keep: Keep | None = None,
    ) -> None:
        self._ledger = ledger
        self._budget = budget
        self._reviewers = reviewers
        self._shows_texts = shows_texts
        self._needed = needed
        self._keep = keep

    def take(self, judged: Judged) -> None:
        """Draw a sample with a known probability; if it is drawn, let it wait in the ledger."""
        found = self._needed(judged.scores)
        probability = self._budget.probability(found.value)
        if probability <= 0 or not is_drawn(judged.id, probability):
            return
        texts = kept_texts(judged) if self._shows_texts else {}
        if self._keep and texts:
            self._keep(judged.id, judged.at, texts)
        self._ledger.put(
            Waiting(
                judged.id,
                judged.at,
                "person",
                probability,
                found.reason,
                found.direction,
                found.slug,
                list(texts.items()),
                self._reviewers,
            )
        )


def kept_texts(judged: Judged) -> dict[str, str]:
    """The text of each side, cut at MOST_CHARACTERS."""
    return {side: text[:MOST_CHARACTERS] for side, text in sides_of(judged).items()}
