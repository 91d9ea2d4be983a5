"""What a judge or a person is shown of a judged sample: the texts that the detectors judged, joined to one a side."""

from detectors.base import Text
from gateway.trust.judged import DIRECTIONS, Direction, Judged


def sides_of(judged: Judged) -> dict[Direction, str]:
    """The texts of each side in their order, separated by empty lines; a side without text is left out."""
    texts = judged.texts()
    sides: dict[Direction, list[str]] = {direction: [] for direction in DIRECTIONS}
    for finding in judged.findings:
        text = texts.get((finding.direction, tuple(finding.path)))
        for direction in DIRECTIONS:
            if text and direction == finding.direction:
                sides[direction].append(text)
    return {direction: "\n\n".join(parts) for direction, parts in sides.items() if parts}


def texts_of(judged: Judged) -> list[Text]:
    """Each side as a text to judge; the prompt is the context of the response."""
    sides = sides_of(judged)
    return [
        Text(text, direction, sides.get("prompt") if direction == "response" else None)
        for direction, text in sides.items()
    ]
