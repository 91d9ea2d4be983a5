"""A whole dashboard in Grafana's classic JSON: its rows, its variables, and the links to the others."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana.panels import DATASOURCE, Json, Row, lay_out

TAG = "assay"


@dataclass(frozen=True, slots=True)
class Board:
    """`uid` stays for ever: links and bookmarks name it. `variables` come from `choice`."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[Json] = ()
    refresh: str = "30s"
    since: str = "now-1h"


def choice(name: str, label: str, metric: str, *, many: bool = True) -> Json:
    """A variable whose values are those of the label `name` of `metric`; one of them, or as many as are wanted."""
    query = f"label_values({metric}, {name})"
    variable: Json = {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": many,
        "includeAll": many,
    }
    return variable | ({"current": {"selected": True, "text": ["All"], "value": ["$__all"]}} if many else {})


def dashboard(board: Board) -> Json:
    """Schema 39."""
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.description,
        "tags": [TAG],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": board.refresh,
        "time": {"from": board.since, "to": "now"},
        "timezone": "browser",
        "links": [_LINKS],
        "annotations": {"list": [_POLICY_CHANGES]},
        "templating": {"list": [_SOURCE, *board.variables]},
        "panels": lay_out(board.rows),
    }


# The other dashboards, whichever there are, with the time and the variables chosen here.
_LINKS: Json = {
    "type": "dashboards",
    "title": "Assay",
    "tags": [TAG],
    "asDropdown": False,
    "includeVars": True,
    "keepTime": True,
    "targetBlank": False,
}
_SOURCE: Json = {
    "name": "DS_PROMETHEUS",
    "label": "Data source",
    "type": "datasource",
    "query": "prometheus",
    "current": {},
    "refresh": 1,
}
_POLICY_CHANGES: Json = {
    "name": "New policy revision",
    "datasource": DATASOURCE,
    "enable": True,
    "iconColor": "purple",
    "expr": "max by (revision) (assay_policy_info == 1) unless max by (revision) (assay_policy_info offset 5m == 1)",
    "step": "60s",
    "titleFormat": "Policy {{revision}}",
}
