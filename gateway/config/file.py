"""The configuration file: YAML, with `${NAME}` for what stays in the environment. Says where it is wrong."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from gateway.config.settings import ConfigError

_MAX_C_DEPTH = 64
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class Content(NamedTuple):
    """What a file holds: its settings, and the names of the environment variables that it refers to."""

    values: dict[str, Any]
    variables: frozenset[str]
    missing: Mapping[str, str] = {}  # for those that are not set: where each is used, and the sentence about it


def read(file: Path, environ: Mapping[str, str]) -> Content:
    """Raises ConfigError for anything but a mapping of settings."""
    content = _parsed(file)
    if content is None:
        return Content({}, frozenset())
    if not isinstance(content, dict):
        raise ConfigError([f"{file}: must be a mapping of settings, found {type(content).__name__}"])
    missing: dict[str, str] = {}
    used: set[str] = set()
    try:
        values = {str(key): _expand(value, environ, f"{file}: {key}", missing, used) for key, value in content.items()}
    except RecursionError:
        raise ConfigError([f"{file}: contains itself by an alias (`*name`)"]) from None
    return Content(values, frozenset(used), missing)


def read_list(file: Path, environ: Mapping[str, str]) -> list[Any]:
    """A file that is a list, such as one of keys. Raises ConfigError."""
    content = _parsed(file)
    if not isinstance(content, list | None):
        raise ConfigError([f"{file}: must be a list, found {type(content).__name__}"])
    missing: dict[str, str] = {}
    expanded: list[Any] = _expand(content or [], environ, str(file), missing, set())
    if missing:
        raise ConfigError([*missing.values()])
    return expanded


def value_of(text: str, origin: str) -> Any:
    """A structured setting from a flag or the environment. Raises ConfigError, without the text: it may hold keys."""
    try:
        node, loader = _composed(text)
        if twice := list(_repeated(node)):
            raise ConfigError([f"{origin}:{where}" for where in twice])
        return None if node is None else loader(text).construct_document(node)
    except yaml.YAMLError as error:
        raise ConfigError([f"{origin}: is neither JSON nor YAML: {_problem(error)}"]) from None
    except ValueError as error:  # a date that does not exist
        raise ConfigError([f"{origin}: is neither JSON nor YAML: {error}"]) from None
    except RecursionError:
        raise ConfigError([f"{origin}: is nested too deeply to be read"]) from None


def _parsed(file: Path) -> Any:
    try:
        text = file.read_text(encoding="utf-8")
        node, loader = _composed(text)
        if twice := list(_repeated(node)):
            raise ConfigError([f"{file}:{where}" for where in twice])
        return None if node is None else loader(text).construct_document(node)
    except OSError as error:
        raise ConfigError([f"{file}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{file}: is not UTF-8 (byte {error.start})"]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError([f"{file}{where}: is not YAML: {_problem(error)}"]) from None
    except RecursionError:
        raise ConfigError(
            [f"{file}: is nested too deeply to be read; no setting needs more than a few levels"]
        ) from None
    except ValueError as error:  # a date that does not exist
        raise ConfigError([f"{file}: is not YAML: {error}; put texts that look like dates in quotes"]) from None


def _composed(text: str) -> tuple[yaml.Node | None, Any]:
    """The document as nodes, and the loader that makes values of them: the C parser where possible, which reads ten
    thousand routes in 2 s instead of 12.

    Its composer recurses in C, so that deep nesting would crash the process, and its messages are vaguer. So deep
    files, files with errors, and a PyYAML without it use the parser in Python. Raises what `yaml.compose` raises.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_C_DEPTH:
                loader = yaml.SafeLoader
                break
        return yaml.compose(text, Loader=loader), loader
    except yaml.YAMLError:
        return yaml.compose(text, Loader=yaml.SafeLoader), yaml.SafeLoader


def _repeated(root: yaml.Node | None) -> Iterator[str]:
    """`line: what` for every key that stands twice in a mapping; YAML readers silently take the last."""
    todo = [] if root is None else [root]
    done: set[int] = set()
    while todo:
        node = todo.pop()
        if id(node) in done:  # an alias leads here once more
            continue
        done.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += node.value
        elif isinstance(node, yaml.MappingNode):
            yield from _repeated_keys(node)
            todo += [value for _, value in node.value]


def _repeated_keys(node: yaml.MappingNode) -> Iterator[str]:
    first: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            continue
        if key.value in first:
            yield f"{line}: the key {key.value!r} stands here and in line {first[key.value]}; keep one of them"
        first.setdefault(key.value, line)


def _expand(value: Any, environ: Mapping[str, str], where: str, missing: dict[str, str], used: set[str]) -> Any:
    """`${NAME}` and `${NAME:-fallback}` in strings, so that secrets stay out of the file."""
    if isinstance(value, dict):
        return {key: _expand(item, environ, f"{where}.{key}", missing, used) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, environ, f"{where}.{index}", missing, used) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def put(match: re.Match[str]) -> str:
        name, fallback = match.groups()
        used.add(name)
        if name not in environ and fallback is None:
            missing[where] = f"{where}: the environment variable {name} is not set; set it or write ${{{name}:-…}}"
        return environ.get(name, fallback or "")

    return _VARIABLE.sub(put, value)


def _problem(error: yaml.YAMLError) -> str:
    return getattr(error, "problem", None) or getattr(error, "reason", None) or type(error).__name__
