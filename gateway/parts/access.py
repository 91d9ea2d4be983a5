"""Who may use the gateway: callers, operators, and web pages in browsers."""

from dataclasses import dataclass

from gateway.access.admission import OPERATOR_HINT, Admission
from gateway.access.cors import Application, Cors, Origins
from gateway.access.keys import KeyFiles, KeyRing, callers_of, operators_of
from gateway.config.load import config_path, load
from gateway.config.settings import Config
from gateway.parts.clock import wall_clock
from gateway.serving.client import RESPOND


@dataclass(frozen=True, slots=True)
class Access:
    """`files` keeps the keys of `callers` and `operators` up to date."""

    callers: Admission
    operators: Admission
    files: KeyFiles


def access(config: Config) -> Access:
    callers, operators = KeyRing(callers_of(config), wall_clock), KeyRing(operators_of(config), wall_clock)
    origins = Origins(config.cors_origins)
    paths = [path for path in (config_path(), config.keys_file) if path is not None]
    return Access(
        Admission(callers, local_only=not config.allow_without_keys, origins=origins),
        Admission(operators, local_only=False, origins=origins, hint=OPERATOR_HINT),
        KeyFiles(paths, load, callers=callers, operators=operators),
    )


def operators_only(config: Config) -> Admission:
    """The admission of a process that serves no callers."""
    return Admission(KeyRing(operators_of(config), wall_clock), local_only=False, hint=OPERATOR_HINT)


def for_browsers(config: Config, app: Application) -> Application:
    """The application with the headers that web pages of other origins need; unchanged if no such page may use it."""
    if not config.cors_origins:
        return app
    return Cors(
        app,
        Origins(config.cors_origins),
        exposed=config.cors_expose_headers,
        credentials=config.cors_credentials,
        bypasses=[RESPOND],
    )
