"""What ships in `models/`: every file pinned by its sha256, every detector with its measured figures.

`models.toml` names the files, licences, data sets and versions; one JSON a detector holds its calibration, its
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
    """A shipped file is missing, damaged or unreadable: the message names it and says what to do."""


class Measurement(msgspec.Struct, frozen=True):
    """One measured figure. `set` names the data and the side judged, `metric` what was counted, over `rows` rows.

    `length_auroc` is what the text's length alone scores on the same rows, where that was computed. `seen`: the
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
    """A data set the shipped weights were trained on, with its licence as published."""

    set: str
    licence: str
    rows: int


@dataclass(frozen=True, slots=True)
class DetectorInfo:
    """Everything known of one shipped detector without loading it.

    Keys of the mappings are (slug, role). `operating` holds the thresholds by false-alarm rate, `benign_rows` on how
    many texts they rest, `rates` the (true, false) positive rates at DEFAULT_FALSE_ALARMS on held-out rows,
    `calibration` the slopes and, last, the offset that turn the logits of a head into a log-odds: one slope, or one for
    the first stage and one for its own. `heads` lists the model's outputs in their order, empty for a rule.
    `vocabulary` is there when the model reads word pieces. `labels` are all that its spans can be called.

    `streams` is for replies judged again and again while they grow: thresholds by the share of benign replies that
    reach them at any moment.

    A cascade has a `first` stage. `means` is the share of the mean over a text's windows in a head's logit, the rest
    being the largest; `clear` the logits, of the first stage and of its own, below which a head has nothing to find:
    when all are, the middle of a long reply is not read. `composite` are lines on log-odds: where a role has them,
    `unsafe` is its own line plus the highest of the others'. `lengths` are upper ends, in words, of length bands, and
    `shifts` what is taken off a head's log-odds in each, and in what is longer: in short texts it must be surer. `caps`
    say how far above those of `unsafe` a head's log-odds can be in each, None where they are free. `yields` is how much
    of a refusal's log-odds, where these are above 0, is taken off a head's: who refuses does no harm.

    `off` says of heads that the model has and that are not used what is missing.
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
    """The per-detector JSON as it lies on disk: nested by slug, then role."""

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
    """Every detector listed in `directory`, by name, its files verified; without `weights` only its tables.

    What is but the first stage of another is found there. Raises ModelError.
    """
    index = _toml(directory / INDEX)
    stages = {entry.get("first") for entry in index.values()}
    return MappingProxyType({name: _info(name, index, directory, weights) for name in index if name not in stages})


def load_one(name: str, directory: Path = MODELS) -> DetectorInfo:
    """One detector, its files verified. Raises ModelError, also when it is not listed."""
    index = _toml(directory / INDEX)
    if name not in index:
        raise ModelError(f"{directory / INDEX}: does not list {name}; reinstall, or run `make train`")
    return _info(name, index, directory, weights=True)


def threshold(table: OperatingTable, false_alarms: float = DEFAULT_FALSE_ALARMS) -> float | None:
    """The score from which a text counts as flagged at that rate: the table's largest rate not above it, else None."""
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
