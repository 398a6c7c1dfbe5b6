"""Batches from the command line: with a server that runs and without one, interrupted, killed and called again."""

import asyncio
import csv
import hashlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import tomli_w
from aiohttp import web
from openai import OpenAI

from support.engine import Behaviour, RecordingEngine, answer_object, answer_words, content_of, wait_until
from support.server import Server

ROOT = Path(__file__).parents[2]
CHAT = "/v1/chat/completions"
TEST = "/v1/chat/ds-test"
LIMITS = {"file_calls_per_second": 0, "file_deletes_per_second": 0}
REFUSAL = "This engine does not speak of that."


class Desk:
    """A folder with a settings file, and the command."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.data_dir = Path(settings["data_dir"])
        self.config = folder / "desk.toml"
        self.config.write_text(tomli_w.dumps(settings), "utf-8")
        self._files_before = self._files_on_disk()

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """The command, under way."""
        command = [sys.executable, "-m", "bookwheel", "batch", *words, "--config", str(self.config)]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "LANG": "C.UTF-8", "COLUMNS": "100"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen(command, cwd=self.folder, env=environment, encoding="utf-8", process_group=0, **pipes)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What the command says."""
        return ended(self.start(*words))

    def write(self, name: str, lines: list[dict[str, Any]]) -> Path:
        path = self.folder / name
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        return path

    def read(self, name: str) -> dict[str, dict[str, Any]]:
        """Results by custom_id; each is there once."""
        results = [json.loads(line) for line in (self.folder / name).read_text("utf-8").splitlines()]
        found = {result["custom_id"]: result for result in results}
        assert len(found) == len(results)
        return found

    def results_on_disk(self) -> int:
        """How many answers of unfinished batches are on disk."""
        files = [path for path in self.data_dir.rglob("output.jsonl") if path.parent.name.startswith("batch_")]
        return sum(path.read_bytes().count(b"\n") for path in files)

    def left_files(self) -> set[str]:
        """The files that came to the server, and are there yet."""
        return self._files_on_disk() - self._files_before

    def _files_on_disk(self) -> set[str]:
        return {path.name for path in (self.data_dir / "files").glob("*/*")}

    def has_server(self) -> bool:
        return (self.data_dir / "server.json").exists()


@pytest.fixture(scope="module")
def lasting_engine() -> Iterator[RecordingEngine]:
    engine = RecordingEngine().start()
    yield engine
    engine.close()


@pytest.fixture
def engine(lasting_engine: RecordingEngine) -> RecordingEngine:
    """It answers each question with its own words, and refuses those that speak of sphinxes."""
    lasting_engine.reset()
    lasting_engine.behave = echo
    return lasting_engine


@pytest.fixture(scope="module")
def lasting_server(tmp_path_factory: pytest.TempPathFactory, lasting_engine: RecordingEngine) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("lasting")
    server = Server(folder, settings_of(folder, lasting_engine)).start()
    yield server
    server.stop()


@pytest.fixture
def running(tmp_path: Path, engine: RecordingEngine, lasting_server: Server) -> Desk:
    """A desk whose server runs."""
    return Desk(tmp_path, settings_of(lasting_server.folder, engine))


@pytest.fixture
def alone(tmp_path: Path, engine: RecordingEngine) -> Iterator[Desk]:
    """A desk without a server: commands start one for themselves, and leave none behind."""
    yield Desk(tmp_path, settings_of(tmp_path, engine))
    wait_until_no_server(tmp_path)


@pytest.fixture(params=["running", "alone"])
def desk(request: pytest.FixtureRequest) -> Desk:
    """Both."""
    found: Desk = request.getfixturevalue(request.param)
    return found


def settings_of(folder: Path, engine: RecordingEngine) -> dict[str, Any]:
    engines = {"recording": engine.settings(batch_concurrency=1)}
    return {"data_dir": str(folder / "data"), "engines": engines, "limits": LIMITS}


def wait_until_no_server(folder: Path) -> None:
    """Wait until none of the servers that have this folder open is there."""
    wait_until(lambda: not any(has_open(process, folder / "data" / "lock") for process in psutil.process_iter()))


def has_open(process: psutil.Process, path: Path) -> bool:
    try:
        return str(path) in {opened.path for opened in process.open_files()}
    except psutil.Error:
        return False


