"""The door to Redis: one client, its failures by name, and scripts that Redis runs in one step."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from gateway.stores.breaker import Breaker

__all__ = ["DOWN", "OutOfMemoryError", "ResponseError", "Script", "answer_of", "attempt", "connect"]

DOWN = (RedisError, OSError)  # what a Redis that is away raises
Script = Callable[..., Awaitable[Any]]  # takes `keys` and `args`
_T = TypeVar("_T")


def connect(url: str, answer_seconds: float) -> Redis:
    """A client that waits `answer_seconds` at most and tries nothing twice: a breaker decides when to try again.

    Raises ValueError when the URL is none.
    """
    return Redis.from_url(
        url,
        protocol=2,
        socket_timeout=answer_seconds,
        socket_connect_timeout=answer_seconds,
        retry=Retry(NoBackoff(), 0),
        client_name="assay",
    )


async def attempt(breaker: Breaker, work: Awaitable[_T]) -> _T | None:
    """None when Redis fails; the breaker knows then."""
    try:
        done = await work
    except DOWN as error:
        breaker.failed(error)
        return None
    breaker.answered()
    return done


async def answer_of(request: Awaitable[Any]) -> Any:
    """What Redis answers. The client waits with `asyncio.wait_for`, which in Python 3.11 swallows a cancellation that
    comes together with the answer: it is raised here after all."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    answer = await request
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
    return answer
