"""The house rules that an import can break: one door for each foreign library, one direction, no cycles."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.running.together import together

ROOT = Path(__file__).parents[1]
PACKAGES = ("gateway", "detectors", "policies")

# Foreign library → the only modules, or rooms, that may import it.
DOORS = {
    "sqlite3": {"gateway.stores.sqlite"},
    "starlette": {"gateway.pages", "gateway.parts.pages"},
    "httpx2": set(),  # its core is enough
    "httpcore2": {"gateway.upstream.library"},
    "h2": {"gateway.upstream.library"},
    "brotli": {"gateway.encodings"},
    "backports": {"gateway.encodings"},
    "compression": {"gateway.encodings"},  # Python's own from 3.14 on
    "certifi": {"gateway.upstream.transport.reach"},
    "httptools": {"gateway.upstream.http1.connection", "gateway.serving.reading"},  # the two ends of a connection
    "onnxruntime": {"detectors.trained.onnx"},
    "tokenizers": {"detectors.trained.onnx"},
    "prometheus_client": {"gateway.telemetry.metrics", "gateway.telemetry.instruments"},
    "opentelemetry": {"gateway.telemetry.tracing"},
    "redis": {"gateway.stores.redis"},
    "pydantic": {"gateway.config", "policies.model", "policies.case_model", "policies.reading"},
    "pydantic_core": {"policies.model", "policies.case_model", "policies.reading"},
    "yaml": {"gateway.config.file", "policies.source"},
    "uvicorn": {"gateway.serving.process", "gateway.demo.server"},
    "tqdm": {"gateway.study.offline"},
}
# These everyone may use: msgspec is the JSON of the product, numpy the arithmetic of the detectors.
EVERYWHERE = {"msgspec"}
# Offline only: what makes the detectors is not what runs them.
TRAINING = "detectors.training"

# The rooms of the gateway (folders, and the few files beside them) from the ground up. A room imports from lower rows
# only; rooms of one row do not know each other, so what one needs of another is passed in.
ROWS: tuple[tuple[str, ...], ...] = (
    ("beat", "turns", "errors", "heads", "encodings"),
    ("openai_api",),
    ("exchange",),
    ("judging", "telemetry", "stores", "config"),
    ("serving", "access", "upstream", "delivery", "enforcement", "moderation", "samples", "trust"),
    ("opinions", "monitoring", "own_detectors"),
    ("probes",),
    ("pipeline", "worker", "study", "pages"),
    ("parts",),
    ("app", "worker_app", "demo"),
    ("commands",),
    ("__main__",),
)
RANK = {name: rank for rank, names in enumerate(ROWS) for name in names}
# Rooms of one row that know each other all the same. The list may only get shorter.
NEIGHBOURS: set[tuple[str, str]] = set()
LARGEST_FOLDER = (
    15  # files that people write in one flat folder; what programs write (weights, tables, plots) is not read
)
LONGEST_FUNCTION = 40  # lines
LONGEST_FILE = 400
CATALOGUES = {"gateway.telemetry.metrics"}  # one entry after the other, each on the same few lines
# Folders whose YAML files are not counted: they ship at paths that operators' files and scripts name.
AT_KNOWN_PATHS = {"policies"}
WRITTEN = {".py", ".md", ".yaml", ".js", ".css", ".html"}
INSTALLED = {"node_modules", "__pycache__"}
# What the gateway takes from the two libraries.
LIBRARIES_BELOW = ("detectors", "policies")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


class Import(NamedTuple):
    """A statement that imports: what it imports, ours by their full name, foreign ones as written."""

    line: int
    targets: tuple[str, ...]
    in_function: bool


def imports_in(path: Path) -> list[Import]:
    return list(_imports(ast.parse(path.read_text("utf-8")), in_function=False))


def _imports(block: ast.AST, *, in_function: bool) -> Iterator[Import]:
    """Of a block and those within it. Expressions are not looked into: they hold no statement."""
    in_function = in_function or isinstance(block, ast.FunctionDef | ast.AsyncFunctionDef)
    for part in ("body", "handlers", "orelse", "finalbody", "cases"):
        for node in getattr(block, part, ()):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield Import(node.lineno, tuple(targets(node)), in_function)
            else:
                yield from _imports(node, in_function=in_function)


@cache
def statements() -> dict[str, list[Import]]:
    """Read when a test asks: every process that runs tests imports this module."""
    return {name: imports_in(path) for name, path in FILES.items()}


def targets(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    else:
        assert node.level == 0, "a relative import"
        assert node.module is not None
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in FILES else node.module


@cache
def imports_of_all() -> dict[str, set[str]]:
    """The modules that each module imports."""
    return {name: {target for one in found for target in one.targets} for name, found in statements().items()}


def room(name: str) -> str:
    """The room of a module of the gateway: `gateway.openai_api.streams` → `openai_api`."""
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
        todo += imports_of_all()[name]
        todo += [name.rpartition(".")[0]]
    return found


def test_the_reader_of_imports_reads_them(tmp_path: Path) -> None:
    source = tmp_path / "all.py"
    source.write_text(
        """
