"""The stages of the request path that have bounds of their own."""

from collections.abc import Sequence

from gateway.config.settings import Config
from gateway.delivery.budget import MemoryBudget
from gateway.delivery.tap import Tap
from gateway.enforcement.guard import Guard
from gateway.enforcement.policy_file import PolicyFile
from gateway.judging.client import Judging
from gateway.moderation.moderations import Moderation
from gateway.parts.detectors import Detectors
from gateway.samples.sampling import Sampler
from gateway.serving.bodies import Bodies, BodyBounds
from gateway.telemetry.audit import Audit
from gateway.upstream.headers import HeaderFilter


def bodies(config: Config) -> Bodies:
    return Bodies(BodyBounds(config.max_body_bytes, config.max_bodies_bytes, config.body_timeout_seconds))


def guard(config: Config, policy: PolicyFile, judging: Judging, audit: Audit, routes: Sequence[str]) -> Guard:
    forwards = HeaderFilter(config.forward_headers).passes
    seconds = config.guard_timeout_seconds
    return Guard(policy.current, judging, audit, timeout_seconds=seconds, routes=routes, forwards=forwards)


def moderation(config: Config, detectors: Detectors, judging: Judging) -> Moderation | None:
    """None where this process judges nothing: then moderations are forwarded."""
    if not detectors.are_wanted:
        return None
    return Moderation(judging, held_seconds=config.guard_timeout_seconds, held_bytes=config.max_answer_bytes)


def tap(config: Config, inspecting: Guard, sampler: Sampler) -> Tap:
    return Tap(
        inspecting,
        sample_bytes=config.sample_bytes,
        held_bytes=config.max_answer_bytes,
        budget=MemoryBudget(config.max_answers_bytes),
        window_characters=config.stream_window_chars,
        ping_seconds=config.ping_seconds,
        observed=sampler.insist,
    )
