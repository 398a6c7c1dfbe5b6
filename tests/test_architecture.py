"""The layers of the package, proved on its source: who may import what, and what stands in one place only.

A reader can follow a request downward and never has to come back up, because nothing imports upward.
"""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
PACKAGE = SOURCE / "bookwheel"

LAYERS = (
    ("__main__",),
    ("cli",),
    ("app",),
    ("api", "web"),
    ("batches", "ingest"),
    ("answering",),
    ("retrieval", "files"),
    ("indexing",),
    ("extraction", "accounts"),
    ("engines", "jobs"),
    ("storage",),
    (
        "wire",
        "document",
        "conversion",
        "tokens",
        "terms",
        "numerals",
        "spelled_numbers",
        "sentences",
        "settings",
        "errors",
        "logs",
        "metrics",
        "__init__",
    ),
)
BOTTOM = len(LAYERS) - 1
LAYER_OF = {package: number for number, layer in enumerate(LAYERS) for package in layer}

CATCH_ALL_EDGES = {
    "api/edge.py",  # HTTP
    "api/event_stream.py",  # HTTP, once a stream is under way
    "jobs/queue.py",  # the job loop
    "batches/answer.py",  # the job loop of a batch's lines: the same request would end at HTTP's edge
    "extraction/child.py",  # the sandbox's child: what kills a document does not kill the server
}
UNDO_THEN_RAISE = {"files/files.py"}
"""Where everything may be caught to undo what was done, if it is raised again."""

SQL_NAMES_ELSEWHERE = {"files/files.py": {"Connection"}}
"""The type of an open transaction, passed on and not used."""

PARTS_OF_FORMATS = ("formats", "docx", "html", "mobi", "ocr", "ooxml", "pdf", "xlsx")
"""The folders of `extraction` that open documents."""
FORMATS_MAY_KNOW = {
    *("document", "errors"),
    *(f"extraction.{module}" for module in ("archive", "encoding", "legacy", "markup", "notes", "tables")),
}
FORMATS_NEED_NOT = {
    *("aiohttp", "asyncio", "http", "limits", "multiprocessing", "pydantic", "pydantic_settings", "requests"),
    *("socket", "sqlalchemy", "ssl", "starlette", "structlog", "subprocess", "threading", "uvicorn"),
}


@dataclass(frozen=True)
class Import:
    """`module` imports `target` (of which `names`) in its line `line`."""

    module: str
    target: str
    names: tuple[str, ...]
    line: int

    @property
    def package(self) -> str:
        return package_of(self.module)

    @property
    def distribution(self) -> str:
        return self.target.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def test_every_part_of_the_package_has_its_layer() -> None:
    assert {package_of(module) for module in MODULES} <= set(LAYER_OF)


def test_imports_point_down_only() -> None:
    upward = [str(found) for found in own_imports() if not points_down(found)]
    assert upward == []


def test_no_module_imports_itself_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for found in own_imports():
        graph.setdefault(dotted(found.module), set()).update(imported_modules(found))
    assert [name for name in graph if name in reachable(graph, name)] == []


def test_no_import_of_our_own_hides_inside_a_function() -> None:
    hidden = [f"{module}:{node.lineno}" for module, node in nodes_inside_functions() if imports_our_own(node)]
    assert hidden == []


def test_the_web_framework_appears_at_the_web_only() -> None:
    elsewhere = [
        str(found)
        for found in IMPORTS
        if found.distribution in ("starlette", "uvicorn")
        and found.package not in ("app", "api", "web")
        and found.module != "cli/serve.py"
    ]
    assert elsewhere == []


def test_sql_appears_in_the_storage_only() -> None:
    elsewhere = [
        str(found)
        for found in IMPORTS
        if found.distribution in ("sqlalchemy", "alembic", "sqlite3", "psycopg")
        and found.package != "storage"
        and not set(found.names) <= SQL_NAMES_ELSEWHERE.get(found.module, set())
    ]
    assert elsewhere == []


def test_names_of_sql_that_are_let_through_are_still_used() -> None:
    used = {(found.module, name) for found in IMPORTS if found.distribution == "sqlalchemy" for name in found.names}
    assert {(module, name) for module, names in SQL_NAMES_ELSEWHERE.items() for name in names} <= used


def test_formats_know_documents_errors_their_tools_and_their_parser_only() -> None:
    formats = [found for found in IMPORTS if opens_documents(found.module)]
    ours = [str(f) for f in formats if f.distribution == "bookwheel" and not knows_only_documents(f)]
    theirs = [str(f) for f in formats if f.distribution in FORMATS_NEED_NOT or f.target == "urllib.request"]
    assert formats
    assert ours == theirs == []


def test_shapes_of_the_wire_import_nothing_but_shapes() -> None:
    wire = [found for found in IMPORTS if found.package == "wire"]
    assert {found.distribution for found in wire} - set(sys.stdlib_module_names) <= {"bookwheel", "msgspec"}
    assert all(found.target.startswith("bookwheel.wire.") for found in wire if found.distribution == "bookwheel")


def test_the_settings_alone_read_the_environment() -> None:
    assert {module for module, node in every_node() if reads_environment(node)} == {"settings.py"}