import a
if a:
    import b
else:
    import c
try:
    import d
except* ValueError:
    import e
else:
    import f
finally:
    import g
class K:
    import h
    async def m(self):
        with a:
            for _ in a:
                import i
match a:
    case 1:
        import j
""",
        "utf-8",
    )
    assert {target: one.in_function for one in imports_in(source) for target in one.targets} == {
        **dict.fromkeys("abcdefghj", False),
        "i": True,
    }
    assert "gateway.exchange" in imports_of_all()["gateway.pipeline"]
    assert "gateway.telemetry.metrics" in imports_of_all()["gateway.enforcement.deciding"]  # as `from … import metrics`
    assert "starlette.routing" in imports_of_all()["gateway.pages.rates"]
    assert len(FILES) > 40


@together("library", DOORS)
def test_each_library_has_one_door(library: str) -> None:
    users = {name for name, targets in imports_of_all().items() if any(t.split(".")[0] == library for t in targets)}
    users = {name for name in users if not name.startswith(TRAINING)}
    assert {name for name in users if DOORS[library].isdisjoint({name, name.rpartition(".")[0]})} == set()


def test_every_foreign_library_is_in_the_table() -> None:
    known = {*DOORS, *EVERYWHERE, *PACKAGES, *sys.stdlib_module_names, "numpy"}
    strangers = {
        f"{name} imports {target}"
        for name, targets in imports_of_all().items()
        if not name.startswith(TRAINING)
        for target in targets
        if target.split(".")[0] not in known
    }
    assert strangers == set()


def test_numpy_stays_in_the_detectors() -> None:
    users = {name for name, targets in imports_of_all().items() if any(t.split(".")[0] == "numpy" for t in targets)}
    assert all(name.startswith("detectors.") for name in users)
    assert users.isdisjoint({"detectors.base", "detectors.taxonomy", "detectors.manifest"})


def test_detectors_and_policies_know_neither_each_other_nor_the_gateway() -> None:
    for library in LIBRARIES_BELOW:
        others = set(PACKAGES) - {library}
        strangers = {
            f"{name} imports {target}"
            for name, targets in imports_of_all().items()
            if name.split(".")[0] == library
            for target in targets
            if target.split(".")[0] in others
        }
        assert strangers == set()


def test_every_room_of_the_gateway_has_a_row() -> None:
    assert {room(name) for name in FILES if name.startswith("gateway.")} == RANK.keys()


def test_imports_go_down_the_rows_and_never_sideways() -> None:
    upwards = {
        (room(name), room(target))
        for name, targets in imports_of_all().items()
        if name.startswith("gateway.")
        for target in targets
        if target.startswith("gateway.") and room(target) != room(name) and RANK[room(target)] >= RANK[room(name)]
    }
    assert upwards == NEIGHBOURS


def test_rooms_form_no_cycle() -> None:
    """Folder by folder, over the whole source: stricter than the rows, which know the gateway only."""
    edges = {
        (folder(name), folder(target))
        for name, targets in imports_of_all().items()
        for target in targets
        if target in FILES
    }
    assert _in_cycles({(a, b) for a, b in edges if a != b}) == set()


def folder(name: str) -> str:
    """A module's folder; a file beside folders stands for itself. Training is one room with its data beside it."""
    if name.startswith(TRAINING):
        return TRAINING
    path = FILES[name].relative_to(ROOT)
    return ".".join(path.with_suffix("").parts) if len(path.parts) == 2 else ".".join(path.parts[:-1])


