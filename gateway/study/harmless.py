"""False-alarm tables of the operator's own detectors, measured on harmless texts."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import msgspec

from detectors.base import Role, State, Text
from detectors.own import building
from detectors.own.specs import OwnDetectors
from detectors.panel import Panel, Question
from gateway.config.settings import Config
from gateway.opinions.calibration import Head, Local, false_alarm_table
from gateway.own_detectors.asking import heard_of

ROLES: tuple[Role, ...] = ("prompt", "response")
_BATCH = 64


class _Line(msgspec.Struct):
    text: str
    role: Role | None = None
    context: str | None = None


def read_harmless(path: Path) -> list[Text]:
    """Reads JSON lines with `text` and, optionally, `role` and `context`, or plain lines with one text each.

    A text without a role counts for both sides. Raises ValueError with file and line.
    """
    texts: list[Text] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                texts += _texts(line.strip(), f"{path}:{number}")
    if not texts:
        raise ValueError(f"{path}: there is no text in it")
    return texts


def _texts(line: bytes, where: str) -> list[Text]:
    try:
        found = msgspec.json.decode(line, type=_Line) if line.startswith(b"{") else _Line(line.decode())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{where}: {error}") from None
    return [Text(found.text, role, found.context) for role in ([found.role] if found.role else ROLES)]


def measured(
    texts: Sequence[Text],
    own: OwnDetectors,
    names: Collection[str],
    config: Config,
    step: Callable[[int], object] = int,
) -> list[Local]:
    """The table of each head of the named detectors. Raises ValueError if one of them cannot be loaded or does not
    answer. A text that a detector does not judge is left out of its tables.
    """
    scores: dict[Head, list[float]] = defaultdict(list)
    absent: dict[str, str] = {}
    chosen = msgspec.structs.replace(own, specs=tuple(spec for spec in own.specs if spec.name in names))
    panel = Panel(list(building.built(chosen, absent)))
    for name, why in absent.items():
        raise ValueError(f"detectors.{name}: {why}")
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        for text, answer in zip(batch, panel.ask([Question(text) for text in batch]), strict=True):
            for opinion in answer.opinions:
                scores[opinion.detector, opinion.slug, text.role].append(opinion.score)
        step(len(batch))
    for detector, heard in heard_of(config, chosen, texts).items():
        for text, each in zip(texts, heard, strict=True):
            if each.why and each.state != State.TRUNCATED.value:
                raise ValueError(f"detectors.{detector.partition('@')[0]}: {each.why}")
            for verdict in each.judgement.verdicts if each.judgement else ():
                scores[detector, verdict.slug, text.role].append(verdict.score)
    heads = sorted((spec.id, slug, role) for spec in chosen.specs for slug, role in spec.heads())
    least = {spec.id: spec.flag_score for spec in chosen.specs}
    return [table_of(head, scores[head], least[head[0]]) for head in heads]


def table_of(head: Head, scores: Sequence[float], flag_score: float) -> Local:
    """The false-alarm table of a head, from its scores of harmless texts.

    A threshold that no text reaches is at least `flag_score`; if all texts score 0 it would otherwise be almost 0.
    """
    highest = max(scores, default=0.0)
    found = false_alarm_table([(score, 1.0) for score in scores])
    rows = tuple((rate, max(score, flag_score) if score > highest else score) for rate, score in found)
    return Local(
        *head,
        source="texts",
        labels=len(scores),
        harmless=float(len(scores)),
        harmful=0.0,
        true_positive_rate=None,
        false_positive_rate=None,
        rows=rows,
        local_rates=tuple(rate for rate, _ in rows),
    )
