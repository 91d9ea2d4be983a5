"""Opens the ledger, in Redis or in a file."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from gateway.config.settings import Config, ConfigError
from gateway.trust.ledger import Ledger, LedgerStore
from gateway.trust.stores.redis_ledger import RedisStore
from gateway.trust.stores.sqlite_ledger import SqliteStore

FILE = "ledger.db"


def open_ledger(config: Config, clock: Callable[[], float]) -> Ledger:
    """In Redis, where `redis_url` is set and several machines may share it; else in a file, which all processes of this
    start share. `clock` gives Unix seconds."""
    days, most_bytes = config.ledger_days, config.ledger_bytes
    if config.redis_url is not None:
        return Ledger(RedisStore(config.redis_url.get_secret_value(), days=days, most_bytes=most_bytes), clock=clock)
    folder = state_folder(config)
    return Ledger(SqliteStore(folder / FILE, days=days, most_bytes=most_bytes), clock=clock)


def reading(*, redis: str = "", file: str = "") -> LedgerStore | None:
    """The store of a ledger that other processes write, to read from; None where neither is named. Raises ValueError
    for something that is not a Redis URL."""
    days, most_bytes = 1.0, 2**30  # they bound what is written, and nothing is
    if redis:
        return RedisStore(redis, days=days, most_bytes=most_bytes)
    return SqliteStore(Path(file), days=days, most_bytes=most_bytes) if file else None


def with_state_folder(config: Config) -> Config:
    """The settings with a `state_dir`: a temporary folder where the operator named none. Unchanged where Redis is used.
    Raises ConfigError."""
    if config.redis_url is not None:
        return config
    return config.model_copy(update={"state_dir": state_folder(config)})


def state_folder(config: Config) -> Path:
    """The operator's folder, else a temporary one for this start. Raises ConfigError where none can be made."""
    if config.state_dir is not None:
        return config.state_dir
    try:
        return Path(tempfile.mkdtemp(prefix="assay-state-"))
    except OSError as error:
        what = f"state_dir is not set, and no temporary folder can be created ({error.strerror or error})"
        raise ConfigError([f"{what}; set state_dir, or name a writable folder in TMPDIR"]) from None
