"""`assay calibrate`: how the detectors do on this traffic, and thresholds from it."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from detectors import manifest
from detectors.base import Role
from gateway.commands import out
from gateway.commands.review import shared_ledger
from gateway.config.load import load
from gateway.config.settings import ConfigError
from gateway.enforcement.local_tables import FILE
from gateway.opinions.calibration import ENOUGH, Head, Local, Table, locals_of
from gateway.trust.ledger import Ledger, LedgerError

_MOST_OPINIONS = 1_000_000
_BAD_USE = 2
_COLUMNS = (
    "sub-category",
    "side",
    "detector",
    "rests on",
    "labels",
    "TPR local / card",
    "FPR local / card",
    "1 % local / card",
)


def calibrate(parsed: argparse.Namespace) -> int:
    """`assay calibrate`: 1 when there is nothing to adopt. Raises ConfigError and ModelError."""
    config = load(path=parsed.config)
    if config.state_dir is None:
        raise ConfigError(["state_dir: set it (ASSAY_STATE_DIR), for the gateway too: local tables lie there"])
    path = config.state_dir / FILE
    if parsed.revert:
        path.unlink(missing_ok=True)
        out("The detectors' own tables are in force again within seconds.")
        return 0
    infos = manifest.load(weights=False)
    cards: dict[Head, Table] = {
        (info.id, slug, role): table for info in infos.values() for (slug, role), table in info.operating.items()
    }
    try:
        found = asyncio.run(_read(shared_ledger(config), parsed.window, cards))
    except LedgerError as error:
        sys.stderr.write(f"assay: the ledger cannot be read: {error}\n")
        return _BAD_USE
    if parsed.json:
        out(json.dumps(msgspec.to_builtins(found), indent=1))
    else:
        _show(found, {info.id: info for info in infos.values()}, cards)
    if parsed.adopt:
        return _adopt(path, [local for local in found if local.local_rates])
    return 0 if any(local.local_rates for local in found) else 1


async def _read(ledger: Ledger, window: str, cards: dict[Head, Table]) -> list[Local]:
    return locals_of(await ledger.opinions(window, _MOST_OPINIONS), cards)


def _adopt(path: Path, found: Sequence[Local]) -> int:
    """Put them in place whole: a gateway that looks meanwhile sees the old file or the new one."""
    if not found:
        out(f"Nothing was adopted: for a rate r a head needs {ENOUGH}/r harmless labelled samples, 500 for 1 %.")
        return 1
    new = path.with_name(path.name + ".new")
    file = {"version": 1, "adopted_at": int(time.time()), "tables": found}  # noqa: TID251 - for the reader of the file
    new.write_bytes(msgspec.json.format(msgspec.json.encode(file), indent=1))
    new.replace(path)
    out(f"Adopted the tables of {len(found)} heads into {path}; gateways take them up within seconds.")
    return 0


def _show(found: Sequence[Local], infos: dict[str, manifest.DetectorInfo], cards: dict[Head, Table]) -> None:
    if not found:
        out("There are no second opinions yet: set `judge`, or label with `assay review`.")
        return
    rows = [_COLUMNS, *(_row(local, infos[local.detector], cards[local.head]) for local in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        out("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    out("\nA missing local figure means too few labels; docs/second-opinions.md says how many are enough.")


def _row(local: Local, info: manifest.DetectorInfo, card: Table) -> tuple[str, ...]:
    role: Role = "prompt" if local.direction == "prompt" else "response"
    rates = info.rates.get((local.subcategory, role))
    here = manifest.threshold(local.rows, manifest.DEFAULT_FALSE_ALARMS)
    there = manifest.threshold(card, manifest.DEFAULT_FALSE_ALARMS)
    return (
        local.subcategory,
        local.direction,
        local.detector,
        local.source,
        f"{local.labels}",
        f"{_share(local.true_positive_rate)} / {_share(rates[0] if rates else None)}",
        f"{_share(local.false_positive_rate)} / {_share(rates[1] if rates else None)}",
        f"{_score(here if manifest.DEFAULT_FALSE_ALARMS in local.local_rates else None)} / {_score(there)}",
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
