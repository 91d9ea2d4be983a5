"""What a detector says of a text in the form that is passed on, and the strongest opinion on each sub-category.

Nothing here loads a model: the gateway's process, which holds none, uses it as well.
"""

from collections.abc import Iterable

import msgspec


class Opinion(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A detector's verdict on one text.

    `flagged` at its default operating point. `spans` are (start, end, label), half-open ranges of code points.
    """

    detector: str
    slug: str
    score: float
    flagged: bool
    spans: list[tuple[int, int, str]]


def strongest(opinions: Iterable[Opinion]) -> dict[str, Opinion]:
    """By slug the opinion with the highest score; it counts as flagged when any opinion on the slug is."""
    given = list(opinions)
    found = {opinion.slug: opinion for opinion in given}
    if len(found) == len(given):  # the rule: a detector for each slug, and one text
        return found
    found = {}
    for opinion in given:
        kept = found.get(opinion.slug)
        if kept is None:
            found[opinion.slug] = opinion
            continue
        best = opinion if opinion.score > kept.score else kept
        flagged = opinion.flagged or kept.flagged
        found[opinion.slug] = best if best.flagged == flagged else msgspec.structs.replace(best, flagged=flagged)
    return found
