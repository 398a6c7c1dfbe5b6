"""The command line: files and questions, with a server that runs and without one, and complaints that say what to do."""

import re
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from typer.main import get_command

from bookwheel import __version__
from bookwheel.cli.main import app
from support.engine import RecordingEngine, answer_words
from support.server import Server

HERONS = (
    "Notes on the marsh.\n\nThe heron stands in the reeds all morning. The tide turns at seven.\n\n"
    "Otters come at night. They leave before the sun is up.\n"
)
DOCUMENTS = Path(__file__).parents[1] / "documents"
BOOKWHEEL = (
    "书轮是文艺复兴时期的一种阅读桌。读者转动木轮，就可以同时打开许多本书。\n\n"
    "书轮由意大利工程师拉梅利设计。\n\n后来的图书馆里很少见到它，因为它太大，也太贵了。\n"
)
COMMANDS = [
    [],
    ["serve"],
    ["ask"],
    ["files"],
    ["files", "ls"],
    ["files", "put"],
    ["files", "show"],
    ["files", "get"],
    ["files", "rm"],
    ["batch"],
    ["batch", "submit"],
    ["batch", "run"],
    ["batch", "ls"],
    ["batch", "show"],
    ["batch", "cancel"],
    ["batch", "results"],
    ["models"],
    ["models", "pull"],
    ["models", "list"],
    ["models", "rm"],
    ["doctor"],
    ["config"],
]


class Desk:
    """A folder with a settings file, documents and the command."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.config = folder / "desk.toml"
        self.config.write_text(tomli_w.dumps(settings), "utf-8")
        (folder / "herons.txt").write_text(HERONS, "utf-8")
        (folder / "书轮.txt").write_text(BOOKWHEEL, "gb18030")
        (folder / "blank.txt").write_bytes(b"\n\n")
        (folder / "program.txt").write_bytes(b"\x7fELF" + bytes(2_000))

    def run(self, *words: str, config: bool = True) -> subprocess.CompletedProcess[str]:
        """What the command says, in a terminal 200 columns wide."""
        command = [sys.executable, "-m", "bookwheel", *words, *(["--config", str(self.config)] if config else [])]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "COLUMNS": "200", "LANG": "C.UTF-8"}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, encoding="utf-8", timeout=120, check=False
        )

    def kept(self) -> list[str]:
        """The ids of the files in the data folder."""
        database = Path(tomllib.loads(self.config.read_text("utf-8"))["data_dir"]) / "bookwheel.db"
        if not database.exists():
            return []
        with closing(sqlite3.connect(database)) as connection:
            return [row[0] for row in connection.execute("SELECT file_id FROM files ORDER BY sequence")]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk whose server runs."""
    folder = tmp_path_factory.mktemp("running")
    settings = {"engines": {"quotes": {"kind": "extractive"}}}
    server = Server(folder, settings).start()
    yield Desk(folder, settings | {"data_dir": str(server.data_dir)})
    server.stop()