def _in_cycles(edges: set[tuple[str, str]]) -> set[str]:
    """The nodes left when those that nothing leads to, or that lead nowhere, are taken away again and again."""
    while edges:
        kept = {(a, b) for a, b in edges if a in {end for _, end in edges} and b in {start for start, _ in edges}}
        if kept == edges:
            break
        edges = kept
    return {node for edge in edges for node in edge}


def crowded(files: Iterable[Path]) -> dict[str, int]:
    """The folders with more files than a reader takes in at a glance, and how many each has."""
    counts = Counter(
        str(path.parent)
        for path in files
        if path.suffix in WRITTEN
        and path.name != "__init__.py"
        and not (path.suffix == ".yaml" and str(path.parent) in AT_KNOWN_PATHS)
    )
    return {place: count for place, count in counts.items() if count > LARGEST_FOLDER}


def test_crowded_counts_the_files_of_each_folder_alone() -> None:
    full = [Path("room") / f"{number}.py" for number in range(LARGEST_FOLDER)]
    beside = [Path("room/inner/a.py"), Path("room/__init__.py"), Path("room/weights.json")]
    assert crowded([*full, *beside]) == {}
    for one_more in ("one_more.py", "notes.md"):
        assert crowded([*full, *beside, Path("room") / one_more]) == {"room": LARGEST_FOLDER + 1}


def test_no_folder_is_too_full_to_find_anything_in() -> None:
    places = (*PACKAGES, "tests", "grafana", "deploy", "docs")
    files = (path.relative_to(ROOT) for place in places for path in (ROOT / place).rglob("*"))
    assert crowded(path for path in files if INSTALLED.isdisjoint(path.parts)) == {}


def test_functions_and_files_are_short() -> None:
    """A longer function holds two steps, and a longer file two subjects. Tests may fill a longer file."""
    ours = [path for place in ("grafana", "tests") for path in (ROOT / place).rglob("*.py")]
    files = [path for path in (*FILES.values(), *ours) if INSTALLED.isdisjoint(path.parts)]
    lines = {path: path.read_text("utf-8") for path in files}
    long_functions = {f"{path.relative_to(ROOT)}: {name}" for path in files for name in _too_long(lines[path])}
    assert long_functions == set()
    long_files = {name for name, path in FILES.items() if lines[path].count("\n") > LONGEST_FILE}
    assert long_files == CATALOGUES


def _too_long(source: str) -> list[str]:
    nodes = ast.walk(ast.parse(source)) if source.count("\n") > LONGEST_FUNCTION else ()
    return [
        node.name
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]


@pytest.mark.parametrize(("lines", "found"), [(39, []), (40, ["inner"])])
def test_too_long_counts_the_lines_of_a_function_with_its_head(lines: int, found: list[str]) -> None:
    source = "class C:\n    async def inner(self):\n" + "        x()\n" * lines + "y()\n" * 50
    assert _too_long(source) == found


def test_marks_stand_on_tests() -> None:
    """On a helper that was put between a mark and its test the mark does nothing, and the test runs without it."""
    sources = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py") if INSTALLED.isdisjoint(path.parts)]
    marks = {name for source in sources for name in _names_of_marks(source)}
    assert {"needs_redis", "on_every_way"} <= marks
    assert [name for source in sources for name in _marked_helpers(source, marks)] == []


_MARKS = {"examples", "given", "settings"}  # hypothesis' marks, and the tests' own one for how many examples


