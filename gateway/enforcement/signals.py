"""Where policies and detectors meet: makes a `Policy` of a policy file, and of findings the signals it decides on."""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from detectors import manifest, taxonomy
from detectors.base import OperatingTable
from gateway.config import routes
from gateway.config.settings import Config
from gateway.enforcement.local_tables import LocalTables, local_tables_of, read_local_tables
from gateway.judging.language import LANGUAGES
from gateway.judging.messages import Finding
from policies.compiled import Policy
from policies.compiling import Placed, compile_policy
from policies.engine import Signal
from policies.model import Document
from policies.reading import load_document
from policies.source import MAX_BYTES, PolicyError, Problem

SHIPPED = ("observe", "default", "strict")
Direction = Literal["prompt", "response"]


def policy_path(name_or_path: str) -> Path:
    """The file of a shipped policy, or the path itself."""
    if name_or_path in SHIPPED:
        return Path(str(resources.files("policies").joinpath(f"{name_or_path}.yaml")))
    return Path(name_or_path)


def load_policy(
    name_or_path: str,
    targets: Iterable[str] = (),
    known_routes: Iterable[str] = (),
    local: LocalTables = MappingProxyType({}),
    own: Mapping[str, str] = MappingProxyType({}),
    detectors: Iterable[manifest.DetectorInfo] = (),
) -> Policy:
    """Compiled with the tables of the shipped detectors and of `detectors`; `local` tables replace them. Raises
    PolicyError, ModelError or OSError.

    Rules may reroute only to `targets` and name only `known_routes`; if these are empty, any. `own` are routes with
    another policy, by its name or path: it applies there in place of this one, and its rules are called `policy/rule`.
    """
    known = [*manifest.load(weights=False).values(), *detectors]
    operating: dict[tuple[str, str, str], OperatingTable] = {
        (info.id, slug, role): table for info in known for (slug, role), table in info.operating.items()
    }
    operating |= {head: table.rows for head, table in local.items() if head in operating}
    return compile_policy(
        _document(name_or_path),
        *_placed(own),
        categories=categories(),
        operating=operating,
        findings={info.id: info.labels for info in known if info.labels},
        languages=LANGUAGES,
        targets=targets,
        routes=known_routes,
    )


def policy_of(config: Config, detectors: Iterable[manifest.DetectorInfo] = ()) -> Policy:
    """The policy that the settings name, with those of routes. `detectors` are the operator's own. Raises what
    `load_policy` raises."""
    return load_policy(
        config.policy,
        routes.targets(config),
        routes.route_names(config),
        read_local_tables(local_tables_of(config)),
        routes.route_policies(config),
        detectors,
    )


def _placed(own: Mapping[str, str]) -> Iterator[Placed]:
    """The policies of routes, each once."""
    on: dict[str, set[str]] = {}
    for route, source in own.items():
        on.setdefault(source, set()).add(route)
    called: dict[str, str] = {}
    for source, its_routes in on.items():
        name = Path(source).stem
        if (other := called.setdefault(name, source)) != source:
            what = f"the rules of {other} would be called {name}/… as well"
            raise PolicyError([Problem(source, what, "give one of the two files another name")])
        yield Placed(_document(source), frozenset(its_routes), name)


def _document(name_or_path: str) -> Document:
    path = policy_path(name_or_path)
    try:
        if path.stat().st_size > MAX_BYTES:
            what = f"the file has {path.stat().st_size} bytes, the limit is {MAX_BYTES}"
            raise PolicyError([Problem(str(path), what, "split it or shorten it")])
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = difflib.get_close_matches(name_or_path, SHIPPED, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"write {', '.join(SHIPPED)} or the path of a policy file"
        raise PolicyError([Problem("policy", f"there is no policy {name_or_path!r}", remedy)]) from None
    except UnicodeDecodeError as error:
        raise PolicyError([Problem(str(path), f"is not UTF-8 (byte {error.start})", "save it as UTF-8")]) from None
    return load_document(text, str(path))


def categories() -> dict[str, tuple[str, ...]]:
    """Category → its sub-categories, as policies name them."""
    found: dict[str, list[str]] = {}
    for entry in taxonomy.SUBCATEGORIES:
        found.setdefault(entry.category, []).append(entry.slug)
    return {category: tuple(slugs) for category, slugs in found.items()}


def draw_of(request: str) -> float:
    """A number of the request, 0 <= n < 1, that decides whether canary rules act; the same in every process."""
    return int.from_bytes(blake2b(request.encode("utf-8", "surrogatepass"), digest_size=6).digest()) / 2**48


def signals(findings: Iterable[Finding], direction: Direction, policy: Policy) -> list[Signal]:
    """The opinions on texts of one direction that can reach a threshold; `passage` is a text's index among all."""
    least, lowest = policy.least, policy.lowest
    return [
        Signal(
            slug=opinion.slug,
            score=opinion.score,
            detector=opinion.detector,
            direction=direction,
            channel=finding.channel,
            passage=index,
            spans=tuple(opinion.spans),
            language=finding.language,
        )
        for index, finding in enumerate(findings)
        if finding.direction == direction
        for opinion in finding.opinions
        if opinion.score >= lowest and opinion.score >= least.get((opinion.slug, direction, opinion.detector), math.inf)
    ]
