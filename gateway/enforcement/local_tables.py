"""The operator's own false-alarm tables, made by `assay calibrate --adopt` from labels of this traffic."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import msgspec

from gateway.config.settings import Config
from policies.detectable import Table
from policies.source import PolicyError, Problem

FILE = "operating.json"  # in `state_dir`
Head = tuple[str, str, str]  # detector as name@version, sub-category, direction


class LocalTable(msgspec.Struct, frozen=True):
    """One head's table: rates are shares of this traffic's harmless exchanges for `local_rates`, else the card's.

    `harmless` is the effective number of harmless exchanges that it rests on.
    """

    detector: str
    subcategory: str
    direction: str
    harmless: float
    rows: Table
    local_rates: tuple[float, ...]

    @property
    def head(self) -> Head:
        return self.detector, self.subcategory, self.direction

    def rate_of(self, score: float) -> float | None:
        """The local rate that has this score as its threshold; None if the score is not from local labels."""
        return next((rate for rate, at in self.rows if at == score and rate in self.local_rates), None)


class _File(msgspec.Struct):
    version: int
    tables: list[LocalTable]


LocalTables = Mapping[Head, LocalTable]


def local_tables_of(config: Config) -> Path | None:
    """Where the operator's own tables are, once they are adopted."""
    return None if config.state_dir is None else config.state_dir / FILE


def read_local_tables(path: Path | None) -> LocalTables:
    """The tables in a file; none if there is no file. Raises PolicyError if it cannot be read."""
    if path is None:
        return {}
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        remedy = "make it again with `assay calibrate --adopt`, or remove it to use the detectors' own tables"
        raise PolicyError([Problem(str(path), f"cannot be read: {error}", remedy)]) from None
    return {table.head: table for table in found.tables if _is_table(table.rows)}


def operating_of(tables: LocalTables) -> dict[Head, Table]:
    """The rows alone, by head."""
    return {head: table.rows for head, table in tables.items()}


def _is_table(rows: Table) -> bool:
    """Rates rise and thresholds fall."""
    return bool(rows) and all(a[0] < b[0] and a[1] >= b[1] for a, b in pairwise(rows))
