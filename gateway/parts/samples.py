"""The queue in which samples wait, the sampler, and the worker that judges samples."""

import os
import time
from collections.abc import Callable, Iterable, Sequence

from gateway.config.settings import Config, ConfigError
from gateway.enforcement.policy_file import PolicyFile
from gateway.exchange import SampleQueue
from gateway.parts.clock import wall_clock
from gateway.parts.detectors import Detectors, NoDetectors
from gateway.samples.memory_queue import MemoryQueue
from gateway.samples.pace import Pace
from gateway.samples.redis_queue import RedisQueue
from gateway.samples.sampling import Sampler
from gateway.telemetry import metrics
from gateway.telemetry.processes import children_seconds
from gateway.trust.judged import Sink
from gateway.worker import Worker


def queue(config: Config) -> SampleQueue:
    """A queue in memory or, with `redis_url`, in Redis for `assay worker`."""
    if config.redis_url is None:
        return MemoryQueue(config.queue_items, config.queue_bytes)
    return redis_queue(config, config.redis_url.get_secret_value())


def redis_queue(config: Config, url: str) -> RedisQueue:
    """Raises ConfigError for something that is not a Redis URL."""
    try:
        return RedisQueue(
            url,
            config.queue_items,
            config.queue_bytes,
            on_fate=lambda fate, reason, samples: metrics.tally(metrics.SAMPLES, fate, reason).add(samples),
        )
    except ValueError as error:  # for instance a port that is not a number, or an unknown option
        raise ConfigError([f"redis_url: {error}; write it as redis://[:password@]host[:port]/0"]) from None


def redis_is_up(waiting: SampleQueue) -> Callable[[], bool] | None:
    """None where samples wait in memory."""
    return (lambda: waiting.is_up) if isinstance(waiting, RedisQueue) else None


def show_depth(waiting: SampleQueue) -> None:
    """Set the gauges."""
    items, size = waiting.depth()
    metrics.QUEUE_ITEMS.set(items)
    metrics.QUEUE_BYTES.set(size)


def sampler(config: Config, pids: Callable[[], Iterable[int]]) -> Sampler:
    """`pids` gives the processes whose processor time counts: those of the detectors and of the monitors."""
    return Sampler(enabled=config.judges_texts, pace=_pace(config, pids))


def _pace(config: Config, pids: Callable[[], Iterable[int]]) -> Pace | None:
    """Each of the gateway's processes gets an equal part of the budget."""
    samples, share = config.samples_per_second, config.sample_cpu_share
    if samples is None and share is None:
        metrics.SAMPLING_SHARE.set(1.0)
        return None
    return Pace(
        samples and samples / config.workers,
        share and share * len(os.sched_getaffinity(0)) / config.workers,
        cpu_seconds=lambda: children_seconds(pids()),
        clock=time.monotonic,
    )


def worker(
    config: Config, waiting: SampleQueue, detectors: Detectors, sinks: Sequence[Sink], policy: PolicyFile
) -> Worker:
    """The worker that takes samples out of the queue, judges them and hands them to the sinks."""
    assert not isinstance(detectors.judging, NoDetectors)
    return Worker(
        waiting,
        detectors.judging,
        sinks,
        policy=lambda: policy.current,
        expiry_seconds=config.sample_expiry_seconds,
        wall_clock=wall_clock,
    )
