"""Where policies and detectors meet: a policy file becomes a `Policy`, findings become the signals it decides on."""

import difflib
from collections.abc import Iterable
from hashlib import blake2b
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from detectors import manifest, taxonomy
from detectors.base import OperatingTable
from gateway.enforcement.local_tables import LocalTables
from gateway.judging.language import LANGUAGES
from gateway.judging.messages import Finding
from policies.compiling import Policy, compile_policy
from policies.engine import Signal
from policies.model import load_document
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
    routes: Iterable[str] = (),
    local: LocalTables = MappingProxyType({}),
) -> Policy:
    """Compiled against the shipped detectors' tables, and `local` ones in their place. Raises PolicyError, ModelError
    or OSError.

    Rules may reroute to `targets` only and name `routes` only, or any where there are none.
    """
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
    document = load_document(text, str(path))
    known = manifest.load(weights=False).values()
    operating: dict[tuple[str, str, str], OperatingTable] = {
        (info.id, slug, role): table for info in known for (slug, role), table in info.operating.items()
    }
    operating |= {head: table.rows for head, table in local.items() if head in operating}
    return compile_policy(
        document,
        categories=categories(),
        operating=operating,
        findings={info.id: info.labels for info in known if info.labels},
        languages=LANGUAGES,
        targets=targets,
        routes=routes,
    )


def categories() -> dict[str, tuple[str, ...]]:
    """Category → its sub-categories, as policies name them."""
    found: dict[str, list[str]] = {}
    for entry in taxonomy.SUBCATEGORIES:
        found.setdefault(entry.category, []).append(entry.slug)
    return {category: tuple(slugs) for category, slugs in found.items()}


def draw_of(request: str) -> float:
    """The request's number from 0, below 1, by which canary rules act or not: the same in every process, for good."""
    return int.from_bytes(blake2b(request.encode("utf-8", "surrogatepass"), digest_size=6).digest()) / 2**48


def signals(findings: Iterable[Finding], direction: Direction, policy: Policy) -> list[Signal]:
    """The opinions on one direction's texts that can reach a threshold; `passage` is the text's index among all."""
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
        if opinion.score >= policy.least(opinion.slug, direction, opinion.detector)
    ]
