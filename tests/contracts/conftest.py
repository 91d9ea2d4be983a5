"""Every store that a ledger can lie in. A store is one more row of STORES."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.trust.stores.redis_ledger import RedisStore
from gateway.trust.stores.sqlite_ledger import SqliteStore
from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.servers.redis_server import RedisServer, needs_redis
from tests.support.worlds.ledgers import MIB, Open


@pytest.fixture(scope="module")
def ledger_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


STORES = ("sqlite", pytest.param("redis", marks=[pytest.mark.server, needs_redis]))


@pytest.fixture(params=STORES)
def store_of(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Gives the same store to each who asks for it, as processes that share it see it."""
    if request.param == "sqlite":
        return lambda days=30.0, most_bytes=64 * MIB: SqliteStore(
            tmp_path / "ledger.db", days=days, most_bytes=most_bytes
        )
    server = request.getfixturevalue("ledger_server")
    server.empty()
    return lambda days=30.0, most_bytes=64 * MIB: RedisStore(
        server.url, days=days, most_bytes=most_bytes, answer_seconds=PATIENCE_SECONDS
    )
