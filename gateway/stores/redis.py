"""The only place that uses the Redis library: its client, and its failures under names of our own.

The library is loaded with the first client: a gateway without Redis saves its eight MiB.
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
    """Redis did not do what it was asked to do; the message is its own."""


class ResponseError(RedisError):
    """Redis answered with an error."""


class OutOfMemoryError(ResponseError):
    """Redis is as full as its own limit allows."""


DOWN = (RedisError, OSError)  # what is raised when Redis cannot be used


def connect(url: str, answer_seconds: float) -> "Redis":
    """A client that waits at most `answer_seconds` and never tries again by itself: a breaker decides about that.

    Raises ValueError for something that is not a Redis URL.
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
    """The result of `work`, or None when Redis fails. The breaker is told either way."""
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
    answer: then the cancellation is raised here.
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
    """The library's exception as ours of the same name; None for one that is not the library's."""
    theirs = import_module("redis.exceptions")
    for name in (OutOfMemoryError, ResponseError, RedisError):
        if isinstance(error, getattr(theirs, name.__name__)):
            return name(*error.args)
    return None
