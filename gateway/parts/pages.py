"""The operator's pages of a gateway.      [starlette]"""

from collections.abc import Sequence

from starlette.routing import Route

from detectors.own.specs import OwnDetectors
from gateway.config.settings import Config
from gateway.enforcement.policy_file import PolicyFile
from gateway.opinions.labelling import Review
from gateway.pages.alarms import alarms_route
from gateway.pages.monitors import monitor_routes
from gateway.pages.opinions import judge_route
from gateway.pages.probes import probes_route
from gateway.pages.review import review_routes
from gateway.pages.status import Facts
from gateway.pages.trust import trust_pages
from gateway.parts.clock import wall_clock
from gateway.parts.records import Records
from gateway.parts.telemetry import VERSION
from gateway.trust.watching.watch import Watch


def trust(
    config: Config, policy: PolicyFile, records: Records, watch: Watch, own: OwnDetectors, routes: Sequence[str]
) -> list[Route]:
    """`/trust` and all below it; `routes` are the names of the gateway's routes."""
    facts = Facts(
        VERSION,
        callers_need_a_key=bool(config.keys),
        keeps_texts=config.audit_text,
        workers_judge=config.redis_url is not None,
        routes=tuple(routes),
    )
    reports = records.monitors.reports if records.monitors else None
    more = [alarms_route(watch, reports), *_monitors(records, routes), *_opinions(config, records)]
    return trust_pages(policy, records.audit, records.ledger, facts, more, own.infos())


def _monitors(records: Records, routes: Sequence[str]) -> list[Route]:
    if records.monitors is None:
        return []
    return monitor_routes(records.monitors.reports, frozenset(routes), wall_clock)


def _opinions(config: Config, records: Records) -> list[Route]:
    local_only = not config.keys and not config.allow_without_keys
    review = review_routes(
        Review(records.ledger, wall_clock),
        may_label=config.operator_key is not None or local_only,
        keeps_texts=config.review_text,
    )
    # With Redis it is `assay worker` that asks the judge and makes probes, and its own pages tell of it.
    asks = config.redis_url is None
    judge, probes = (records.opinions.report, records.probes.report) if asks else (lambda: None, lambda: None)
    return [judge_route(judge), probes_route(probes), *review]
