"""Who is calling, and whether they may."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from gateway.access.keys import KeyRing
from gateway.config.settings import is_loopback
from gateway.errors import GatewayError
from gateway.exchange import Principal, Route

_HINT = "send a gateway key as `Authorization: Bearer <key>`"
ANYONE = Principal("anyone")
# What clients send is remembered within 256 KiB in all.
_REMEMBERED = 1024
_REMEMBERED_BYTES = 256  # of Host and Origin together


class Admission:
    """Callers by their key.

    Without any key everyone is admitted; `local_only` then refuses what a web page in a local browser could
    send (a foreign `Host` or `Origin`), because the loopback address alone does not keep those out.
    """

    def __init__(self, keys: KeyRing, *, local_only: bool) -> None:
        self._keys = keys
        self._local_only = local_only
        self._found_local: set[tuple[bytes, bytes]] = set()

    def admit(self, headers: Mapping[bytes, bytes]) -> Principal:
        """Raises GatewayError no_key, wrong_key or not_local."""
        if self._keys.is_empty:
            self.refuse_foreign(headers)
            return ANYONE
        key = _presented(headers)
        if not key:
            raise GatewayError("no_key", f"no API key was given; {_HINT}")
        found = self._keys.find(key)
        if found is None:
            raise GatewayError("wrong_key", f"the API key is not known to this gateway; {_HINT}")
        if found.expired:
            raise GatewayError("wrong_key", f"the API key of {found.principal.name!r} has expired; ask for a new one")
        return found.principal

    def refuse_foreign(self, headers: Mapping[bytes, bytes]) -> None:
        """Without keys, only who is local may do anything here. Raises GatewayError not_local."""
        if not self._local_only or not self._keys.is_empty:
            return
        asked = headers.get(b"host", b""), headers.get(b"origin", b"")
        if asked not in self._found_local:
            _refuse_foreign(*asked)
            if len(self._found_local) < _REMEMBERED and len(asked[0]) + len(asked[1]) <= _REMEMBERED_BYTES:
                self._found_local.add(asked)

    @staticmethod
    def may_send_unread(principal: Principal) -> None:
        """Whether a body may go up whose model is not known. Raises GatewayError route_forbidden."""
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


def _refuse_foreign(host: bytes, origin: bytes) -> None:
    for name, address in (
        ("Host", "//" + host.decode("latin-1") if host else ""),
        ("Origin", origin.decode("latin-1")),
    ):
        if address and not _is_local(address):
            raise GatewayError(
                "not_local",
                f"no key is configured, so only local callers are served, but {name} is not a loopback address; "
                "configure ASSAY_KEYS to serve others",
            )


def _is_local(address: str) -> bool:
    try:
        return is_loopback(urlsplit(address).hostname or "")
    except ValueError:
        return False