async def echo(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    words = content_of(body["messages"][-1])
    behave = answer_object({"error": {"message": REFUSAL}}, 400) if "sphinx" in words else answer_words([words])
    return await behave(request, body)


def held_after(count: int, release: threading.Event) -> Behaviour:
    """Answers so many requests, and the others when it is let go on."""
    left = threading.Semaphore(count)

    async def behave(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        while not (left.acquire(blocking=False) or release.is_set()):
            await asyncio.sleep(0.01)
        return await echo(request, body)

    return behave


def line(custom_id: str, question: str = "", **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": question or f"Question {custom_id}"}]
    body = {"model": "qwen-long", "messages": messages}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body} | more


def dry_line(custom_id: str) -> dict[str, Any]:
    asked = line(custom_id, url=TEST)
    return asked | {"body": asked["body"] | {"model": "batch-test-model"}}


def lines(count: int) -> list[dict[str, Any]]:
    return [line(f"q{number}") for number in range(1, count + 1)]


def names(count: int) -> set[str]:
    return {f"q{number}" for number in range(1, count + 1)}


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    said, complained = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, said, complained)


def complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [said for said in (done.stderr or "").splitlines() if said.strip()]


def client_of(desk: Desk) -> OpenAI:
    url = json.loads((desk.data_dir / "server.json").read_text("utf-8"))["url"]
    return OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)


