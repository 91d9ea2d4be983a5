"""The policy in force, with the false alarms that each of its thresholds costs, as JSON."""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from detectors import manifest
from gateway.enforcement.policy_file import PolicyFile, described
from gateway.telemetry import metrics


def policy_route(policy: PolicyFile) -> Route:
    """`/trust/v1/policy`."""

    async def in_force(_: Request) -> Response:
        return JSONResponse(policy_in_force(policy))

    return Route("/trust/v1/policy", in_force)


def policy_in_force(file: PolicyFile) -> dict[str, Any]:
    """The policy with its rules; `refused` says why the newest state of its file is not in force, if it is not."""
    about = described(file)
    for rule in about["rules"]:
        rule["thresholds"] = [{**cost(threshold, _infos()), **threshold} for threshold in rule["thresholds"]]
    return {**about, "warnings": list(file.current.warnings), "refused": file.refusal}


class Costs:
    """The false alarms of the thresholds in force, as metrics; `read` updates them after a change."""

    def __init__(self, policy: PolicyFile) -> None:
        self._policy = policy
        self._revision = ""
        self._shown: set[tuple[str, str, str]] = set()

    def read(self) -> None:
        if self._policy.current.revision == self._revision:
            return
        self._revision = self._policy.current.revision
        costs = _costs(policy_in_force(self._policy))
        for labels in self._shown - costs.keys():
            metrics.POLICY_FALSE_ALARMS.labels(*labels).set(math.nan)
        for labels, share in costs.items():
            metrics.POLICY_FALSE_ALARMS.labels(*labels).set(share)
        self._shown = set(costs)


def _costs(in_force: Mapping[str, Any]) -> dict[tuple[str, str, str], float]:
    """The share of false alarms by rule, sub-category and direction; of several thresholds the one with the most."""
    found: dict[tuple[str, str, str], float] = {}
    for rule in in_force["rules"]:
        for each in rule["thresholds"]:
            labels = (rule["id"], each["subcategory"], each["direction"])
            if each["false_alarms"] is not None:
                found[labels] = max(each["false_alarms"], found.get(labels, 0.0))
    return found


@cache  # the files ship with the release
def _infos() -> Mapping[str, manifest.DetectorInfo]:
    infos = manifest.load(weights=False)
    return {**infos, **{info.id: info for info in infos.values()}}


def cost(threshold: Mapping[str, Any], infos: Mapping[str, manifest.DetectorInfo]) -> dict[str, Any]:
    """`false_alarms`: at most this share of benign texts reaches the score; None where the table does not go so low.
    `rows`: the number of benign texts from which the table was made."""
    info = infos.get(threshold["table"])
    key = (threshold["subcategory"], threshold["direction"])
    if info is None or key not in info.operating:
        return {"false_alarms": None, "rows": 0}
    fitting = [rate for rate, score in info.operating[key] if score <= threshold["score"] + 1e-9]
    return {"false_alarms": min(fitting, default=None), "rows": info.benign_rows.get(key, 0)}
