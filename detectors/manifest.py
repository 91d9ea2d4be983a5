"""What ships in `models/`: every file with its sha256, every detector with its measured figures.

`models.toml` lists the files, licences, data sets and versions. A JSON file for each detector has its calibration, its
operating tables and its measurements. Nothing here loads a model.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import msgspec

from detectors.base import OperatingTable, Role

MODELS = Path(__file__).parent / "models"
INDEX = "models.toml"
DEFAULT_FALSE_ALARMS = 0.01

Value = TypeVar("Value")
BySlugRole = Mapping[tuple[str, Role], Value]


class ModelError(Exception):
    """A file of a detector is missing, damaged or unreadable; the message names it and says what to do."""


class Measurement(msgspec.Struct, frozen=True):
    """One measured figure. `set` names the data, `metric` the judged side and what was measured, over `rows` rows.

    `length_auroc` is the AUROC of the text's length alone on the same rows, if it was computed. `seen` says that the
    detector was trained on other rows of the same source.
    """

    set: str
    slug: str
    metric: str
    value: float
    rows: int
    date: str
    length_auroc: float | None = None
    seen: bool = False


class DataSet(msgspec.Struct, frozen=True):
    """A data set on which the shipped weights were trained, with its licence as published."""

    set: str
    licence: str
    rows: int


@dataclass(frozen=True, slots=True)
class DetectorInfo:
    """Everything that is known of a detector without loading it.

    Keys of the mappings are (slug, role). `operating` has the thresholds by false-alarm rate, `benign_rows` the number
    of texts from which they were made, `rates` the (true, false) positive rates at DEFAULT_FALSE_ALARMS on held-out
    rows. `calibration` has the slopes and, last, the offset that turn a head's logits into log-odds: one slope, or one
    for the first stage and one for the second. `heads` lists the model's outputs in order; a rule has none.
    `vocabulary` is set if the model reads word pieces. `labels` are all labels that its spans can have.

    `streams` is for replies that are judged again and again while they grow: thresholds by the share of benign replies
    that reach them at any moment.

    A cascade has a `first` stage. A head's logit mixes the mean and the largest over a text's windows; `means` is the
    weight of the mean. `clear` has the logits, of the first stage and of the second, below which a head has nothing to
    find: if that holds for all heads, the middle of a long reply is not read. `composite` are lines on log-odds: for a
    role that has them, `unsafe` is its own line plus the highest of the others. `lengths` are the upper ends, in words,
    of bands of length. `shifts` is what is subtracted from a head's log-odds in each band, and beyond the last: in
    short texts it must be surer. `caps` say how far a head's log-odds can be above those of `unsafe` in each band; None
    means no cap. `yields` is the part of a refusal's log-odds, if they are above 0, that is subtracted from a head's,
    because a refusal does no harm.

    `off` says for heads that the model has but that are not used what is missing.
    """

    name: str
    version: str
    kind: Literal["head", "pair", "rule", "own"]
    slugs: frozenset[str]
    heads: tuple[str, ...]
    file: Path | None
    licence: str
    data: tuple[DataSet, ...]
    operating: BySlugRole[OperatingTable]
    benign_rows: BySlugRole[int]
    rates: BySlugRole[tuple[float, float]]
    calibration: BySlugRole[tuple[float, ...]]
    measured: tuple[Measurement, ...]
    vocabulary: Path | None = None
    first: "DetectorInfo | None" = None
    means: BySlugRole[float] = field(default_factory=lambda: MappingProxyType({}))
    clear: BySlugRole[tuple[float, float]] = field(default_factory=lambda: MappingProxyType({}))
    composite: BySlugRole[tuple[float, float]] = field(default_factory=lambda: MappingProxyType({}))
    lengths: tuple[int, ...] = ()
    shifts: BySlugRole[tuple[float, ...]] = field(default_factory=lambda: MappingProxyType({}))
    caps: BySlugRole[tuple[float | None, ...]] = field(default_factory=lambda: MappingProxyType({}))
    yields: BySlugRole[float] = field(default_factory=lambda: MappingProxyType({}))
    streams: BySlugRole[OperatingTable] = field(default_factory=lambda: MappingProxyType({}))
    labels: frozenset[str] = frozenset()
    off: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def id(self) -> str:
        return f"{self.name}@{self.version}"


class Tables(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON file of a detector: nested by slug, then by role."""

    slugs: tuple[str, ...]
    heads: tuple[str, ...]
    operating: dict[str, dict[Role, OperatingTable]]
    benign_rows: dict[str, dict[Role, int]]
    rates: dict[str, dict[Role, tuple[float, float]]]
    calibration: dict[str, dict[Role, tuple[float, ...]]]
    measured: tuple[Measurement, ...]
    means: dict[str, dict[Role, float]] = {}
    clear: dict[str, dict[Role, tuple[float, float]]] = {}
    composite: dict[str, dict[Role, tuple[float, float]]] = {}
    lengths: tuple[int, ...] = ()
    shifts: dict[str, dict[Role, tuple[float, ...]]] = {}
    caps: dict[str, dict[Role, tuple[float | None, ...]]] = {}
    yields: dict[str, dict[Role, float]] = {}
    streams: dict[str, dict[Role, OperatingTable]] = {}
    labels: tuple[str, ...] = ()
    off: dict[str, str] = {}


