"""A detector's verdict on a text in the form in which it is passed between processes, and the strongest of several.

Nothing here loads a model, so the gateway's process can use it.
"""

from collections.abc import Iterable

import msgspec


class Opinion(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A detector's verdict on one text.

    `flagged` is about the default operating point. `spans` are (start, end, label), half-open ranges of code points.
    """

    detector: str
    slug: str
    score: float
    flagged: bool
    spans: list[tuple[int, int, str]]


def strongest(opinions: Iterable[Opinion]) -> dict[str, Opinion]:
    """The opinion with the highest score for each slug; it counts as flagged if any opinion on the slug is."""
    given = list(opinions)
    found = {opinion.slug: opinion for opinion in given}
    if len(found) == len(given):  # the usual case: one opinion for each slug
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
