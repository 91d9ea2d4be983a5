"""Sends one request to one upstream, up to the head of its answer: again after a stale connection or a redirect."""

import asyncio
from collections.abc import AsyncIterator

from gateway.errors import UpstreamError
from gateway.upstream.outgoing import Target
from gateway.upstream.redirects import MOST_REDIRECTS, redirected
from gateway.upstream.transport import Response


async def ask(target: Target, head: bytes, body: bytes, head_only: bool, fresh: bool) -> Response:
    """Send a request and wait for the head of its answer; sent again if a used connection was stale."""
    answer = await target.transport.request(head, body, head_only=head_only, fresh=fresh, limits=target.limits)
    try:
        await answer.head()
    except UpstreamError as error:
        if not answer.reused or error.reason != "reset":
            raise
        # The server closed an idle connection just when it was used, so it never saw the request.
        return await ask(target, head, body, head_only, True)
    except asyncio.CancelledError:
        answer.abort()
        raise
    return answer


async def followed(answer: Response, target: Target, head: bytes, body: bytes, head_only: bool) -> Response:
    """Follow redirects that stay with the upstream; returns the last answer."""
    for hops in range(MOST_REDIRECTS + 1):
        asked_for = head.split(b" ", 2)[1]
        there = _leads_to(answer, target, asked_for)
        if there is None:
            return answer
        answer.abort()
        if hops < MOST_REDIRECTS:
            head = head.replace(asked_for, there, 1)
            answer = await ask(target, head, body, head_only, False)
    raise UpstreamError("bad_response", f"the upstream redirected the request more than {MOST_REDIRECTS} times")


def _leads_to(answer: Response, target: Target, asked_for: bytes) -> bytes | None:
    try:
        return redirected(answer.status, answer.headers, target.upstream, asked_for)
    except UpstreamError:
        answer.abort()
        raise


async def uploaded(target: Target, head: bytes, body: AsyncIterator[bytes], head_only: bool, chunked: bool) -> Response:
    """Send a request whose body is passed on as it comes, and wait for the head of its answer."""
    answer = await target.transport.request(
        head, None, head_only=head_only, fresh=True, chunked=chunked, limits=target.limits
    )
    try:
        await _head_while_sending(answer, body)
    except BaseException:
        answer.abort()
        raise
    if _leads_to(answer, target, b"/") is not None:
        answer.abort()
        raise UpstreamError("bad_response", "the upstream redirects an upload, which is not sent again")
    return answer


async def _head_while_sending(answer: Response, body: AsyncIterator[bytes]) -> None:
    """Send the body and wait for the head of the answer. If the head comes first, it is most likely a refusal, and the
    rest of the body is not sent. Raises what either of them raises."""
    loop = asyncio.get_running_loop()
    head, sending = loop.create_task(answer.head()), loop.create_task(_send(answer, body))
    try:
        await asyncio.wait((head, sending), return_when=asyncio.FIRST_COMPLETED)
        if not head.done():
            await sending
        await head
    finally:
        for task in (head, sending):
            task.cancel()
        await asyncio.gather(head, sending, return_exceptions=True)


async def _send(answer: Response, body: AsyncIterator[bytes]) -> None:
    async for piece in body:
        if answer.settled:
            return
        await answer.send(piece)
    answer.sent()