def submitted(desk: Desk, *words: str) -> str:
    """Submit a file; the batch's id."""
    done = desk.run("submit", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def wait_for(desk: Desk, batch_id: str, status: str) -> Any:
    client = client_of(desk)

    def found() -> Any:
        batch = client.batches.retrieve(batch_id)
        return batch if batch.status == status else None

    return wait_until(found)


def shown(desk: Desk, batch_id: str) -> dict[str, str]:
    """What `show` says, by name."""
    told = desk.run("show", batch_id)
    assert told.returncode == 0, told.stderr
    rows = told.stdout.partition("\n\n")[0].splitlines()
    pairs = (re.split(r"\s{2,}", row, maxsplit=1) for row in rows)
    return {name: value for name, value in pairs}  # noqa: C416 - each is a list


class TestSubmit:
    def test_prints_the_id_and_leaves_the_batch_to_the_server(self, running: Desk) -> None:
        running.write("questions.jsonl", lines(3))
        done = running.run("submit", "questions.jsonl", "--window", "3d", "--description", "three of them")
        assert (done.returncode, complaints(done)) == (0, [])
        assert re.fullmatch(r"batch_[0-9a-f-]{36}\n", done.stdout)
        batch = wait_for(running, done.stdout.strip(), "completed")
        assert (batch.endpoint, batch.completion_window) == (CHAT, "3d")
        assert batch.metadata == {"ds_name": "questions.jsonl", "ds_description": "three of them"}
        results = running.run("results", batch.id)
        found = {result["custom_id"]: result for result in map(json.loads, results.stdout.splitlines())}
        assert set(found) == names(3)
        assert found["q2"]["response"]["body"]["choices"][0]["message"]["content"] == "Question q2"

    def test_takes_the_endpoint_from_the_first_line(self, running: Desk, engine: RecordingEngine) -> None:
        running.write("dry.jsonl", [dry_line("q1")])
        assert running.run("submit", "dry.jsonl", "--wait").returncode == 0
        assert engine.requests == []

    def test_waits_until_the_end_when_told_to(self, desk: Desk) -> None:
        desk.write("questions.jsonl", lines(3))
        done = desk.run("submit", "questions.jsonl", "--wait", "--name", "three")
        batch_id = done.stdout.strip()
        assert (done.returncode, complaints(done)) == (0, [f"{batch_id} completed: 3 of 3 lines answered."])
        listed = {row.split()[0]: row.split() for row in desk.run("ls").stdout.splitlines()}
        assert (listed[batch_id][1:4], listed[batch_id][-1]) == (["completed", "3/3", "0"], "three")

    def test_says_how_many_lines_failed_and_how_to_see_them(self, running: Desk) -> None:
        running.write("questions.jsonl", [*lines(2), line("odd", "What of the sphinx?")])
        done = running.run("submit", "questions.jsonl", "--wait")
        batch_id = done.stdout.strip()
        see = f"bookwheel batch results {batch_id} --errors"
        assert complaints(done) == [f"bookwheel: {batch_id} completed: 2 of 3 lines answered, 1 failed. See {see}"]
        assert done.returncode == 1
        failed = json.loads(running.run(*see.split()[2:]).stdout)
        assert (failed["custom_id"], failed["response"]["status_code"]) == ("odd", 400)
        assert REFUSAL in failed["error"]["message"]

    def test_names_the_lines_that_are_wrong(self, running: Desk) -> None:
        running.write("wrong.jsonl", [line("a"), line("a"), line("b", method="GET"), line("c")])
        done = running.run("submit", "wrong.jsonl", "--wait")
        batch_id = done.stdout.strip()
        assert done.returncode == 1
        wrong = [
            "line 2: custom_id 'a' stands in line 1 already. (duplicate_custom_id)",
            "line 3: method is 'GET': it must be POST. (invalid_method)",
        ]
        assert complaints(done) == [*wrong, f"bookwheel: {batch_id} failed: no line was run."]
        assert running.run("show", batch_id).stdout.splitlines()[-2:] == wrong

    def test_left_alone_while_it_waits_the_batch_goes_on(self, running: Desk, engine: RecordingEngine) -> None:
        release = threading.Event()
        engine.behave = held_after(1, release)
        running.write("questions.jsonl", lines(3))
        waiting = running.start("submit", "questions.jsonl", "--wait")
        assert wait_until(lambda: len(engine.requests) == 2)
        os.killpg(waiting.pid, signal.SIGINT)
        done = ended(waiting)
        batch_id = done.stdout.strip()
        assert done.returncode == 130
        told = complaints(done)
        assert told[0] == f"{batch_id} goes on without you."
        assert [words for words in ("show", "cancel", "results") if f"bookwheel batch {words}" not in str(told)] == []
        release.set()
        assert wait_for(running, batch_id, "completed").request_counts.completed == 3

    def test_says_that_its_own_server_ends_with_it(self, alone: Desk, engine: RecordingEngine) -> None:
        engine.behave = held_after(0, threading.Event())
        alone.write("questions.jsonl", lines(1))
        waiting = alone.start("submit", "questions.jsonl", "--wait")
        assert wait_until(lambda: engine.requests)
        os.killpg(waiting.pid, signal.SIGINT)
        done = ended(waiting)
        assert done.returncode == 130
        assert "goes on when one runs again: bookwheel serve." in done.stderr
        assert not alone.has_server()

    def test_without_a_server_and_without_waiting_it_is_refused_before_anything_is_sent(self, alone: Desk) -> None:
        alone.write("questions.jsonl", lines(1))
        done = alone.run("submit", "questions.jsonl")
        assert (done.returncode, done.stdout) == (1, "")
        [told] = complaints(done)
        assert told.startswith("bookwheel: No server is running that would go on with a batch")
        assert "`bookwheel serve`" in told
        assert "`bookwheel batch run questions.jsonl`" in told
        assert not alone.data_dir.exists()

    @pytest.mark.parametrize(
        ("content", "words", "complaint"),
        [
            ("\n \n", [], "it.jsonl has no lines."),
            ("[]\n", [], "it.jsonl: its first line is not a JSON object with a url."),
            ('{"custom_id": "a"}\n', [], "it.jsonl: its first line is not a JSON object with a url."),
            ('{"url": "/v1/completions"}\n', [], "it.jsonl: the url of its first line is '/v1/completions'; there are"),
            (json.dumps(line("a")), ["--window", "12h"], "Invalid 'completion_window'"),
            (json.dumps(line("a")), ["--name", "n" * 101], "Invalid 'metadata.ds_name': at most 100 characters."),
        ],
    )
    def test_says_what_is_wrong_before_anything_is_sent(
        self, alone: Desk, content: str, words: list[str], complaint: str
    ) -> None:
        (alone.folder / "it.jsonl").write_text(content, "utf-8")
        done = alone.run("submit", "it.jsonl", "--wait", *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert complaints(done)[0].startswith(f"bookwheel: {complaint}")
        assert not alone.data_dir.exists()

    def test_a_batch_that_the_server_refuses_leaves_no_file(self, start_server: Callable[..., Server]) -> None:
        server = start_server({"engines": {"quotes": {"kind": "extractive"}}})
        desk = Desk(server.folder, server.settings | {"data_dir": str(server.data_dir)})
        desk.write("vectors.jsonl", [line("a", url="/v1/embeddings")])
        done = desk.run("submit", "vectors.jsonl")
        assert (done.returncode, done.stdout) == (1, "")
        assert "needs an embedding engine" in done.stderr
        assert desk.left_files() == set()


class TestLooking:
    def test_lists_all_batches_newest_first(self, running: Desk) -> None:
        running.write("dry.jsonl", [dry_line("q1")])
        client = client_of(running)
        file = client.files.create(file=running.folder / "dry.jsonl", purpose="batch")
        made = [
            client.batches.create(
                input_file_id=file.id, endpoint=TEST, completion_window="24h", metadata={"ds_name": f"n{number}"}
            ).id  # type: ignore[call-overload]
            for number in range(103)
        ]
        head, *rows = running.run("ls").stdout.splitlines()
        assert head.split() == ["ID", "STATUS", "DONE", "FAILED", "CREATED", "NAME"]
        assert [row.split()[0] for row in rows[:103]] == made[::-1]
        assert [row.split()[-1] for row in rows[:2]] == ["n102", "n101"]

    def test_shows_how_far_a_batch_is_and_what_it_is(self, running: Desk, engine: RecordingEngine) -> None:
        release = threading.Event()
        engine.behave = held_after(2, release)
        running.write("questions.jsonl", lines(5))
        batch_id = submitted(running, "questions.jsonl", "--name", "five")
        assert wait_until(lambda: running.results_on_disk() == 2)
        found = wait_until(lambda: (now := shown(running, batch_id)) and "2 of 5 lines" in now.get("lines", "") and now)
        assert re.fullmatch(r"2 of 5 lines, [\d.]+ lines/(?:s|min), \d:\d\d:\d\d left", found["lines"])
        assert (found["name"], found["status"], found["endpoint"]) == ("five", "in_progress", CHAT)
        assert (found["model"], found["window"]) == ("qwen-long", "24h")
        assert {"id", "input file", "created", "in progress", "expires"} <= set(found)
        release.set()
        wait_for(running, batch_id, "completed")
        found = shown(running, batch_id)
        assert found["lines"] == "5 of 5 lines"
        assert {"output file", "completed"} <= set(found)

    def test_cancels(self, running: Desk, engine: RecordingEngine) -> None:
        engine.behave = held_after(1, threading.Event())
        running.write("questions.jsonl", lines(3))
        waiting = running.start("submit", "questions.jsonl", "--wait")
        assert wait_until(lambda: running.results_on_disk() == 1)
        os.killpg(waiting.pid, signal.SIGINT)
        batch_id = ended(waiting).stdout.strip()
        done = running.run("cancel", batch_id)
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(rf"{batch_id} (cancelling|cancelled)\n", done.stdout)
        wait_until(lambda: shown(running, batch_id)["status"] == "cancelled")
        assert json.loads(running.run("results", batch_id).stdout)["custom_id"] == "q1"
        assert len(running.run("results", batch_id, "--errors").stdout.splitlines()) == 2

    def test_writes_results_to_a_file(self, running: Desk) -> None:
        running.write("questions.jsonl", lines(2))
        batch_id = running.run("submit", "questions.jsonl", "--wait").stdout.strip()
        done = running.run("results", batch_id, "-o", "answers.jsonl")
        assert (done.returncode, done.stdout) == (0, "")
        assert set(running.read("answers.jsonl")) == names(2)

    def test_says_why_there_are_no_results(self, running: Desk, engine: RecordingEngine) -> None:
        release = threading.Event()
        engine.behave = held_after(0, release)
        running.write("questions.jsonl", lines(1))
        batch_id = submitted(running, "questions.jsonl")
        wait_for(running, batch_id, "in_progress")
        refused = running.run("results", batch_id, "-o", "answers.jsonl")
        told = f"bookwheel: {batch_id} is in_progress: there are results when it has ended."
        assert (refused.returncode, complaints(refused)) == (1, [told])
        assert not (running.folder / "answers.jsonl").exists()
        release.set()
        wait_for(running, batch_id, "completed")
        assert complaints(running.run("results", batch_id, "--errors")) == [f"bookwheel: No line of {batch_id} failed."]

    def test_says_that_no_line_was_answered(self, running: Desk) -> None:
        running.write("odd.jsonl", [line("odd", "What of the sphinx?")])
        batch_id = running.run("submit", "odd.jsonl", "--wait").stdout.strip()
        told = complaints(running.run("results", batch_id))
        assert told == [
            f"bookwheel: No line of {batch_id} was answered. What failed: bookwheel batch results {batch_id} --errors"
        ]

    @pytest.mark.parametrize("command", ["show", "cancel", "results"])
    def test_a_batch_that_is_not_there_is_said_not_to_be(self, running: Desk, command: str) -> None:
        done = running.run(command, "batch_none")
        assert (done.returncode, complaints(done)) == (1, ["bookwheel: No such Batch object: batch_none"])


class TestRun:
    def test_writes_answers_and_failures_and_leaves_nothing_on_the_server(self, desk: Desk) -> None:
        desk.write("questions.jsonl", [*lines(3), line("odd", "What of the sphinx?")])
        done = desk.run("run", "questions.jsonl")
        assert (done.returncode, done.stdout) == (1, "")
        assert complaints(done)[-1].endswith("completed: 3 of 4 lines answered, 1 failed. See questions.errors.jsonl")
        assert set(desk.read("questions.output.jsonl")) == names(3)
        assert set(desk.read("questions.errors.jsonl")) == {"odd"}
        assert desk.left_files() == set()

    def test_without_failures_there_is_no_file_of_them(self, running: Desk) -> None:
        running.write("questions.jsonl", lines(2))
        (running.folder / "bad.jsonl").write_text("of an earlier run", "utf-8")
        done = running.run("run", "questions.jsonl", "-o", "good.jsonl", "--errors-to", "bad.jsonl")
        assert done.returncode == 0, done.stderr
        assert set(running.read("good.jsonl")) == names(2)
        assert {path.name for path in running.folder.glob("*.jsonl")} == {"questions.jsonl", "good.jsonl"}

    def test_names_the_lines_that_are_wrong_and_writes_nothing(self, running: Desk) -> None:
        running.write("wrong.jsonl", [line("a"), line("a")])
        done = running.run("run", "wrong.jsonl")
        assert done.returncode == 1
        assert complaints(done)[0] == "line 2: custom_id 'a' stands in line 1 already. (duplicate_custom_id)"
        assert {path.name for path in running.folder.glob("*.jsonl")} == {"wrong.jsonl"}
        assert running.left_files() == set()

    def test_what_is_kept_is_not_asked_for_again(self, running: Desk, engine: RecordingEngine) -> None:
        running.write("questions.jsonl", lines(2))
        assert running.run("run", "questions.jsonl", "--keep").returncode == 0
        assert Counter(name.rsplit("-", 1)[0] for name in running.left_files()) == {
            "file-batch": 1,
            "file-batch_output": 1,
        }
        (running.folder / "questions.output.jsonl").unlink()
        again = running.run("run", "questions.jsonl")
        assert again.returncode == 0, again.stderr
        assert "has answered these very lines: its results are taken." in again.stderr
        assert set(running.read("questions.output.jsonl")) == names(2)
        assert len(engine.requests) == 2
        assert running.left_files() == set()
        assert running.run("run", "questions.jsonl").returncode == 0
        assert len(engine.requests) == 4

    def test_the_same_lines_of_a_batch_that_was_submitted_are_not_mistaken_for_a_run(
        self, running: Desk, engine: RecordingEngine
    ) -> None:
        running.write("questions.jsonl", lines(1))
        running.run("submit", "questions.jsonl", "--wait")
        assert running.run("run", "questions.jsonl").returncode == 0
        assert len(engine.requests) == 2

    def test_results_that_nobody_fetched_are_fetched(self, running: Desk, engine: RecordingEngine) -> None:
        path = running.write("questions.jsonl", lines(2))
        client = client_of(running)
        file = client.files.create(file=path, purpose="batch")
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        batch = client.batches.create(
            input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"bookwheel_run": sha256}
        )
        wait_for(running, batch.id, "completed")
        done = running.run("run", "questions.jsonl")
        assert done.returncode == 0, done.stderr
        assert set(running.read("questions.output.jsonl")) == names(2)
        assert (len(engine.requests), running.left_files()) == (2, set())

    def test_interrupted_it_cancels_and_writes_what_was_answered(self, desk: Desk, engine: RecordingEngine) -> None:
        engine.behave = held_after(2, threading.Event())
        desk.write("questions.jsonl", lines(4))
        under_way = desk.start("run", "questions.jsonl")
        assert wait_until(lambda: desk.results_on_disk() == 2)
        os.killpg(under_way.pid, signal.SIGINT)
        done = ended(under_way)
        assert done.returncode == 130
        told = complaints(done)
        assert told[-2] == "Cancelling: what was answered is written."
        assert told[-1].endswith("cancelled: 2 of 4 lines answered, 2 failed.")
        assert set(desk.read("questions.output.jsonl")) == {"q1", "q2"}
        codes = {result["error"]["code"] for result in desk.read("questions.errors.jsonl").values()}
        assert codes == {"batch_cancelled"}
        assert desk.left_files() == set()

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP], ids=lambda s: s.name)
    def test_killed_it_takes_its_server_with_it_and_goes_on_when_called_again(
        self, alone: Desk, engine: RecordingEngine, number: signal.Signals
    ) -> None:
        engine.behave = held_after(2, threading.Event())
        alone.write("questions.jsonl", lines(5))
        under_way = alone.start("run", "questions.jsonl")
        assert wait_until(lambda: alone.results_on_disk() == 2)
        os.kill(under_way.pid, number)
        assert ended(under_way).returncode in (-number, 128 + number)
        wait_until_no_server(alone.folder)
        assert not (alone.folder / "questions.output.jsonl").exists()
        engine.behave = echo
        again = alone.run("run", "questions.jsonl")
        assert again.returncode == 0, again.stderr
        assert "these very lines" in again.stderr  # under way, or answered before the command asked
        assert set(alone.read("questions.output.jsonl")) == names(5)
        asked = Counter(content_of(request["messages"][-1]) for request in engine.requests)
        assert (asked["Question q1"], asked["Question q2"], asked["Question q5"]) == (1, 1, 1)

    def test_killed_beside_a_server_that_runs_it_goes_on_with_the_same_batch(
        self, running: Desk, engine: RecordingEngine
    ) -> None:
        release = threading.Event()
        engine.behave = held_after(1, release)
        running.write("questions.jsonl", lines(3))
        under_way = running.start("run", "questions.jsonl")
        assert wait_until(lambda: len(engine.requests) == 2)
        under_way.kill()
        ended(under_way)
        again = running.start("run", "questions.jsonl")
        assert again.stderr
        assert "has these very lines and is under way: going on with it." in again.stderr.readline()
        release.set()
        assert ended(again).returncode == 0
        assert set(running.read("questions.output.jsonl")) == names(3)
        assert len(engine.requests) == 3

    def test_other_lines_are_another_run(self, running: Desk, engine: RecordingEngine) -> None:
        running.write("questions.jsonl", lines(1))
        assert running.run("run", "questions.jsonl", "--keep").returncode == 0
        running.write("questions.jsonl", lines(2))
        assert running.run("run", "questions.jsonl").returncode == 0
        assert len(engine.requests) == 3

    @pytest.mark.parametrize(
        ("words", "complaint"),
        [
            (["-o", "questions.jsonl"], "questions.jsonl is the input file: name another one."),
            (["-o", "none/answers.jsonl"], "none/answers.jsonl cannot be written: "),
            (["-o", "a.jsonl", "--errors-to", "a.jsonl"], "a.jsonl cannot hold both the answers and the failures."),
        ],
    )
    def test_refuses_places_that_cannot_be_written(self, alone: Desk, words: list[str], complaint: str) -> None:
        alone.write("questions.jsonl", lines(1))
        done = alone.run("run", "questions.jsonl", *words)
        assert done.returncode == 1
        assert complaints(done)[0].startswith(f"bookwheel: {complaint}")
        assert not alone.data_dir.exists()