def test_nothing_prints_to_standard_output() -> None:
    assert [f"{module}:{node.lineno}" for module, node in every_node() if prints(node)] == []


def test_everything_is_caught_at_the_edges_only() -> None:
    caught = [f"{module}:{handler.lineno}" for module, handler in catch_alls() if not may_catch_all(module, handler)]
    assert caught == []


@pytest.mark.parametrize("vague", ["utils", "util", "common", "misc", "helpers", "helper"])
def test_no_module_is_named_for_nothing(vague: str) -> None:
    assert [module for module in MODULES if vague in Path(module).with_suffix("").parts] == []


def test_folders_are_two_deep_at_most() -> None:
    deep = [module for module in MODULES if len(Path(module).parts) > 3 and "migrations" not in module]
    assert deep == []


def test_every_public_module_says_what_it_is() -> None:
    silent = [module for module, tree in MODULES.items() if tree.body and not ast.get_docstring(tree)]
    assert [module for module in silent if not Path(module).name.startswith("_")] == []


def test_importing_the_application_starts_nothing(tmp_path: Path) -> None:
    """No thread, no process, no file, no line of output."""
    counting = (
        "import json, threading, psutil, bookwheel.app, bookwheel.cli.main;"
        "print(json.dumps([threading.active_count(), len(psutil.Process().children(recursive=True))]))"
    )
    environment = os.environ | {"HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", counting], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(result.stdout) == [1, 0]
    assert result.stderr == ""
    assert list(tmp_path.iterdir()) == []


def package_of(module: str) -> str:
    """`api/files.py` → `api`, `tokens.py` → `tokens`."""
    return Path(module).parts[0].removesuffix(".py")


def dotted(module: str) -> str:
    return ".".join(("bookwheel", *Path(module).with_suffix("").parts)).removesuffix(".__init__")


def read_modules() -> dict[str, ast.Module]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8")) for path in paths}


def every_node() -> Iterator[tuple[str, ast.AST]]:
    for module, tree in MODULES.items():
        for node in ast.walk(tree):
            yield module, node


def nodes_inside_functions() -> Iterator[tuple[str, ast.stmt]]:
    for module, function in every_node():
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from ((module, node) for node in ast.walk(function) if isinstance(node, ast.stmt))


def find_imports() -> Iterator[Import]:
    for module, node in every_node():
        if isinstance(node, ast.Import):
            yield from (Import(module, alias.name, (), node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} imports by a relative path"
            yield Import(module, node.module or "", tuple(alias.name for alias in node.names), node.lineno)


def own_imports() -> list[Import]:
    return [found for found in IMPORTS if found.distribution == "bookwheel"]


def imported_modules(found: Import) -> set[str]:
    """`from bookwheel.storage import files` imports the module of that name, where there is one."""
    inner = {f"{found.target}.{name}" for name in found.names} & {dotted(module) for module in MODULES}
    return inner or {found.target}


def points_down(found: Import) -> bool:
    for target in imported_modules(found):
        inside = target.split(".")[1:]
        package = inside[0] if inside else "__init__"
        own, other = LAYER_OF[found.package], LAYER_OF[package]
        if not (own < other or found.package == package or own == other == BOTTOM):
            return False
    return True


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    ahead = list(graph.get(start, ()))
    while ahead:
        name = ahead.pop()
        if name not in seen:
            seen.add(name)
            ahead += graph.get(name, ())
    return seen


def imports_our_own(node: ast.stmt) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    if isinstance(node, ast.ImportFrom):
        names = [node.module or ""]
    return any(name.partition(".")[0] == "bookwheel" for name in names)


def opens_documents(module: str) -> bool:
    return module.startswith(tuple(f"extraction/{folder}/" for folder in PARTS_OF_FORMATS))


def knows_only_documents(found: Import) -> bool:
    targets = {target.removeprefix("bookwheel.") for target in imported_modules(found)}
    parts = tuple(f"extraction.{folder}." for folder in PARTS_OF_FORMATS)
    return all(target in FORMATS_MAY_KNOW or target.startswith(parts) for target in targets)


def reads_environment(node: ast.AST) -> bool:
    names = ("environ", "environb", "getenv", "getenvb", "putenv")
    if isinstance(node, ast.Attribute):
        return node.attr in names and isinstance(node.value, ast.Name) and node.value.id == "os"
    return isinstance(node, ast.ImportFrom) and node.module == "os" and any(a.name in names for a in node.names)


def prints(node: ast.AST) -> bool:
    """Whether it calls `print` without saying where to."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"):
        return False
    return not any(keyword.arg == "file" for keyword in node.keywords)


def catch_alls() -> Iterator[tuple[str, ast.ExceptHandler]]:
    for module, node in every_node():
        if isinstance(node, ast.ExceptHandler) and catches_all(node.type):
            yield module, node


def catches_all(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(catches_all(one) for one in caught.elts)
    return caught is None or (isinstance(caught, ast.Name) and caught.id in ("Exception", "BaseException"))


def may_catch_all(module: str, handler: ast.ExceptHandler) -> bool:
    if module in UNDO_THEN_RAISE:
        last = handler.body[-1]
        return isinstance(last, ast.Raise) and last.exc is None
    return module in CATCH_ALL_EDGES


MODULES = read_modules()
IMPORTS = list(find_imports())
