"""`assay calibrate`: how well the detectors do on this traffic, and thresholds made from it."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from detectors import manifest
from detectors.base import Role
from gateway.commands import out
from gateway.commands.review import shared_ledger
from gateway.config.load import load
from gateway.config.settings import Config, ConfigError
from gateway.enforcement.local_tables import FILE
from gateway.opinions.calibration import ENOUGH, RATES, Head, Local, Table, locals_of
from gateway.own_detectors.described import own_detectors
from gateway.study import offline
from gateway.study.harmless import measured, read_harmless
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
        raise ConfigError(["state_dir: set it (ASSAY_STATE_DIR), for the gateway too: it holds the local tables"])
    path = config.state_dir / FILE
    if parsed.revert:
        path.unlink(missing_ok=True)
        out("The detectors' own tables are in force again within seconds.")
        return 0
    known = [*manifest.load(weights=False).values(), *own_detectors(config).infos()]
    cards: dict[Head, Table] = {
        (info.id, slug, role): table for info in known for (slug, role), table in info.operating.items()
    }
    if parsed.texts is not None:
        return _from_texts(parsed, config, path)
    try:
        found = asyncio.run(_read(shared_ledger(config), parsed.window, cards))
    except LedgerError as error:
        sys.stderr.write(f"assay: the ledger cannot be read: {error}\n")
        return _BAD_USE
    if parsed.json:
        out(json.dumps(msgspec.to_builtins(found), indent=1))
    else:
        _show(found, {info.id: info for info in known}, cards)
    if parsed.adopt:
        return _adopt(path, [local for local in found if local.local_rates])
    return 0 if any(local.local_rates for local in found) else 1


async def _read(ledger: Ledger, window: str, cards: dict[Head, Table]) -> list[Local]:
    return locals_of(await ledger.opinions(window, _MOST_OPINIONS), cards)


def _from_texts(parsed: argparse.Namespace, config: Config, path: Path) -> int:
    """False-alarm tables of the operator's own detectors, or of those named, on texts that count as harmless."""
    own = own_detectors(config)
    names = frozenset(parsed.detector or (spec.name for spec in own.specs))
    if unknown := sorted(names - {spec.name for spec in own.specs}):
        sys.stderr.write(f"assay: --detector: `detectors` has no {unknown[0]!r}\n")
        return _BAD_USE
    if not names:
        sys.stderr.write("assay: --texts measures your own detectors, but the setting `detectors` has none\n")
        return _BAD_USE
    try:
        texts = read_harmless(parsed.texts)
        with offline.progress(len(texts), " texts", "judging") as bar:
            found = measured(texts, own, names, config, bar.update)
    except ValueError as error:
        sys.stderr.write(f"assay: {error}\n")
        return _BAD_USE
    if parsed.json:
        out(json.dumps(msgspec.to_builtins(found), indent=1))
    else:
        _show_measured(found)
    if parsed.adopt:
        return _adopt(path, [local for local in found if local.local_rates])
    return 0 if any(local.local_rates for local in found) else 1


def _show_measured(found: Sequence[Local]) -> None:
    rows = [("detector", "sub-category", "side", "texts", "table: false alarms from score")]
    for local in found:
        table = ", ".join(f"{rate:g} from {score:.4f}" for rate, score in local.rows)
        least = f"no table: {ENOUGH / RATES[-1]:.0f} texts are the fewest, {ENOUGH / 0.01:.0f} for 1 %"
        rows.append((local.detector, local.subcategory, local.direction, f"{local.labels}", table or least))
    _print(rows)


def _kept(path: Path, found: Sequence[Local]) -> list[Any]:
    """The adopted tables that stay: those made from texts, of heads that are not measured now. If the new ones are from
    texts too, all of heads that are not measured now."""
    try:
        tables = json.loads(path.read_bytes())["tables"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    now = {local.head for local in found}
    heads = [(table, (table["detector"], table["subcategory"], table["direction"])) for table in tables]
    of_texts = all(local.source == "texts" for local in found)
    return [table for table, head in heads if head not in now and (of_texts or table.get("source") == "texts")]


def _adopt(path: Path, found: Sequence[Local]) -> int:
    """Replace the file of tables in one step: a gateway that reads it meanwhile gets the old file or the new one."""
    if not found:
        out(f"Nothing was adopted: a rate r needs {ENOUGH}/r harmless labelled samples of a head, 500 for 1 %.")
        return 1
    new = path.with_name(path.name + ".new")
    file = {"version": 1, "adopted_at": int(time.time()), "tables": [*found, *_kept(path, found)]}  # noqa: TID251 - for the reader of the file
    path.parent.mkdir(parents=True, exist_ok=True)  # no gateway may have run here yet
    new.write_bytes(msgspec.json.format(msgspec.json.encode(file), indent=1))
    new.replace(path)
    out(f"Adopted the tables of {len(found)} heads in {path}; gateways use them within seconds.")
    return 0


def _show(found: Sequence[Local], infos: dict[str, manifest.DetectorInfo], cards: dict[Head, Table]) -> None:
    if not found:
        out("There are no second opinions yet: set `judge`, or label with `assay review`.")
        return
    rows = [_COLUMNS, *(_row(local, infos[local.detector], cards[local.head]) for local in found)]
    _print(rows)
    out("\nA missing local figure means too few labels; docs/second-opinions.md says how many are enough.")


def _print(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        out("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


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
