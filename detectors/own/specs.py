"""Descriptions of the operator's detectors, made without loading them: where they are and what their answers mean."""

from collections.abc import Collection, Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Literal

import msgspec

from detectors.base import OperatingTable, Role
from detectors.manifest import DEFAULT_FALSE_ALARMS, DetectorInfo, threshold

Activation = Literal["sigmoid", "softmax"]
Head = tuple[str, str, str]  # detector as name@version, sub-category, role
UNREADABLE = "unread"  # in place of the digest of a file that cannot be read


class _Described(msgspec.Struct, frozen=True, kw_only=True):
    """What all descriptions have. `roles` are the sides of an exchange that are judged; `flag_score` is the score from
    which on a text is flagged as long as no false-alarm table was measured."""

    name: str
    roles: tuple[Role, ...]
    flag_score: float
    version: str = ""
    origin: str = ""  # where it comes from, in the operator's words

    files: ClassVar[tuple[str, ...]] = ()  # the fields that name files

    @property
    def id(self) -> str:
        return f"{self.name}@{self.version}"

    def heads(self) -> frozenset[tuple[str, Role]]:
        """The (sub-category, role) pairs that it judges."""
        raise NotImplementedError

    def labels(self) -> frozenset[str]:
        """The labels that its findings can have."""
        return frozenset()


class Classifier(_Described, frozen=True, kw_only=True, tag="classifier"):
    """An ONNX model over the tokens of its tokenizer.json.

    `outputs` has (label, sub-category or "") for each output of the model, in their order. A text of more than
    `max_tokens` (0: as many as the tokenizer says, else 512) is read in windows that share `overlap_tokens`.
    """

    model: str
    tokenizer: str
    outputs: tuple[tuple[str, str], ...]
    activation: Activation = "sigmoid"
    max_tokens: int = 0
    overlap_tokens: int = 32
    most_windows: int = 16

    files: ClassVar[tuple[str, ...]] = ("model", "tokenizer")

    def heads(self) -> frozenset[tuple[str, Role]]:
        return frozenset((slug, role) for _, slug in self.outputs if slug for role in self.roles)


class WordList(_Described, frozen=True, kw_only=True, tag="words"):
    """A file of words and phrases; each one found is a finding with this `label`."""

    file: str
    subcategory: str
    label: str

    files: ClassVar[tuple[str, ...]] = ("file",)

    def heads(self) -> frozenset[tuple[str, Role]]:
        return frozenset((self.subcategory, role) for role in self.roles)

    def labels(self) -> frozenset[str]:
        return frozenset({self.label})


class ServedGuard(_Described, frozen=True, kw_only=True, tag="guard"):
    """A guard that a server runs. `settings` holds everything that its answers depend on."""

    slugs: Mapping[Role, tuple[str, ...]]
    settings: str

    def heads(self) -> frozenset[tuple[str, Role]]:
        return frozenset((slug, role) for role in self.roles for slug in self.slugs.get(role, ()))


Spec = Classifier | WordList | ServedGuard
Table = Mapping[Head, OperatingTable]


class OwnDetectors(msgspec.Struct, frozen=True):
    """The operator's detectors. `faults` says by name why one cannot work; `tables` are the measured false-alarm
    tables."""

    specs: tuple[Spec, ...] = ()
    faults: dict[str, str] = {}
    tables: tuple[tuple[Head, OperatingTable], ...] = ()

    def infos(self) -> tuple[DetectorInfo, ...]:
        """The info of each, also of those with a fault, because policies may name them."""
        tables = dict(self.tables)
        return tuple(info_of(spec, tables) for spec in self.specs)

    def thresholds(self) -> dict[Head, float]:
        """The scores from which on a text is flagged, by head."""
        found: dict[Head, float] = {}
        tables = dict(self.tables)
        for spec in self.specs:
            for slug, role in spec.heads():
                head = spec.id, slug, role
                measured = threshold(tables.get(head, ()), DEFAULT_FALSE_ALARMS)
                found[head] = spec.flag_score if measured is None else measured
        return found


NONE = OwnDetectors()


def info_of(spec: Spec, tables: Table = MappingProxyType({})) -> DetectorInfo:
    """The info of a detector, as for a shipped one. A head whose false alarms were not measured has an empty table."""
    heads = sorted(spec.heads())
    return DetectorInfo(
        name=spec.name,
        version=spec.version,
        kind="own",
        slugs=frozenset(slug for slug, _ in heads),
        heads=(),
        file=None,
        licence="",
        data=(),
        operating=MappingProxyType({(slug, role): tables.get((spec.id, slug, role), ()) for slug, role in heads}),
        benign_rows=MappingProxyType({}),
        rates=MappingProxyType({}),
        calibration=MappingProxyType({}),
        measured=(),
        labels=spec.labels(),
    )


def versioned(spec: Spec) -> Spec:
    """The description with its version, a hash of its files and of all settings that a score depends on."""
    settings = msgspec.structs.replace(spec, version="", origin="", flag_score=0.0)
    parts = [msgspec.json.encode(settings), *(digest(Path(getattr(spec, field))).encode() for field in spec.files)]
    return msgspec.structs.replace(spec, version=sha256(b"\0".join(parts)).hexdigest()[:8])


def digest(path: Path) -> str:
    """The SHA-256 of a file in hex, UNREADABLE where it cannot be read."""
    try:
        about = path.stat()
        return _digest(path, about.st_size, about.st_mtime_ns)
    except OSError:
        return UNREADABLE


@lru_cache(maxsize=64)
def _digest(path: Path, _size: int, _changed: int) -> str:
    whole = sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            whole.update(piece)
    return whole.hexdigest()


def fault_of(spec: Spec, known: Collection[str], taken: Collection[str]) -> str:
    """What is wrong, as far as it can be told without loading anything; else empty.

    `known` are the valid sub-categories, `taken` the names of other detectors.
    """
    if spec.name in taken:
        return f"{spec.name!r} is the name of a shipped detector; choose another name"
    for field in spec.files:
        path = Path(getattr(spec, field))
        if not path.is_file():
            return f"{field}: there is no file {path}"
        if digest(path) == UNREADABLE:
            return f"{field}: {path} cannot be read"
    if not spec.heads():
        return "it judges no sub-category; map at least one of its labels to one"
    unknown = sorted({slug for slug, _ in spec.heads()} - set(known))
    if unknown:
        return f"there is no sub-category {unknown[0]!r}"
    return ""
