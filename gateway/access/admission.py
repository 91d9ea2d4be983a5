"""Who is calling, and whether they may."""

from collections.abc import Container, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from gateway.access.keys import Grant, KeyRing
from gateway.config.settings import is_loopback
from gateway.errors import GatewayError
from gateway.exchange import Principal, Route

_CALLER_HINT = "send a gateway key as `Authorization: Bearer <key>`"
OPERATOR_HINT = "this page asks for the operator's key: send `operator_key` as `Authorization: Bearer <key>`"
ANYONE = Principal("anyone")
# What clients send is remembered within 256 KiB in all.
_REMEMBERED = 1024
_REMEMBERED_BYTES = 256  # of Host and Origin together
_PORTS = {"http": 80, "https": 443}


class Admission:
    """Callers by their key.

    Requests of web pages are admitted from the gateway's own origin and from `origins`. Without any key everyone is
    admitted; `local_only` then refuses a foreign `Host` too, because listening on the loopback address alone does not
    keep out what a web page in a local browser sends. `hint` tells callers without a key what to send.
    """

    def __init__(
        self, keys: KeyRing, *, local_only: bool, origins: Container[bytes] = (), hint: str = _CALLER_HINT
    ) -> None:
        self._keys = keys
        self._local_only = local_only
        self._hint = hint
        self._origins = origins
        self._let_in: set[tuple[bytes, bytes]] = set()

    def admit(self, headers: Mapping[bytes, bytes], notes: MutableMapping[Any, Any] | None = None) -> Principal:
        """Who sends this request. `notes` is what was worked out from the same headers before: see `serving.client`.

        Raises GatewayError foreign_origin, no_key, wrong_key or not_local.
        """
        if self._keys.is_empty:
            self.refuse_foreign(headers)
            return ANYONE
        if b"origin" in headers:
            self.refuse_foreign(headers)
        grant = self._keys.recall(notes) if notes else None
        if grant is None:
            grant = self._find(headers, notes)
        if grant.expires_at is not None and self._keys.is_over(grant):
            raise GatewayError("wrong_key", f"the API key of {grant.principal.name!r} has expired; ask for a new one")
        return grant.principal

    def _find(self, headers: Mapping[bytes, bytes], notes: MutableMapping[Any, Any] | None) -> Grant:
        key = _presented(headers)
        if not key:
            raise GatewayError("no_key", f"no API key was given; {self._hint}")
        grant = self._keys.find(key, notes)
        if grant is None:
            raise GatewayError("wrong_key", f"the API key is not known to this gateway; {self._hint}")
        return grant

    def refuse_foreign(self, headers: Mapping[bytes, bytes]) -> None:
        """Refuse requests of pages of another origin and, if there are no keys, requests that are not local.

        Raises GatewayError foreign_origin and not_local.
        """
        asked = headers.get(b"host", b""), headers.get(b"origin", b"")
        if asked in self._let_in:
            return
        host, origin = asked
        if self._local_only and self._keys.is_empty:
            _refuse_not_local(host)
        if origin and origin not in self._origins and not _is_own(origin, host):
            raise GatewayError(
                "foreign_origin",
                "this comes from a web page of another origin; if you trust that page, list its origin in "
                "`cors_origins`",
            )
        if len(self._let_in) < _REMEMBERED and len(host) + len(origin) <= _REMEMBERED_BYTES:
            self._let_in.add(asked)

    @staticmethod
    def may_send_unread(principal: Principal) -> None:
        """Refuse a body whose model is not known from callers limited to some routes. Raises route_forbidden."""
        if principal.routes is not None:
            raise GatewayError(
                "route_forbidden",
                f"the key {principal.name!r} is limited to some routes, so the model of each of its requests must be "
                "readable: send JSON with `model`, as application/json",
            )

    @staticmethod
    def may_use(principal: Principal, route: Route) -> None:
        """Raises GatewayError route_forbidden."""
        if principal.routes is not None and route.name not in principal.routes:
            raise GatewayError(
                "route_forbidden",
                f"the key {principal.name!r} may not use the models of route {route.name!r}",
                param="model",
            )


def _presented(headers: Mapping[bytes, bytes]) -> bytes:
    authorization = headers.get(b"authorization", b"")
    if authorization[:7].lower() == b"bearer ":
        return authorization[7:].strip()
    return headers.get(b"api-key") or headers.get(b"x-api-key") or b""


def _refuse_not_local(host: bytes) -> None:
    if host and not _is_local("//" + host.decode("latin-1")):
        raise GatewayError(
            "not_local",
            "no key is configured, so only local callers are served, but Host is not a loopback address; configure "
            "ASSAY_KEYS to serve others",
        )


def _is_own(origin: bytes, host: bytes) -> bool:
    """Whether a page of this origin is the gateway's own: compared by host and port, since a proxy in front may speak
    TLS. If the gateway was asked at a local address, pages of every local port count as its own."""
    page, here = origin.decode("latin-1"), "//" + host.decode("latin-1")
    if _is_local(page):
        return not host or _is_local(here)
    place = _place(page)
    return place is not None and place == _place(here, page.partition(":")[0])


def _place(address: str, scheme: str = "") -> tuple[str, int | None] | None:
    """Host and port of an address; None for one that has none, such as the origin `null`."""
    try:
        parts = urlsplit(address)
        name, port = parts.hostname, parts.port
    except ValueError:
        return None
    return (name, port or _PORTS.get(parts.scheme or scheme)) if name else None


def _is_local(address: str) -> bool:
    try:
        return is_loopback(urlsplit(address).hostname or "")
    except ValueError:
        return False