@pytest.fixture(scope="module")
def recording_engine() -> Iterator[RecordingEngine]:
    """An engine that says the same in other words than the documents'."""
    engine = RecordingEngine().start()
    engine.behave = answer_words(["So the tide turns ", "at seven then."])
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def noting(tmp_path_factory: pytest.TempPathFactory, recording_engine: RecordingEngine) -> Iterator[Desk]:
    """A desk whose server runs with that engine."""
    folder = tmp_path_factory.mktemp("noting")
    settings = {"engines": {"recording": recording_engine.settings()}}
    server = Server(folder, settings).start()
    yield Desk(folder, settings | {"data_dir": str(server.data_dir)})
    server.stop()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk without a server: commands start one for themselves."""
    folder = tmp_path_factory.mktemp("alone")
    return Desk(folder, {"data_dir": str(folder / "data"), "engines": {"quotes": {"kind": "extractive"}}})


@pytest.fixture(params=["running", "alone"])
def desk(request: pytest.FixtureRequest) -> Desk:
    """Both."""
    found: Desk = request.getfixturevalue(request.param)
    return found


class TestFiles:
    def test_are_put_listed_fetched_and_removed(self, running: Desk) -> None:
        put = running.run("files", "put", "herons.txt", "书轮.txt")
        assert put.returncode == 0, put.stderr
        ids = {name: file_id for file_id, name in (line.split("  ") for line in put.stdout.splitlines())}
        assert list(ids) == ["herons.txt", "书轮.txt"]
        header, newest, *_ = running.run("files", "ls").stdout.splitlines()
        assert header.split() == ["ID", "STATUS", "SIZE", "UPLOADED", "NAME"]
        cells = newest.split()
        size = str(len(BOOKWHEEL.encode("gb18030")))
        assert (cells[:3], cells[-1]) == ([ids["书轮.txt"], "processed", size], "书轮.txt")
        assert running.run("files", "get", ids["书轮.txt"]).stdout == BOOKWHEEL
        removed = running.run("files", "rm", *ids.values())
        assert removed.stdout.splitlines() == [f"deleted {file_id}" for file_id in ids.values()]
        assert not set(ids.values()) & set(running.kept())

    def test_stay_where_they_are_when_no_server_runs(self, alone: Desk) -> None:
        put = alone.run("files", "put", "herons.txt")
        assert put.returncode == 0, put.stderr
        file_id = put.stdout.split()[0]
        assert alone.run("files", "get", file_id).stdout == HERONS
        assert alone.run("files", "rm", file_id).stdout == f"deleted {file_id}\n"
        assert file_id not in alone.kept()

    def test_can_be_written_to_a_file_as_they_were(self, running: Desk) -> None:
        file_id = running.run("files", "put", "书轮.txt").stdout.split()[0]
        assert running.run("files", "get", file_id, "--original", "--output", "copy").returncode == 0
        assert (running.folder / "copy").read_bytes() == (running.folder / "书轮.txt").read_bytes()

    def test_are_shown_with_what_was_found_in_them_and_their_pages(self, running: Desk) -> None:
        document = DOCUMENTS / "mixed.pdf"
        put = running.run("files", "put", str(document))
        assert put.returncode == 0, put.stderr
        file_id = put.stdout.split()[0]
        shown = running.run("files", "show", file_id).stdout
        found, _, text = shown.partition("\n\n")
        rows = dict(line.split(maxsplit=1) for line in found.replace(" pages", "-pages").splitlines())
        assert (rows["name"], rows["status"], rows["type"]) == ("mixed.pdf", "processed", "PDF")
        assert (rows["pages"], rows["ocr-pages"], rows["blank-pages"]) == ("3", "1", "1")
        assert text == running.run("files", "get", file_id).stdout
        assert text.startswith("[page 1]")

    def test_that_cannot_be_read_are_shown_with_the_reason(self, running: Desk) -> None:
        put = running.run("files", "put", str(DOCUMENTS / "password.pdf"))
        shown = running.run("files", "show", put.stdout.split()[0])
        assert shown.returncode == 0
        assert "protected with a password" in shown.stdout

    def test_that_cannot_be_read_are_named(self, running: Desk) -> None:
        put = running.run("files", "put", "blank.txt", "herons.txt")
        assert put.returncode != 0
        blank, told = _complaints(put)
        assert re.fullmatch(r"blank\.txt: File \[id:file-fe-\w+\] content blank\.", blank)
        assert told == "bookwheel: 1 of 2 files could not be read."
        assert "herons.txt" in put.stdout

    def test_that_are_not_there_are_said_not_to_be(self, running: Desk) -> None:
        missed = running.run("files", "get", "file-fe-none")
        assert missed.returncode != 0
        assert _complaints(missed) == ["bookwheel: No such File object: file-fe-none"]
        assert missed.stdout == ""


class TestAsk:
    def test_answers_from_a_file_with_citations_and_keeps_nothing(self, desk: Desk) -> None:
        before = desk.kept()
        asked = desk.run("ask", "herons.txt", "When does the tide turn?")
        assert asked.returncode == 0, asked.stderr
        lines = asked.stdout.splitlines()
        assert "The tide turns at seven." in lines
        assert [line for line in lines if re.fullmatch(r"\[\d\] herons\.txt, line 3: The tide turns at seven\.", line)]
        assert re.search(r"^\d+ of \d+ tokens shown \(full\); first word after", asked.stderr, re.MULTILINE)
        assert desk.kept() == before

    def test_answers_in_chinese_about_several_files(self, running: Desk) -> None:
        asked = running.run("ask", "herons.txt", "书轮.txt", "书轮是谁设计的？")
        assert asked.returncode == 0, asked.stderr
        lines = asked.stdout.splitlines()
        assert "书轮由意大利工程师拉梅利设计。" in lines
        cited = r"\[\d\] 书轮\.txt, line 3: 书轮由意大利工程师拉梅利设计。"
        assert [line for line in lines if re.fullmatch(cited, line)], asked.stdout

    def test_a_footnote_says_what_of_the_answer_it_is_for_where_the_answer_has_other_words(self, noting: Desk) -> None:
        asked = noting.run("ask", "herons.txt", "When does the tide turn?")
        assert asked.returncode == 0, asked.stderr
        answer, footnote = asked.stdout.splitlines()
        assert answer == "So the tide turns at seven then."
        assert footnote == "[1] “So the tide turns at seven then.” herons.txt, line 3: The tide turns at seven."

    @pytest.mark.parametrize("reading", ["auto", "full", "relevant", "overview", "thorough"])
    def test_reads_as_it_is_told(self, noting: Desk, reading: str) -> None:
        asked = noting.run("ask", "--reading", reading, "herons.txt", "When does the tide turn?")
        assert asked.returncode == 0, asked.stderr
        used = "full" if reading == "auto" else reading
        assert re.search(rf"^\d+ of \d+ tokens shown \({used}\); first word after", asked.stderr, re.MULTILINE)

    def test_shows_no_more_of_the_documents_than_it_is_told(self, noting: Desk) -> None:
        (noting.folder / "marsh.txt").write_text(HERONS * 50, "utf-8")
        asked = noting.run("ask", "--budget-tokens", "200", "marsh.txt", "When does the tide turn?")
        found = re.search(r"^(\d+) of (\d+) tokens shown \(relevant\)", asked.stderr, re.MULTILINE)
        assert found, asked.stderr
        assert 0 < int(found[1]) <= 200 < int(found[2])

    def test_shows_the_very_text_that_the_engine_was_sent(
        self, noting: Desk, recording_engine: RecordingEngine
    ) -> None:
        recording_engine.requests.clear()
        asked = noting.run("ask", "--show-context", "--no-citations", "herons.txt", "When does the tide turn?")
        sent = recording_engine.requests[-1]["messages"]
        assert [message["role"] for message in sent] == ["system", "user"]
        _, system, user = re.split(r"^─+ sent: \w+ ─+$", asked.stdout, flags=re.MULTILINE)
        assert _unwrapped(system) == _unwrapped(sent[0]["content"])
        assert user.strip() == "When does the tide turn?"

    @pytest.mark.parametrize("words", [["--reading", "quick"], ["--budget-tokens", "63"], ["--budget-tokens", "all"]])
    def test_refuses_a_reading_or_a_budget_that_is_none(self, running: Desk, words: list[str]) -> None:
        refused = running.run("ask", *words, "herons.txt", "What?")
        assert refused.returncode == 2
        assert words[0] in refused.stderr

    def test_takes_ids_and_keeps_files_when_told_to(self, running: Desk) -> None:
        kept = running.run("ask", "--keep", "--no-citations", "herons.txt", "When do otters come?")
        assert "Otters come at night." in kept.stdout
        assert "[1]" not in kept.stdout
        file_id = re.findall(r"kept: (file-fe-\w{24})", kept.stderr)[0]
        assert "Otters come at night." in running.run("ask", file_id, "When do otters come?").stdout

    @pytest.mark.parametrize(
        ("words", "complaint"),
        [
            (["herons.txt"], 'The question is missing: bookwheel ask herons.txt "What is this about?"'),
            (["none.txt", "What?"], "There is no file none.txt."),
            ([".", "What?"], "There is no file .."),
            (["file-fe-none", "What?"], "Invalid file [id:file-fe-none]."),
            (["program.txt", "What?"], "Input file format is not supported."),
            (["--model", "gpt-7", "What?"], "The model gpt-7 does not exist or you do not have access to it."),
        ],
    )
    def test_says_what_is_wrong(self, running: Desk, words: list[str], complaint: str) -> None:
        refused = running.run("ask", *words)
        assert refused.returncode != 0
        assert refused.stdout == ""
        assert _complaints(refused) == [f"bookwheel: {complaint}"]

    def test_says_that_a_file_is_blank_and_does_not_keep_it(self, running: Desk) -> None:
        before = running.kept()
        refused = running.run("ask", "blank.txt", "What?")
        assert refused.returncode != 0
        [told] = _complaints(refused)
        assert re.fullmatch(r"bookwheel: blank\.txt: File \[id:file-fe-\w+\] content blank\.", told)
        assert running.kept() == before

    def test_needs_words(self, running: Desk) -> None:
        refused = running.run("ask")
        assert refused.returncode == 2
        assert "Missing argument" in refused.stderr


class TestConfig:
    def test_shows_what_is_in_force_and_no_secret(self, tmp_path: Path) -> None:
        secrets = ["a-key-of-mine", "an-engine-key", "a-client-key"]
        upstream = {"kind": "upstream", "base_url": "http://127.0.0.1:9/v1", "model": "m", "api_key": secrets[1]}
        settings = {"accounts": {"me": {"keys": [secrets[0]]}}, "engines": {"up": upstream}, "server": {"port": 1234}}
        desk = Desk(tmp_path, settings | {"client": {"api_key": secrets[2]}})
        shown = desk.run("config", "--set", "limits.document_mb=7", "--data-dir", "elsewhere")
        assert shown.returncode == 0
        assert [secret for secret in secrets if secret in shown.stdout + shown.stderr] == []
        in_force = tomllib.loads(shown.stdout)
        assert in_force["accounts"]["me"]["keys"] == [in_force["engines"]["up"]["api_key"]] == ["**********"]
        assert (in_force["server"]["port"], in_force["limits"]["document_mb"]) == (1234, 7)
        assert in_force["data_dir"] == str(tmp_path / "elsewhere")

    @pytest.mark.parametrize(
        ("command", "assignment", "told"),
        [
            ("config", "server.port=99999", "server.port = 99999: "),
            ("serve", "server.prot=1", "server.prot: unknown setting; allowed here: "),
        ],
    )
    def test_a_wrong_setting_ends_it_with_one_line(self, alone: Desk, command: str, assignment: str, told: str) -> None:
        refused = alone.run(command, "--set", assignment)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert len(refused.stderr.splitlines()) == 1
        assert refused.stderr.startswith(f"bookwheel: {told}")


class TestDoctor:
    def test_finds_a_good_machine_well(self, alone: Desk) -> None:
        checked = alone.run("doctor")
        assert checked.returncode == 0, checked.stdout
        found = dict(line.removeprefix("ok ").strip().split(": ", 1) for line in checked.stdout.splitlines())
        assert list(found) == ["bookwheel", "data folder", "disk", "tokenizer", "sandbox", "engine quotes"]
        assert found["bookwheel"].startswith(__version__)
        assert "read a document of" in found["sandbox"]
        assert "FAIL" not in checked.stdout

    def test_finds_a_running_server_s_folder_well(self, running: Desk) -> None:
        checked = running.run("doctor")
        assert checked.returncode == 0, checked.stdout
        assert "in use by a Bookwheel that is running" in checked.stdout

    def test_names_what_is_ill(self, tmp_path: Path) -> None:
        (tmp_path / "occupied").write_text("a file where a folder should be")
        engine = {"kind": "upstream", "base_url": "http://127.0.0.1:1/v1", "model": "m", "connect_seconds": 2}
        desk = Desk(tmp_path, {"data_dir": str(tmp_path / "occupied"), "engines": {"up": engine}})
        checked = desk.run("doctor")
        assert checked.returncode == 1
        assert re.search(r"^FAIL data folder: .*a folder that can be written is needed", checked.stdout, re.MULTILINE)
        assert re.search(r"^FAIL engine up: ", checked.stdout, re.MULTILINE)
        assert "Traceback" not in checked.stderr


class TestModels:
    def test_lists_the_catalogue_and_what_is_here_of_it(self, alone: Desk) -> None:
        listed = alone.run("models", "list")
        assert listed.returncode == 0
        header, *rows = listed.stdout.splitlines()
        assert header.split() == ["NAME", "SIZE", "LICENCE", "FROM", "HERE"]
        assert sum("(default)" in row for row in rows) == 1
        assert all("Apache-2.0" in row and row.rstrip().endswith(" -") for row in rows)

    def test_a_name_that_is_not_in_the_catalogue_is_refused(self, alone: Desk) -> None:
        refused = alone.run("models", "rm", "gpt-7")
        assert refused.returncode != 0
        assert refused.stderr.startswith("bookwheel: gpt-7: not a model of the catalogue; it has ")


class TestHelp:
    def test_version(self, alone: Desk) -> None:
        told = alone.run("--version", config=False)
        assert (told.returncode, told.stdout) == (0, f"bookwheel {__version__}\n")

    def test_without_words_it_says_what_there_is(self, alone: Desk) -> None:
        told = alone.run(config=False)
        assert "Usage" in told.stdout + told.stderr
        assert "ask" in told.stdout + told.stderr

    @pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
    def test_says_something_of_every_command_and_option(self, command: list[str]) -> None:
        """In this process: the words are the same, and there are many commands."""
        found: Any = get_command(app)
        for name in command:
            found = found.commands[name]
        assert (found.help or "").strip()
        for parameter in found.params:
            assert parameter.name == "help" or parameter.param_type_name == "argument" or (parameter.help or "").strip()
        for name, inner in getattr(found, "commands", {}).items():
            assert [*command, name] in COMMANDS
            assert inner.get_short_help_str().strip()


def _unwrapped(text: str) -> str:
    """Without the line ends that a terminal's width makes."""
    return " ".join(text.split())


def _complaints(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """What it said on standard error."""
    return [line for line in ended.stderr.splitlines() if line.strip()]
