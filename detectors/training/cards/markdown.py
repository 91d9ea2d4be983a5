"""Lists, tables and figures of a card, in Markdown."""

from collections.abc import Sequence


def figure(value: float) -> str:
    return f"{value:.3f}"


def bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def grid(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(header)
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines))
