"""The kinds of values that settings have, each with its check."""

import difflib
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from detectors import taxonomy
from gateway.exchange import HedgeAfter

Names = TypeVar("Names", bound=Iterable[str])


def _fits_a_header(key: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]*", key.get_secret_value()):
        raise ValueError("must be ASCII without spaces or line ends, because it is sent in a header")
    return key


def _is_http(url: str) -> str:
    parts = urlsplit(url)
    if "@" in (parts.netloc or url) or parts.query or parts.fragment:  # first: the other messages repeat the URL
        raise ValueError("must not carry credentials, a query or a fragment; put the key under `key`")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not an http(s) URL; write it as https://host[:port]/v1")
    if not re.fullmatch(r"[\x21-\x7e]+", url):
        raise ValueError(f"{url!r} has a space or a letter outside ASCII; write it percent-encoded")
    _ = parts.port  # raises ValueError when it is no port number
    return url.rstrip("/")


def _is_a_delay(given: Any) -> Any:
    if given in ("p95", "never"):
        return given
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        seconds = math.nan
    if isinstance(given, bool) or not 0 < seconds < math.inf:
        raise ValueError(f"{given!r} is not a delay; write seconds above 0, p95, or never")
    return seconds


def _parts(given: Any) -> Any:
    return [part.strip() for part in given.split(",") if part.strip()] if isinstance(given, str) else given


def _lower_parts(given: Any) -> Any:
    given = given.split(",") if isinstance(given, str) else given
    if not isinstance(given, list):
        return given
    return [name.strip().lower() if isinstance(name, str) else name for name in given]


def _are_origins(origins: list[str]) -> list[str]:
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[a-z0-9._\[\]:-]+", origin):
            raise ValueError(
                f"{origin!r} is not an origin as browsers send it; write scheme and host in lower case, a port only if "
                "it is not the scheme's own, and no path: https://app.example"
            )
    return origins


def are_header_names(names: Names) -> Names:
    """The names as given. Raises ValueError for one that no header can have."""
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
            raise ValueError(f"{name!r} is not a header name")
    return names


def star_only_at_the_end(names: Names) -> Names:
    """The patterns as given. Raises ValueError for one that has a star anywhere else."""
    for name in names:
        if "*" in name[:-1]:
            raise ValueError(f"{name!r}: a star may only stand at the end")
    return names


def _are_failures(statuses: list[int]) -> list[int]:
    for status in statuses:
        if not 400 <= status <= 599:
            raise ValueError(f"{status} is not the status of a failure; those are 400 to 599")
    return statuses


def _is_there(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"no file {path}; make it with `assay fingerprint build CORPUS {path}`")
    return path


def _is_redis(url: SecretStr) -> SecretStr:
    if not re.match(r"(rediss?://[^/?#]|unix://)", url.get_secret_value()):
        raise ValueError("is not a Redis URL; write it as redis://[:password@]host[:port]/0")
    return url


Key = Annotated[SecretStr, AfterValidator(_fits_a_header)]
Url = Annotated[str, AfterValidator(_is_http)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Hedge = Annotated[HedgeAfter, BeforeValidator(_is_a_delay)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
FingerprintFile = Annotated[Path, AfterValidator(_is_there)]
RedisUrl = Annotated[SecretStr, AfterValidator(_is_redis)]
# Lists that may also be written as one text with commas, as in the environment.
Origins = Annotated[list[str], BeforeValidator(_parts), AfterValidator(_are_origins)]
HeaderNames = Annotated[list[str], BeforeValidator(_parts), AfterValidator(are_header_names)]
HeaderPatterns = Annotated[list[str], BeforeValidator(_lower_parts)]
FailureStatuses = Annotated[list[int], BeforeValidator(_parts), AfterValidator(_are_failures)]
JudgeDialect = Literal[
    "llama_guard", "qwen3guard", "shield_gemma", "wildguard", "policy", "questions", "moderations", "decisions"
]


class Strict(BaseModel):
    """Settings whose unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def known_slugs() -> set[str]:
    """The sub-categories and auxiliaries that settings may name."""
    return {entry.slug for entry in taxonomy.SUBCATEGORIES} | taxonomy.AUXILIARIES.keys()


def fault_of_slug(slug: str) -> str:
    """What is wrong with a sub-category's name; empty if nothing is."""
    known = known_slugs()
    if slug in known:
        return ""
    near = difflib.get_close_matches(slug, known, n=1, cutoff=0.5)
    hint = f"; did you mean `{near[0]}`?" if near else "; `assay taxonomy` lists them"
    return f"there is no sub-category {slug!r}{hint}"


def are_slugs(named: Any) -> Any:
    """The names as given. Raises ValueError for one that is no sub-category."""
    slugs: Iterable[str] = named
    for fault in filter(None, map(fault_of_slug, slugs)):
        raise ValueError(fault)
    return named


def has_one_place(upstream: str | None, url: str | None, key: SecretStr | None) -> None:
    """Raises ValueError unless a model is reached either through an upstream, or at a URL that may have a key."""
    if (upstream is None) == (url is None):
        raise ValueError("needs either `upstream` or `url`: texts leave only to the place that is named here")
    if url is None and key is not None:
        raise ValueError("`key` goes with `url`; an upstream has its own key")