class TestBar:
    def test_a_terminal_sees_how_far_it_is_how_fast_and_how_long_yet(
        self, running: Desk, engine: RecordingEngine
    ) -> None:
        release = threading.Event()
        engine.behave = held_after(2, release)
        running.write("questions.jsonl", lines(4))
        ours, theirs = pty.openpty()
        under_way = running.start("run", "questions.jsonl", stderr=theirs)
        os.close(theirs)
        seen = read_until(ours, r"in_progress .* 2 of 4 lines, [\d.]+ lines/(?:s|min), \d:\d\d:\d\d left")
        assert "Uploading questions.jsonl" in seen
        release.set()
        read_until(ours, r"completed: 4 of 4 lines answered\.")
        assert ended(under_way).returncode == 0
        os.close(ours)


def read_until(terminal: int, pattern: str) -> str:
    """What stands on a terminal until something is there."""
    seen = ""
    while not re.search(pattern, seen):
        seen += os.read(terminal, 4096).decode("utf-8", "replace")
    return seen


# The how-to


def scripts() -> dict[str, str]:
    """The scripts of the how-to, by the names that they give themselves."""
    page = (ROOT / "docs" / "how-to" / "run-batches.md").read_text("utf-8")
    return {
        found[2]: found[1]
        for found in re.finditer(r"^```python\n(# (\w+\.py): .*?)^```$", page, re.MULTILINE | re.DOTALL)
    }


