"""The door to Redis: one client, its failures by name, and scripts that Redis runs in one step.

The library is loaded with the first client: a gateway without Redis does without its eight MiB.
"""

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.stores.breaker import Breaker

if TYPE_CHECKING:
    from redis.asyncio import Redis

Script = Callable[..., Awaitable[Any]]  # takes `keys` and `args`
_T = TypeVar("_T")


class RedisError(Exception):
    """Redis did not do what it was asked for; the message is its own."""


class ResponseError(RedisError):
    """It answered, and refused."""


class OutOfMemoryError(ResponseError):
    """It is as full as its own limit allows."""


DOWN = (RedisError, OSError)  # what a Redis that is away raises


def connect(url: str, answer_seconds: float) -> "Redis":
    """A client that waits `answer_seconds` at most and tries nothing twice: a breaker decides when to try again.

    Raises ValueError for something that is no URL of Redis.
    """
    retry, pause = import_module("redis.asyncio.retry"), import_module("redis.backoff")
    client: Redis = import_module("redis.asyncio").Redis.from_url(
        url,
        protocol=2,
        socket_timeout=answer_seconds,
        socket_connect_timeout=answer_seconds,
        retry=retry.Retry(pause.NoBackoff(), 0),
        client_name="assay",
    )
    return client


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
    """What Redis answers. Raises RedisError and OSError.

    The client waits with `asyncio.wait_for`, which in Python 3.11 swallows a cancellation that comes together with the
    answer: it is raised here after all.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        answer = await request
    except Exception as error:
        if (ours := _ours(error)) is None:
            raise
        raise ours from error
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
    return answer


def _ours(error: Exception) -> RedisError | None:
    """The library's exception by its name here; None for one that is not the library's."""
    theirs = import_module("redis.exceptions")
    for name in (OutOfMemoryError, ResponseError, RedisError):
        if isinstance(error, getattr(theirs, name.__name__)):
            return name(*error.args)
    return None
