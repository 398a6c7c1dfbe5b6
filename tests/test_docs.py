"""A reader can rely on the documents: what they say of settings, commands, calls and errors is what the code does.

The reference pages are compared with the code both ways; the examples are run against a real server.
"""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args
from urllib.request import ProxyHandler, build_opener

import pytest
import typer
from pydantic import BaseModel

from bookwheel import errors
from bookwheel.cli.main import app
from bookwheel.settings import EngineKind, LogSettings, Settings, load_settings
from support.server import Server

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("demo/*.md")])
RUN_PAGES = (ROOT / "README.md", ROOT / "docs" / "quickstart.md")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_MACHINE_PATH = re.compile(r"(?<![\w.~/:-])/(?:home|root|Users|tmp|work|opt|srv|mnt|var|etc)/")
_TABLE_ROW = re.compile(r"^\| (.*) \|$", re.MULTILINE)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    """The fenced code of one language on a page."""
    return [code for found, code in _FENCE.findall(page.read_text("utf-8")) if found == language]


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text("utf-8"))


def each_block(language: str, pages: list[Path] | tuple[Path, ...] = PAGES) -> list[Any]:
    found = [(page, number, code) for page in pages for number, code in enumerate(blocks(page, language), 1)]
    assert found, f"no page has {language}"
    return [pytest.param(code, id=f"{name_of(page)}-{number}") for page, number, code in found]


def table_rows(text: str) -> list[list[str]]:
    """The cells of every table row, without their heads' rulers."""
    rows = [re.split(r"(?<!\\) \| ?", row) for row in _TABLE_ROW.findall(text)]
    return [[cell.strip() for cell in row] for row in rows if not set("".join(row)) <= {"-", "|"}]


# Settings