def dry_run() -> str:
    """The lines of the how-to that make a dry run."""
    page = (ROOT / "docs" / "how-to" / "run-batches.md").read_text("utf-8")
    [found] = re.findall(r"^head -n 100 .*$", page, re.MULTILINE)
    return str(found)


class Reader:
    """Somebody who does as the page says."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.url = json.loads((desk.data_dir / "server.json").read_text("utf-8"))["url"]

    def run(self, name: str) -> str:
        """What a script of the page prints."""
        code = scripts()[name].replace("http://127.0.0.1:8700", self.url)
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=self.desk.folder, capture_output=True, encoding="utf-8", check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def table(self) -> list[dict[str, str]]:
        with (self.desk.folder / "table.csv").open(encoding="utf-8", newline="") as table:
            return list(csv.DictReader(table))


@pytest.fixture
def reader(running: Desk) -> Reader:
    """With thirty documents, one of which is protected and one no document at all."""
    folder = running.folder / "documents"
    folder.mkdir()
    for number in range(28):
        (folder / f"letter-{number:02}.txt").write_text(f"Dear reader,\n\nthis is letter {number}.\n", "utf-8")
    (folder / "password.pdf").write_bytes((ROOT / "tests" / "documents" / "password.pdf").read_bytes())
    (folder / "program.txt").write_bytes(b"\x7fELF" + bytes(2_000))
    return Reader(running)


async def classify(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """As an engine would that knows `response_format`; one letter it does not understand."""
    number = re.search(r"this is letter (\d+)", " ".join(content_of(message) for message in body["messages"]))
    assert number
    assert "letter" in body["response_format"]["json_schema"]["schema"]["properties"]["category"]["enum"]
    verdict = json.dumps({"category": "letter", "summary": f"It is letter {number[1]}."})
    return await answer_words([verdict if number[1] != "7" else "I do not know."])(request, body)


class TestHowTo:
    def test_leads_from_a_folder_to_a_table_and_from_failures_to_a_second_run(
        self, reader: Reader, engine: RecordingEngine
    ) -> None:
        engine.behave = classify
        assert reader.run("questions.py").startswith("left out: program.txt: ")
        assert len((reader.desk.folder / "questions.jsonl").read_text("utf-8").splitlines()) == 29
        assert reader.desk.run("run", "questions.jsonl").returncode == 1
        failed = reader.run("failures.py")
        assert failed.startswith("password.pdf: File [id:file-fe-")
        assert "protected with a password" in failed
        said = reader.run("table.py").splitlines()
        assert said == [
            "no table row: letter-07.txt: 'I do not know.'",
            "27 rows in table.csv, 2 questions in again.jsonl",
        ]
        row = reader.table()[5]
        assert row == {"document": "letter-05.txt", "category": "letter", "summary": "It is letter 5."}
        engine.behave = answer_words(['```json\n{"category": "letter", "summary": "It is letter 7."}\n```'])
        assert reader.desk.run("run", "again.jsonl").returncode == 1
        assert reader.run("table.py").splitlines()[-1] == "28 rows in table.csv, 1 questions in again.jsonl"
        assert reader.table()[7]["summary"] == "It is letter 7."

    def test_uploads_nothing_twice(self, reader: Reader) -> None:
        reader.run("questions.py")
        lines_before = (reader.desk.folder / "questions.jsonl").read_text("utf-8")
        uploaded = reader.desk.left_files()
        reader.run("questions.py")
        assert (reader.desk.folder / "questions.jsonl").read_text("utf-8") == lines_before
        assert reader.desk.left_files() == uploaded

    def test_has_a_dry_run_that_asks_no_engine(self, reader: Reader, engine: RecordingEngine) -> None:
        reader.run("questions.py")
        subprocess.run(["bash", "-c", dry_run()], cwd=reader.desk.folder, check=True)
        done = reader.desk.run("run", "dry-run.jsonl", "-o", "dry-run.txt")
        assert done.returncode == 0, done.stderr
        assert len((reader.desk.folder / "dry-run.txt").read_text("utf-8").splitlines()) == 29
        assert engine.requests == []
