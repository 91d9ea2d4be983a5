"""The dashboard files as tests and the plot command read them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[3]
DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """One query of a panel: where it stands, and its expression with Grafana's variables still in it."""

    panel: str
    ref: str
    expr: str
    legend: str

    def ask(self, variables: Mapping[str, str]) -> str:
        """The expression with every `$name` replaced."""
        expr = self.expr
        # Longest first: $__range_s begins with $__range.
        for name in sorted(variables, key=len, reverse=True):
            expr = expr.replace("$" + name, variables[name]).replace("${" + name + "}", variables[name])
        return expr


def load(path: Path) -> Json:
    dashboard: Json = msgspec.json.decode(path.read_bytes())
    return dashboard


def panels(dashboard: Json) -> Iterator[Json]:
    """Every panel, row headings and the panels inside collapsed rows too."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def questions(dashboard: Json) -> Iterator[Question]:
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            yield Question(panel["title"], target["refId"], target["expr"], target["legendFormat"])
