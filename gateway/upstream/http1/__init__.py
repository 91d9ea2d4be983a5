"""HTTP/1.1 to upstreams, on asyncio and httptools: connections, responses, and the pool.

It is our own code because a library's client costs more than all the rest of the gateway: with httpx's own pool a core
forwards some hundred requests a second, with this some ten thousand (`make bench`). It promises what the request
path needs: one wake-up for a small answer, connections back in the pool with an answer's last byte, back-pressure
both ways, cancellation at any await without a leaked connection, and a named reason for every failure.
"""

from gateway.upstream.http1.pool import Http1Transport
from gateway.upstream.http1.response import Http1Response

__all__ = ["Http1Response", "Http1Transport"]
