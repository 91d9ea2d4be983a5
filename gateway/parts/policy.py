"""The policy file that the configuration names, and whether this process can enforce its policy."""

from collections.abc import Callable, Iterable

from detectors.own.specs import OwnDetectors
from gateway.config.routes import route_policies
from gateway.config.settings import Config
from gateway.enforcement.guard import Guard
from gateway.enforcement.local_tables import local_tables_of
from gateway.enforcement.policy_file import AdoptionError, PolicyFile
from gateway.enforcement.signals import SHIPPED
from gateway.parts.clock import wall_clock
from policies.engine import Policy


def policy_file(
    config: Config, own: OwnDetectors, *, targets: Iterable[str] = (), routes: Iterable[str] = ()
) -> PolicyFile:
    """`targets` and `routes` are the names that rules may use; if there are none, rules may use any."""
    return PolicyFile(
        config.policy,
        wall_clock=wall_clock,
        targets=targets,
        routes=routes,
        own=route_policies(config),
        local=local_tables_of(config),
        detectors=own.infos(),
    )


def enforces(policy: Policy) -> bool:
    """Whether a policy can change or stop an exchange."""
    return any(rule.enforced for rule in policy.rules)


def may_enforce(config: Config, policy: Policy) -> bool:
    """Whether the policy enforces, or may do so after its file changes; shipped policies do not change."""
    sources = (config.policy, *route_policies(config).values())
    return not set(SHIPPED).issuperset(sources) or enforces(policy)


def adopting(guard: Guard, *, judges: bool) -> Callable[[Policy], None]:
    """A function that hands a new policy to the guard. One that enforces is refused unless this process `judges`."""

    def adopt(policy: Policy) -> None:
        if enforces(policy) and not judges:
            raise AdoptionError("it enforces, but this gateway runs without detectors; restart it with them")
        guard.adopt(policy)

    return adopt
