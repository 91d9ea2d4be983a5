"""Turns the settings of the operator's detectors into descriptions, with versions, false-alarm tables and faults."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import assert_never

import msgspec

from detectors import manifest
from detectors.base import OperatingTable, Role
from detectors.own.specs import Classifier, Head, OwnDetectors, ServedGuard, Spec, WordList, fault_of, versioned
from gateway.config.fields import fault_of_slug, known_slugs
from gateway.config.own_detectors import ClassifierConfig, GuardConfig, OwnConfig, WordsConfig
from gateway.config.settings import Config
from gateway.judging.dialects import DIALECTS, Dialect, dialect_of

_FOUND = 1.0  # the score of a word that was found


def own_detectors(config: Config, tables: Mapping[Head, OperatingTable] = MappingProxyType({})) -> OwnDetectors:
    """The descriptions, in the order of the settings. `tables` are the operator's own false-alarm tables."""
    if not config.own:
        return OwnDetectors()
    shipped = manifest.load(weights=False)
    specs = [versioned(_spec(name, entry)) for name, entry in config.own.items()]
    faults = {spec.name: fault for spec in specs if (fault := _fault(spec, config.own[spec.name], shipped))}
    known = [_with_known_slugs(spec) for spec in specs]
    mine = {(spec.id, slug, role) for spec in known for slug, role in spec.heads()}
    return OwnDetectors(
        tuple(known), faults, tuple((head, table) for head, table in sorted(tables.items()) if head in mine)
    )


def dialect(config: GuardConfig) -> Dialect:
    """The dialect in which the guard is asked."""
    return DIALECTS[config.dialect] if config.dialect else dialect_of(config.model)


def _spec(name: str, config: OwnConfig) -> Spec:
    match config:
        case ClassifierConfig():
            return Classifier(
                name=name,
                roles=tuple(config.roles),
                flag_score=config.flag_score,
                origin=config.source,
                model=str(config.model),
                tokenizer=str(config.tokenizer),
                outputs=tuple((label, slug or "") for label, slug in config.labels.items()),
                activation=config.activation,
                max_tokens=config.max_tokens or 0,
                overlap_tokens=config.overlap_tokens,
                most_windows=config.most_windows,
            )
        case WordsConfig():
            return WordList(
                name=name,
                roles=tuple(config.roles),
                flag_score=_FOUND,
                origin=config.source,
                file=str(config.file),
                subcategory=config.subcategory,
                label=config.label or name.replace("-", "_"),
            )
        case GuardConfig():
            return _guard(name, config)
        case _:
            assert_never(config)


def _guard(name: str, config: GuardConfig) -> ServedGuard:
    spoken = dialect(config)
    asked = frozenset(config.subcategories)
    return ServedGuard(
        name=name,
        roles=tuple(config.roles),
        flag_score=config.flag_score,
        origin=config.source,
        slugs={role: _asked(spoken, role, asked) for role in config.roles},
        settings=_settings(config, spoken),
    )


def _asked(spoken: Dialect, role: Role, asked: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(spoken.about(role) & asked if asked else spoken.about(role)))


def _settings(config: GuardConfig, spoken: Dialect) -> str:
    """Everything that an answer depends on, for the guard's version. It contains no key."""
    place = config.url or f"upstream {config.upstream}"
    about = [place, config.model, spoken.name, config.instructions, config.questions, config.extra]
    return msgspec.json.encode(about).decode()


def _fault(spec: Spec, config: OwnConfig, shipped: Collection[str]) -> str:
    named: Iterable[str] = ()
    match config:
        case ClassifierConfig():
            named = filter(None, config.labels.values())
        case WordsConfig():
            named = [config.subcategory]
        case GuardConfig():
            named = [*config.subcategories, *config.questions]
    unknown = next(filter(None, map(fault_of_slug, named)), "")
    return unknown or fault_of(spec, known_slugs(), shipped)


def _with_known_slugs(spec: Spec) -> Spec:
    """The description without labels that are not sub-categories, so that policies do not see them."""
    known = known_slugs()
    match spec:
        case Classifier():
            outputs = tuple((label, slug if slug in known else "") for label, slug in spec.outputs)
            return msgspec.structs.replace(spec, outputs=outputs)
        case WordList():
            return spec if spec.subcategory in known else msgspec.structs.replace(spec, roles=())
        case ServedGuard():
            return spec
