"""The transport of each upstream. Upstreams with the same origin, proxy and protocol share one."""

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import replace

from gateway.exchange import Upstream
from gateway.upstream.http1 import Http1Transport
from gateway.upstream.library import LibraryTransport
from gateway.upstream.transport import Limits, Transport, tls_context

_HTTPS = "https"


class Transports:
    """One transport for each origin and way to it.

    The TLS contexts of the upstreams in `known` are made at the start, because that takes tens of milliseconds; for any
    other upstream, its first call makes them.
    """

    def __init__(self, limits: Limits, known: Iterable[Upstream] = ()) -> None:
        self._limits = limits
        self._tls: dict[bool, ssl.SSLContext] = {}  # without HTTP/2, and with
        self._transports: dict[tuple[str, str | None, bool, float | None], Transport] = {}
        for upstream in known:
            self._contexts(upstream)

    def of(self, upstream: Upstream) -> Transport:
        """The transport of this upstream."""
        key = (upstream.origin, upstream.proxy, upstream.http2, upstream.connect_seconds)
        transport = self._transports.get(key)
        if transport is None:
            transport = self._transports[key] = self._open(upstream)
        return transport

    def counts(self) -> Mapping[str, tuple[int, int]]:
        """Idle and busy connections by origin."""
        found: dict[str, tuple[int, int]] = {}
        for (origin, *_), transport in self._transports.items():
            idle, busy = transport.counts()
            others_idle, others_busy = found.get(origin, (0, 0))
            found[origin] = (idle + others_idle, busy + others_busy)
        return found

    async def close(self) -> None:
        """Drop every connection; answers under way fail."""
        for transport in self._transports.values():
            await transport.close()

    def _open(self, upstream: Upstream) -> Transport:
        tls, proxy_tls = self._contexts(upstream)
        connect_seconds = upstream.connect_seconds or self._limits.connect_seconds
        limits = replace(self._limits, connect_seconds=connect_seconds)
        if upstream.proxy is None and not upstream.http2:
            return Http1Transport(upstream.host, upstream.port, limits, tls=tls)
        return LibraryTransport(
            upstream.scheme,
            upstream.host,
            upstream.port,
            limits,
            tls=tls,
            http2=upstream.http2,
            proxy=upstream.proxy,
            proxy_tls=proxy_tls,
        )

    def _contexts(self, upstream: Upstream) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
        """TLS contexts for the upstream and for its proxy, if they need one. The library writes the offer of HTTP/2
        into them."""
        own = self._context(upstream.http2) if upstream.scheme == _HTTPS else None
        to_proxy = upstream.proxy is not None and upstream.proxy.startswith(_HTTPS)
        return own, self._context(False) if to_proxy else None

    def _context(self, http2: bool) -> ssl.SSLContext:
        if http2 not in self._tls:
            self._tls[http2] = tls_context()
        return self._tls[http2]
