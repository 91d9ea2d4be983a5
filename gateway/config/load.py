"""Brings the settings together: a flag, else the environment, else the file, else the default.

This is the only module that reads the environment.
"""

import os
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from gateway.config import explain, file
from gateway.config.judge import JudgeConfig
from gateway.config.places import unwritable
from gateway.config.probes import ProbesConfig
from gateway.config.routes import upstream_of
from gateway.config.settings import DEMO, OPENAI_URL, Config, ConfigError, env_name
from gateway.config.upstreams import UpstreamConfig
from gateway.exchange import Upstream


class Loaded(NamedTuple):
    """The settings, and sentences about what may be a slip in them."""

    config: Config
    notes: list[str]


def load(
    flags: Mapping[str, str | None] | None = None,
    environ: Mapping[str, str] | None = None,
    path: str | Path | None = None,
) -> Config:
    """Merge flags, environment and file into a checked `Config`.

    `path` defaults to `ASSAY_CONFIG`, else `assay.yaml` in the working directory when there is one. Raises
    `ConfigError` with every problem found, not only the first. Places that cannot be written are not among them:
    processes that start later, and keys that are read again, must not depend on the state of the disk.
    """
    return _merged(flags, os.environ if environ is None else environ, path).config


def load_with_notes(
    flags: Mapping[str, str | None] | None = None,
    environ: Mapping[str, str] | None = None,
    path: str | Path | None = None,
) -> Loaded:
    """As `load`, for the first start: with notes on what may be a mistake. Also raises ConfigError for places that
    cannot be written."""
    environ = os.environ if environ is None else environ
    config, origin, referred = _merged(flags, environ, path)
    if problems := list(unwritable(config, origin)):
        raise ConfigError(problems)
    return Loaded(config, explain.unknown_environment(environ, referred) + explain.slips(config))


class _Merged(NamedTuple):
    """The settings, where each comes from, and the variables that the file refers to."""

    config: Config
    origin: dict[str, str]
    referred: frozenset[str]


def _merged(flags: Mapping[str, str | None] | None, environ: Mapping[str, str], path: str | Path | None) -> _Merged:
    found = config_path(path, environ)
    values, referred, missing = file.read(found, environ) if found is not None else file.Content({}, frozenset())
    origin = dict.fromkeys(values, str(found))
    for setting in Config.model_fields:
        text = environ.get(env_name(setting))
        if text is not None and text != "":
            values[setting], origin[setting] = _parse(setting, text, env_name(setting)), env_name(setting)
    for setting, text in (flags or {}).items():
        if text is not None:
            flag = "--" + setting.replace("_", "-")
            values[setting], origin[setting] = _parse(setting, text, flag), flag
    if "upstream_url" not in values and "upstreams" not in values and environ.get("OPENAI_API_KEY"):
        values["upstream_url"] = OPENAI_URL
        if "upstream_key" not in values:
            values["upstream_key"], origin["upstream_key"] = environ["OPENAI_API_KEY"], "OPENAI_API_KEY"
    if values.get("keys_file"):
        _add_keys(values, origin, environ)
    return _Merged(_complete(values, origin, missing), origin, referred)


def _complete(values: dict[str, Any], origin: dict[str, str], missing: Mapping[str, str]) -> Config:
    """The checked settings. Raises ConfigError with what is missing and whatever else is wrong."""
    try:
        config = _checked(values, origin)
    except ConfigError as error:
        unsure = tuple(_setting_at(place) for place in missing)  # a problem there may come from what is missing
        beside = [each for each in error.problems if not each.startswith(unsure)]
        raise ConfigError([*missing.values(), *beside]) from None
    if missing:
        raise ConfigError([*missing.values()])
    return config


def _setting_at(place: str) -> str:
    """The file and the setting of a place such as `assay.yaml: keys.0`."""
    where, _, key = place.rpartition(": ")
    return f"{where}: {key.partition('.')[0]}"


def _add_keys(values: dict[str, Any], origin: dict[str, str], environ: Mapping[str, str]) -> None:
    """Add the keys of `keys_file` to the others."""
    path = Path(str(values["keys_file"]))
    try:
        more = file.read_list(path, environ)
    except ConfigError as error:
        raise ConfigError([f"{origin['keys_file']}: keys_file: {each}" for each in error.problems]) from None
    given = values.get("keys") or []
    values["keys"] = [*(given.split(",") if isinstance(given, str) else given), *more]
    origin["keys"] = str(path)


def config_path(path: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Path | None:
    """The configuration file: the given one, else `ASSAY_CONFIG`, else `assay.yaml` here if there is one."""
    environ = os.environ if environ is None else environ
    named = path or environ.get("ASSAY_CONFIG")
    if named:
        return Path(named)
    default = Path("assay.yaml")
    return default if default.exists() else None


def _checked(values: dict[str, Any], origin: dict[str, str]) -> Config:
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError([explain.problem(found, origin) for found in error.errors()]) from None
    if problems := _fault_of_upstream(config, origin) + explain.contradictions(config, origin):
        raise ConfigError(problems)
    return config


def _fault_of_upstream(config: Config, origin: Mapping[str, str]) -> list[str]:
    if config.upstreams or config.upstream_url in (None, DEMO):
        return []
    try:
        UpstreamConfig.model_validate({"url": config.upstream_url})
    except ValidationError as error:
        where = origin.get("upstream_url", "upstream_url")
        if where != env_name("upstream_url") and not where.startswith("--"):
            where += ": upstream_url"
        return [f"{where}: {error.errors()[0]['msg'].removeprefix('Value error, ')}"]
    return []


def upstream_at(where: str, url: str, key: str | None) -> Upstream:
    """A model server that a command line names. Raises ConfigError with sentences that begin with `where`."""
    try:
        return upstream_of("named", UpstreamConfig.model_validate({"url": url, "key": key}))
    except ValidationError as error:
        found = [f"{where} {url}: {each['msg'].removeprefix('Value error, ')}" for each in error.errors()]
        raise ConfigError(found) from None


def key_named(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """A key that stays in the environment; None where there is none, or an empty one."""
    return (os.environ if environ is None else environ).get(name) or None


def _parse(setting: str, text: str, origin: str) -> Any:
    """Text from a flag or the environment: structured settings are YAML, the others go as they are."""
    annotation = Config.model_fields[setting].annotation
    nested = {JudgeConfig, ProbesConfig} & set(typing.get_args(annotation))
    structured = typing.get_origin(annotation) is dict or bool(nested)
    begins = {"keys": ("[", "-"), "detectors": ("{",)}.get(setting)
    if structured or (begins and text.lstrip().startswith(begins)):
        return file.value_of(text, origin)
    return text
