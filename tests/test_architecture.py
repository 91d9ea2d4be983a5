"""The house rules that an import can break: one door for each foreign library, one direction, no cycles."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("gateway", "detectors", "policies")

# Foreign library → the only modules that may import it.
DOORS = {
    "starlette": {"gateway.app"},
    "httpx": {"gateway.carrier"},
    "httpcore": {"gateway.carrier"},
    "h2": {"gateway.carrier"},
    "httptools": {"gateway.http1", "gateway.server"},  # the two ends of a connection
    "onnxruntime": {"detectors.onnx"},
    "tokenizers": {"detectors.onnx"},
    "prometheus_client": {"gateway.metrics"},
    "redis": {"gateway.backends.redis"},
    "pydantic": {"gateway.config", "policies.model"},
    "pydantic_core": {"policies.model"},
    "yaml": {"gateway.config", "policies.source"},
    "uvicorn": {"gateway.__main__", "gateway.demo_upstream"},
    "tqdm": {"gateway.offline"},
}
# These everyone may use: msgspec is the JSON of the product, numpy the arithmetic of the detectors.
EVERYWHERE = {"msgspec"}
# Offline only: what makes the detectors is not what runs them.
TRAINING = "detectors.training"

# The gateway's modules from the ground up. A module imports from lower rows only; modules of one row do not know
# each other. The last part of a dotted name may be left out: `gateway.openai_api` stands for the whole package.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "sse", "content_encoding", "memory", "trust", "language", "callers"),
    ("openai_api",),
    ("exchange", "cycle"),
    ("config", "http1", "server", "judge", "metrics", "backends"),
    ("policing", "judge_main", "carrier", "window"),
    ("policy_file", "moderated"),
    (
        "admission",
        "routing",
        "upstream",
        "guard",
        "moderation",
        "tap",
        "sampling",
        "audit",
        "watch",
        "recorder",
        "probes",
    ),
    ("pipeline", "worker"),
    ("app", "offline", "simulation", "policy_cost", "demo"),
    ("demo_upstream", "model_commands", "policy_commands"),
    ("__main__",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# What the gateway takes from the two libraries.
LIBRARIES_BELOW = ("detectors", "policies")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in FILES.items()}


def imported(name: str) -> set[str]:
    """The modules that a module imports: ours by their full name, foreign ones as written."""
    return {target for node in ast.walk(TREES[name]) for target in targets(node)}


def targets(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "a relative import"
        assert node.module is not None
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in FILES else node.module


IMPORTS = {name: imported(name) for name in FILES}


def unit(name: str) -> str:
    """The row's name for a module of the gateway: `gateway.openai_api.streams` → `openai_api`."""
    return name.split(".")[1]


def reachable(start: str) -> set[str]:
    """Every module of ours that an import of `start` loads, the packages around each included."""
    found: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name in found or name not in FILES:
            continue
        found.add(name)
        todo += IMPORTS[name]
        todo += [name.rpartition(".")[0]]
    return found


def test_the_reader_of_imports_reads_them() -> None:
    assert "gateway.exchange" in IMPORTS["gateway.pipeline"]
    assert "gateway.metrics" in IMPORTS["gateway.guard"]  # written as `from gateway import metrics`
    assert "starlette.routing" in IMPORTS["gateway.app"]
    assert len(FILES) > 40


@pytest.mark.parametrize("library", DOORS)
def test_each_library_has_one_door(library: str) -> None:
    users = {name for name, targets in IMPORTS.items() if any(t.split(".")[0] == library for t in targets)}
    users = {name for name in users if not name.startswith(TRAINING)}
    assert users <= DOORS[library]


def test_every_foreign_library_is_in_the_table() -> None:
    known = {*DOORS, *EVERYWHERE, *PACKAGES, *sys.stdlib_module_names, "numpy"}
    strangers = {
        f"{name} imports {target}"
        for name, targets in IMPORTS.items()
        if not name.startswith(TRAINING)
        for target in targets
        if target.split(".")[0] not in known
    }
    assert strangers == set()


def test_numpy_stays_in_the_detectors() -> None:
    users = {name for name, targets in IMPORTS.items() if any(t.split(".")[0] == "numpy" for t in targets)}
    assert all(name.startswith("detectors.") for name in users)
    assert users.isdisjoint({"detectors.base", "detectors.taxonomy", "detectors.manifest"})


def test_detectors_and_policies_know_neither_each_other_nor_the_gateway() -> None:
    for library in LIBRARIES_BELOW:
        others = set(PACKAGES) - {library}
        strangers = {
            f"{name} imports {target}"
            for name, targets in IMPORTS.items()
            if name.split(".")[0] == library
            for target in targets
            if target.split(".")[0] in others
        }
        assert strangers == set()


def test_every_module_of_the_gateway_has_a_row() -> None:
    assert {unit(name) for name in FILES if name.startswith("gateway.")} - RANK.keys() == set()


def test_imports_go_down_the_rows_and_never_sideways() -> None:
    wrong = {
        f"{name} (row {RANK[unit(name)]}) imports {target} (row {RANK[unit(target)]})"
        for name, targets in IMPORTS.items()
        if name.startswith("gateway.")
        for target in targets
        if target.startswith("gateway.") and unit(target) != unit(name) and RANK[unit(target)] >= RANK[unit(name)]
    }
    assert wrong == set()


def test_there_is_no_cycle() -> None:
    in_cycles = {
        name
        for name in FILES
        if any(name in reachable_by_imports(target) for target in IMPORTS[name] if target in FILES)
    }
    assert in_cycles == set()


def reachable_by_imports(start: str) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name not in found and name in FILES:
            found.add(name)
            todo += IMPORTS[name]
    return found


def test_nothing_is_imported_inside_a_function() -> None:
    inside = {
        f"{name}:{node.lineno}"
        for name, tree in TREES.items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert inside == set()


SERVING = ("gateway.__main__", "gateway.app")  # what a process that serves imports


@pytest.mark.parametrize("start", SERVING)
def test_a_serving_process_can_reach_no_model_code(start: str) -> None:
    heavy = {
        f"{name} imports {target}"
        for name in reachable(start)
        for target in IMPORTS[name]
        if target.split(".")[0] in ("numpy", "onnxruntime")
    }
    assert heavy == set()


def test_a_serving_process_loads_no_model_code() -> None:
    """What the last test reads off the source, seen in a real process: also what libraries drag in counts."""
    program = (
        f"import sys, {', '.join(SERVING)}; print(sorted({{'numpy', 'onnxruntime', 'starlette'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['starlette']"