def load(directory: Path = MODELS, *, weights: bool = True) -> Mapping[str, DetectorInfo]:
    """Every detector listed in `directory`, by name, with its files verified; without `weights` only its tables.

    A model that is only the first stage of another is in that one's `first`. Raises ModelError.
    """
    index = _toml(directory / INDEX)
    stages = {entry.get("first") for entry in index.values()}
    return MappingProxyType({name: _info(name, index, directory, weights) for name in index if name not in stages})


def load_one(name: str, directory: Path = MODELS) -> DetectorInfo:
    """One detector with its files verified. Raises ModelError, also if it is not listed."""
    index = _toml(directory / INDEX)
    if name not in index:
        raise ModelError(f"{directory / INDEX}: does not list {name}; reinstall, or run `make train`")
    return _info(name, index, directory, weights=True)


def threshold(table: OperatingTable, false_alarms: float = DEFAULT_FALSE_ALARMS) -> float | None:
    """The score from which on a text is flagged at this rate: that of the table's largest rate not above it, or
    None."""
    fitting = [score for rate, score in table if rate <= false_alarms * (1 + 1e-9)]
    return fitting[-1] if fitting else None


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file. Raises ModelError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); reinstall, or run `make train`") from error


def _toml(path: Path) -> dict[str, dict[str, Any]]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); reinstall, or run `make train`") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: not valid TOML ({error}); reinstall, or run `make train`") from error


def _info(name: str, index: Mapping[str, Mapping[str, Any]], directory: Path, weights: bool) -> DetectorInfo:
    try:
        entry = index[name]
        tables_path = _verified(directory / entry["tables"], entry["tables_sha256"])
        tables = msgspec.json.decode(tables_path.read_bytes(), type=Tables)
        return DetectorInfo(
            name=name,
            version=entry["version"],
            kind=entry["kind"],
            slugs=frozenset(tables.slugs),
            heads=tables.heads,
            file=_file(entry, "file", "sha256", directory, weights),
            licence=entry["licence"],
            data=msgspec.convert(entry["data"], tuple[DataSet, ...]),
            operating=_flat(tables.operating),
            benign_rows=_flat(tables.benign_rows),
            rates=_flat(tables.rates),
            calibration=_flat(tables.calibration),
            measured=tables.measured,
            vocabulary=_file(entry, "vocabulary", "vocabulary_sha256", directory, weights),
            first=_info(entry["first"], index, directory, weights) if "first" in entry else None,
            means=_flat(tables.means),
            clear=_flat(tables.clear),
            composite=_flat(tables.composite),
            lengths=tables.lengths,
            shifts=_flat(tables.shifts),
            caps=_flat(tables.caps),
            yields=_flat(tables.yields),
            streams=_flat(tables.streams),
            labels=frozenset(tables.labels),
            off=MappingProxyType(tables.off),
        )
    except KeyError as error:
        raise ModelError(f"{directory / INDEX}: [{name}] lacks {error}; run `make train`") from error
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ModelError(f"{directory}: the tables of {name} are malformed ({error}); run `make train`") from error


def _file(entry: Mapping[str, Any], key: str, digest: str, directory: Path, weights: bool) -> Path | None:
    """The file that an entry names, checked when the weights are wanted."""
    if key not in entry:
        return None
    path: Path = directory / entry[key]
    return _verified(path, entry[digest]) if weights else path


def _verified(path: Path, expected: str) -> Path:
    found = sha256(path)
    if found != expected:
        raise ModelError(
            f"{path}: sha256 is {found[:12]}…, {INDEX} pins {expected[:12]}…; reinstall, or run `make train`"
        )
    return path


def _flat(nested: dict[str, dict[Role, Value]]) -> BySlugRole[Value]:
    return MappingProxyType(
        {(slug, role): value for slug, by_role in nested.items() for role, value in by_role.items()}
    )
