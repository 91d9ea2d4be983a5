"""The operator's pages of a gateway.      [starlette]"""

from collections.abc import Sequence

from starlette.routing import Route

from detectors.own.specs import OwnDetectors
from gateway.config.settings import Config
from gateway.enforcement.policy_file import PolicyFile
from gateway.opinions.labelling import Review
from gateway.pages.alarms import alarms_route
from gateway.pages.monitors import monitor_routes
from gateway.pages.outside import judge_route, probes_route
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
    """`/trust` and everything below it; `routes` are the names of the gateway's routes."""
    facts = Facts(
        VERSION,
        callers_need_a_key=bool(config.keys),
        keeps_texts=config.audit_text,
        workers_judge=config.redis_url is not None,
        routes=tuple(routes),
    )
    reports = records.monitors.reports if records.monitors else None
    more = [alarms_route(watch, reports), *_monitors(config, records, routes), *_opinions(config, records)]
    return trust_pages(policy, records.audit, records.ledger, facts, more, own.infos())


def _may_post(config: Config) -> bool:
    """Whether the pages ask for the operator's key, or can be reached from this machine alone."""
    return config.operator_key is not None or not (config.keys or config.allow_without_keys)


def _monitors(config: Config, records: Records, routes: Sequence[str]) -> list[Route]:
    if records.monitors is None:
        return []
    return monitor_routes(records.monitors.reports, frozenset(routes), wall_clock, may_post=_may_post(config))


def _opinions(config: Config, records: Records) -> list[Route]:
    review = review_routes(
        Review(records.ledger, wall_clock), may_post=_may_post(config), keeps_texts=config.review_text
    )
    # With Redis `assay worker` asks the judge and makes probes, and its own pages show them.
    asks = config.redis_url is None
    judge, probes = (records.opinions.report, records.probes.report) if asks else (lambda: None, lambda: None)
    return [judge_route(judge), probes_route(probes), *review]
