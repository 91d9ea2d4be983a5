"""A text that says the same again and again is judged as said once: the networks never saw such texts."""

MOST_WORDS = 40  # of what is repeated
LEAST_TIMES = 3


def said_once(text: str) -> str:
    """What the text repeats three times or more from its beginning to its end, the last time maybe not to the end; else
    the very same text. Looks for up to MOST_WORDS words that are repeated, in time linear in the text."""
    words = text.split()
    period = next((n for n in _periods(words) if words[n:] == words[:-n]), None)
    return text if period is None else " ".join(words[:period])


def _periods(words: list[str]) -> list[int]:
    """The lengths, in words, that can be repeated often enough: the text must begin anew after each."""
    longest = min(MOST_WORDS, len(words) // LEAST_TIMES)
    return [n for n in range(1, longest + 1) if words[n] == words[0]]