def _names_of_marks(source: str) -> Iterator[str]:
    """Names that a file gives to marks of pytest."""
    for node in ast.parse(source).body if "pytest.mark" in source else ():
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("pytest.mark."):
            yield from (ast.unparse(target) for target in node.targets)


def _marked_helpers(source: str, marks: Collection[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("test_"):
            decorators = [ast.unparse(decorator).partition("(")[0] for decorator in node.decorator_list]
            if any(name.startswith("pytest.mark.") or name in _MARKS or name in marks for name in decorators):
                yield node.name


def test_a_marked_helper_is_found() -> None:
    source = "@{mark}\nasync def {name}(): pass\n\n@given(x=1)\ndef test_it(): pass\n"
    for mark in ("pytest.mark.slow", "pytest.mark.parametrize('a', [1])", "examples(9)", "on_both_loops"):
        assert [*_marked_helpers(source.format(mark=mark, name="helper"), {"on_both_loops"})] == ["helper"]
        assert not [*_marked_helpers(source.format(mark=mark, name="test_that"), {"on_both_loops"})]
    assert not [*_marked_helpers(source.format(mark="cache", name="helper"), {"on_both_loops"})]


def test_a_class_of_the_gateway_has_its_name_for_itself() -> None:
    """A protocol may be called as what fulfils it, and the demo model server speaks for itself."""
    places: dict[str, list[str]] = {}
    for name, path in FILES.items():
        if name.startswith("gateway.") and room(name) != "demo":
            for found in _public_classes(ast.parse(path.read_text("utf-8"))):
                places.setdefault(found, []).append(name)
    assert {found: where for found, where in places.items() if len(where) > 1} == {}
    assert len(places) > 300


def _public_classes(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
            if "Protocol" not in bases:
                yield node.name


def test_protocols_and_private_classes_share_names() -> None:
    source = "class A(Protocol): ...\nclass _B: ...\nclass C(D): ...\nif x:\n    class E: ...\n"
    assert list(_public_classes(ast.parse(source))) == ["C"]


def test_there_is_no_cycle() -> None:
    in_cycles = {
        name
        for name in FILES
        if any(name in reachable_by_imports(target) for target in imports_of_all()[name] if target in FILES)
    }
    assert in_cycles == set()


def reachable_by_imports(start: str) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name not in found and name in FILES:
            found.add(name)
            todo += imports_of_all()[name]
    return found


def test_nothing_is_imported_inside_a_function() -> None:
    assert {f"{name}:{one.line}" for name, found in statements().items() for one in found if one.in_function} == set()


SERVING = ("gateway.__main__", "gateway.app", "gateway.worker_app")  # what a process that serves imports


@pytest.mark.parametrize("start", SERVING)
def test_a_serving_process_can_reach_no_model_code(start: str) -> None:
    heavy = {
        f"{name} imports {target}"
        for name in reachable(start)
        for target in imports_of_all()[name]
        if target.split(".")[0] in ("numpy", "onnxruntime")
    }
    assert heavy == set()


@pytest.mark.slow
def test_a_serving_process_loads_no_model_code() -> None:
    """What the last test reads off the source, seen in a real process: also what libraries drag in counts."""
    heavy = {
        "numpy",
        "onnxruntime",
        "redis",
        "gateway.telemetry.tracing",
        "starlette",
    }  # of these, the last is to be found
    program = f"import sys, {', '.join(SERVING)}; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['starlette']"


@pytest.mark.slow
def test_test_modules_share_builders_in_support_alone() -> None:
    """A test module that imports another one breaks with it, and hides what both need."""
    named = re.compile(r"^\s*(from|import) tests\b(?!\.support)", re.MULTILINE)  # few do: the others are not parsed
    imports = {
        f"{path.relative_to(ROOT)} imports {target}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if named.search(path.read_text("utf-8"))
        for one in imports_in(path)
        for target in one.targets
        if target.startswith("tests.") and target.rpartition(".")[2].startswith(("test_", "conftest"))
    }
    assert imports == set()
