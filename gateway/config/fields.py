"""The kinds of values that settings have, each with its check."""

import difflib
import math
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from detectors import taxonomy
from gateway.exchange import HedgeAfter


def _fits_a_header(key: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]*", key.get_secret_value()):
        raise ValueError("must be ASCII without spaces or line ends, because it is sent in a header")
    return key


def _is_http(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not an http(s) URL; write it as https://host[:port]/v1")
    if parts.username or parts.query or parts.fragment:
        raise ValueError("must not carry credentials, a query or a fragment; put the key under `key`")
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
        raise ValueError(f"{given!r} is no delay; write seconds above 0, p95, or never")
    return seconds


Key = Annotated[SecretStr, AfterValidator(_fits_a_header)]
Url = Annotated[str, AfterValidator(_is_http)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Hedge = Annotated[HedgeAfter, BeforeValidator(_is_a_delay)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
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
    """What is wrong with a sub-category's name, empty where nothing is."""
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