def settings_of(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every setting's name and default, as the page writes them."""
    for name, field in section.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if inner is None:
            yield f"{prefix}{name}", "required" if field.is_required() else shown_default(field)
        else:
            named = str(field.annotation).startswith("dict")
            yield from settings_of(inner, f"{prefix}{name}.NAME." if named else f"{prefix}{name}.")


def shown_default(field: Any) -> str:
    default = field.get_default(call_default_factory=True)
    if default is None or default == {}:
        return "none"
    return f"{default:g}" if isinstance(default, float) else str(default)


def test_the_settings_page_names_every_setting_and_default_and_nothing_else() -> None:
    rows = table_rows((REFERENCE / "settings.md").read_text("utf-8"))
    documented = {row[0].strip("`"): row[1].strip('`"') for row in rows if row[0] != "setting"}
    assert documented == dict(settings_of(Settings))


def test_every_setting_is_told_in_a_sentence() -> None:
    rows = table_rows((REFERENCE / "settings.md").read_text("utf-8"))
    assert [row for row in rows if row[0] != "setting" and not row[2].endswith(".")] == []


def test_allowed_values_of_settings_are_on_the_page() -> None:
    page = (REFERENCE / "settings.md").read_text("utf-8")
    allowed = (*get_args(EngineKind), *get_args(LogSettings.model_fields["level"].annotation))
    assert [choice for choice in allowed if f"`{choice}`" not in page] == []


@pytest.mark.parametrize("toml", each_block("toml"))
def test_settings_in_the_documents_load(toml: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("BOOKWHEEL_")]:
        monkeypatch.delenv(variable)
    config = tmp_path / "bookwheel.toml"
    config.write_text(toml, "utf-8")
    assert load_settings(config)


# Command line


def commands(group: Any, path: str = "bookwheel") -> Iterator[tuple[str, Any]]:
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{path} {name}")


COMMANDS = dict(commands(typer.main.get_command(app)))


def cli_sections() -> dict[str, str]:
    """The command line's page by command."""
    parts = re.split(r"^## `(bookwheel[^`]*)`\n", (REFERENCE / "cli.md").read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def options_of(command: Any) -> set[str]:
    names = {
        name for parameter in command.params if parameter.param_type_name == "option" for name in options(parameter)
    }
    return names | {"--help"}


def options(parameter: Any) -> list[str]:
    return [*parameter.opts, *parameter.secondary_opts]


def test_the_command_line_page_has_every_command_and_no_other() -> None:
    assert set(cli_sections()) == set(COMMANDS)


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_a_command_is_documented_with_every_option_and_no_other(path: str) -> None:
    section, command = cli_sections()[path], COMMANDS[path]
    named = re.findall(r"`(--?[a-z][\w-]*)", "\n".join(row[0] for row in table_rows(section)))
    shared = {"-c"} if "--config" in named else set()
    assert set(named) | shared == options_of(command)
    assert " ".join((command.help or "").split()) in " ".join(section.split())


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_what_an_option_does_is_told_in_the_words_of_its_help(path: str) -> None:
    page = " ".join((REFERENCE / "cli.md").read_text("utf-8").split())
    for parameter in COMMANDS[path].params:
        assert str(getattr(parameter, "help", None) or "").rstrip(".") in page


def test_commands_that_the_documents_call_exist_with_their_options() -> None:
    for page in PAGES:
        for line in "\n".join(blocks(page, "sh")).splitlines():
            called = re.match(r"(?:\.venv/bin/)?(bookwheel(?: [a-z]+)*)(.*)", line.strip())
            if called:
                path = next(known for known in sorted(COMMANDS, key=len, reverse=True) if called[1].startswith(known))
                assert path != "bookwheel" or called[1] == "bookwheel", f"{name_of(page)}: {line}"
                assert set(re.findall(r" (--[a-z-]+)", line)) <= options_of(COMMANDS[path]), f"{name_of(page)}: {line}"


def test_make_targets_that_the_documents_call_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    called = {target for page in PAGES for target in re.findall(r"\bmake ([a-z]+)`", page.read_text("utf-8"))}
    called |= {
        line.split()[1]
        for page in PAGES
        for code in blocks(page, "sh")
        for line in code.splitlines()
        if line[:5] == "make "
    }
    assert called
    assert called <= targets


# The API


@pytest.fixture(scope="module")
def openapi(server: Server) -> dict[str, Any]:
    with build_opener(ProxyHandler({})).open(f"{server.url}/openapi.json", timeout=10) as response:
        document: dict[str, Any] = json.load(response)
    return document


def test_every_call_of_the_api_is_documented_and_no_other(openapi: dict[str, Any]) -> None:
    page = (REFERENCE / "api.md").read_text("utf-8")
    headings = [line for line in page.splitlines() if line.startswith("### ")]
    documented = set(re.findall(r"`((?:GET|POST|DELETE) /\S*)`", "\n".join(headings)))
    described = {f"{method.upper()} {path}" for path, item in openapi["paths"].items() for method in item}
    assert documented == described | {"GET /health", "GET /openapi.json", "GET /docs"}


def test_every_field_of_the_api_is_documented(openapi: dict[str, Any]) -> None:
    page = (REFERENCE / "api.md").read_text("utf-8")
    told = set(re.findall(r"\w+(?:\[\w+\])?", " ".join(re.findall(r"`([^`]+)`", prose(REFERENCE / "api.md")))))
    fields = {name for shape in openapi["components"]["schemas"].values() for name in shape.get("properties", {})}
    fields |= {parameter["name"] for call in calls(openapi) for parameter in call["parameters"]}
    fields |= set(upload_form(openapi)["properties"])
    told |= set(re.findall(r'"(\w+)"', page))
    assert fields - told == set()


def calls(openapi: dict[str, Any]) -> list[dict[str, Any]]:
    return [call for item in openapi["paths"].values() for call in item.values()]


def upload_form(openapi: dict[str, Any]) -> dict[str, Any]:
    form: dict[str, Any] = openapi["paths"]["/files"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    return form


# Errors


def error_classes() -> dict[str, type[errors.BookwheelError]]:
    classes = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind)}
    return {name: kind for name, kind in classes.items() if issubclass(kind, errors.BookwheelError)}


def template(node: ast.AST) -> str | None:
    """A string of the source with `{}` for what differs."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
    return None


def source_nodes() -> Iterator[ast.AST]:
    for path in sorted((ROOT / "src").rglob("*.py")):
        yield from ast.walk(ast.parse(path.read_text("utf-8")))


def raised_messages() -> set[str]:
    """The messages that source code gives to errors which reach a client, or a file's `status_details`."""
    reaching = {n for n, kind in error_classes().items() if issubclass(kind, (errors.ApiError, errors.BadDocument))}
    calls = [n for n in source_nodes() if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.args]
    found = [template(call.args[0]) for call in calls if call.func.id in reaching]  # type: ignore[attr-defined]
    return {message for message in found if message and message.strip("{} ")}


def documented_messages() -> set[str]:
    """Messages of the errors page, with `{}` for what differs."""
    rows = table_rows((REFERENCE / "errors.md").read_text("utf-8"))
    cells = [row[1] if row[0][:3].isdigit() else row[0] for row in rows]
    quoted = [cell[1:-1] for cell in cells if cell.startswith("`") and cell.endswith("`") and " " in cell]
    return {re.sub(r"\{\w+\}", "{}", message) for message in quoted}


def test_every_message_on_the_errors_page_stands_in_the_source() -> None:
    known = {text.replace("{}{}", "{}") for node in source_nodes() if (text := template(node))}
    for message in documented_messages():
        bare = {
            message,
            message.removeprefix("File [id:{}] "),
            message.removeprefix("The engine {} ").removesuffix("."),
        }
        assert bare & known, message


def test_every_message_that_is_raised_stands_on_the_errors_page() -> None:
    documented = documented_messages()
    composed = {"The engine {} {}.", "The engine {} {}: see {}."}  # their parts are on the page one by one
    assert raised_messages() - documented - composed == set()


def test_the_errors_page_names_every_class_and_no_other() -> None:
    rows = [row for row in table_rows((REFERENCE / "errors.md").read_text("utf-8")) if len(row) == 4]
    named = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", prose(REFERENCE / "errors.md")))
    assert named == set(error_classes()) - {"BookwheelError"}
    for name, status, kind, code in [row for row in rows if row[0] != "class"]:
        error = error_classes()[name.strip("`")]
        assert issubclass(error, errors.ApiError)
        assert (int(status), kind.strip("`"), code.strip("`")) == (error.status, error.type, error.code), name


# Examples


@pytest.fixture
def reading_room(tmp_path: Path) -> Path:
    """A folder with the demo's documents, where the examples expect them."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "documents").symlink_to(ROOT / "demo" / "documents")
    return tmp_path


@pytest.mark.parametrize("code", each_block("python", RUN_PAGES))
def test_python_in_readme_and_quickstart_runs_and_prints_an_answer(
    code: str, server: Server, reading_room: Path
) -> None:
    assert "http://127.0.0.1:8700" in code
    environment = os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONUTF8": "1"}
    example = code.replace("http://127.0.0.1:8700", server.url)
    ended = subprocess.run(
        [sys.executable, "-c", example], cwd=reading_room, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "You asked: " in ended.stdout
    assert ".txt (" in ended.stdout


@pytest.mark.parametrize("code", each_block("python"))
def test_python_in_the_documents_compiles(code: str) -> None:
    compile(code, "example", "exec")


@pytest.mark.parametrize("code", each_block("js"))
def test_javascript_in_the_documents_compiles(code: str, tmp_path: Path) -> None:
    module = tmp_path / "example.mjs"
    module.write_text(code, "utf-8")
    node = Path(sys.executable).parent / "node"
    checked = subprocess.run([node, "--check", module], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_the_readme_has_an_answer_from_a_document_within_45_lines_and_ends_within_120() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= 120
    cited = re.search(r"\[1\] (\S+), line (\d+): (.*)", "\n".join(lines[:45]))
    assert cited
    document = (ROOT / "demo" / "documents" / cited[1]).read_text("utf-8").splitlines()
    assert cited[3] in document[int(cited[2]) - 1]


# Pages


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        leads_to = (page.parent / target).resolve() if target else page
        assert leads_to.is_relative_to(ROOT), link
        assert leads_to.is_file(), link
        assert not anchor or anchor in anchors_of(leads_to), link


def test_every_page_is_reached_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in _LINK.findall(index.read_text("utf-8"))}
    assert set((ROOT / "docs").glob("**/*.md")) - {index} - linked == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_folder_of_somebodys_machine(page: Path) -> None:
    assert _MACHINE_PATH.findall(page.read_text("utf-8")) == []


def test_decisions_have_their_four_parts_and_are_numbered_without_gaps() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        headings = re.findall(r"^## (.*)$", page.read_text("utf-8"), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Alternatives"], page.name
