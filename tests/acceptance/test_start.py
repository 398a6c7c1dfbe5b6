"""Starting: without any settings it serves at once; where it cannot, it says why in one line and ends with status 2."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.request import ProxyHandler, build_opener

import pytest
from openai import OpenAI

from support.server import Server

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "COLUMNS": "200"}
HERONS = b"The heron stands in the reeds.\n\nThe tide turns at seven.\n"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without a configured engine and without weights."""
    running = Server(tmp_path_factory.mktemp("bare"), {"engines": {}}).start()
    yield running
    running.stop()


class TestWithoutAnEngine:
    def test_the_log_says_what_serves_and_how_to_get_more(self, bare: Server) -> None:
        [event] = [event for event in bare.log_events() if event["action"] == "built-in engine"]
        assert "answers are quotes from the documents (extractive)" in event["why"]
        assert "bookwheel models pull" in event["why"]

    def test_health_says_so(self, bare: Server) -> None:
        with build_opener(ProxyHandler({})).open(f"{bare.url}/health") as answer:
            health = json.load(answer)
        assert (health["status"], health["server"]) == ("ok", "bookwheel")
        [engine] = health["engines"].values()
        assert (engine["kind"], engine["ready"]) == ("extractive", True)

    def test_doctor_says_so(self, bare: Server) -> None:
        checked = _run("doctor", "--config", str(bare.folder / "bookwheel.toml"))
        assert checked.returncode == 0, checked.stdout
        assert "answers are quotes from the documents (extractive)" in checked.stdout
        assert "engine built-in: answers with quotes" in checked.stdout

    def test_questions_are_answered_with_quotes(self, bare: Server) -> None:
        client = OpenAI(base_url=f"{bare.url}/v1", api_key="any")
        file = client.files.create(file=("herons.txt", HERONS), purpose="user_data")
        messages: list[Any] = [
            {"role": "system", "content": f"fileid://{file.id}"},
            {"role": "user", "content": "When does the tide turn?"},
        ]
        answer = client.chat.completions.create(model="qwen-long", messages=messages)
        assert "The tide turns at seven." in str(answer.choices[0].message.content)


class TestRefusal:
    def test_a_port_in_use_is_named(self, tmp_path: Path) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            port = taken.getsockname()[1]
            refused = _run("serve", "--data-dir", str(tmp_path / "data"), "--port", str(port))
        told = f"server.port = {port} on 127.0.0.1: Address already in use; another port, or 0 for a free one"
        _check_one_line(refused, told)

    def test_an_address_that_is_not_here_is_named(self, tmp_path: Path) -> None:
        config = tmp_path / "bookwheel.toml"
        config.write_text('[accounts.me]\nkeys = ["a-key-of-mine"]\n')
        refused = _run("serve", "--config", str(config), "--host", "192.0.2.1", "--data-dir", str(tmp_path / "data"))
        assert refused.stderr.startswith("bookwheel: server.port = 8700 on 192.0.2.1: ")
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)

    def test_a_data_folder_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        """A file stands where the folder should be: that stops every user, the superuser too."""
        occupied = tmp_path / "occupied"
        occupied.write_text("")
        refused = _run("serve", "--data-dir", str(occupied / "data"), "--port", "0")
        _check_one_line(
            refused, f"data_dir = {occupied / 'data'}: Not a directory; a folder that can be written is needed"
        )

    def test_without_keys_it_does_not_listen_to_the_network(self, tmp_path: Path) -> None:
        refused = _run("serve", "--data-dir", str(tmp_path / "data"), "--host", "0.0.0.0")
        assert refused.stderr.startswith("bookwheel: server.host = 0.0.0.0: without keys only loopback ")
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
        assert not (tmp_path / "data").exists()

    def test_weights_that_are_not_here_are_named(self, tmp_path: Path) -> None:
        config = tmp_path / "bookwheel.toml"
        config.write_text('[engines.local]\nkind = "llama_cpp"\nmodel = "none.gguf"\n')
        refused = _run("serve", "--config", str(config), "--data-dir", str(tmp_path / "data"), "--port", "0")
        assert refused.stderr.startswith(
            "bookwheel: engines.local.model = none.gguf: no such weights here; allowed are "
        )
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)

    def test_a_config_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        _check_one_line(_run("serve", "--config", "none.toml"), "config: there is no file none.toml")


class TestExample:
    def test_its_lines_run_as_they_are_printed(self, tmp_path: Path) -> None:
        (tmp_path / "report.txt").write_bytes(HERONS)
        with _serving(tmp_path, "--example") as (server, printed):
            example = "".join(_up_to(printed, ".content)\n"))
            ran = subprocess.run(
                [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
            )
            assert ran.returncode == 0, ran.stderr
            assert ran.stdout.startswith("You asked: What is this about? I was shown: report.txt (")
            server.send_signal(signal.SIGINT)
            assert server.wait(60) == 0

    def test_servers_on_port_0_do_not_get_in_each_other_s_way(self, start_server: Callable[..., Server]) -> None:
        first, second = start_server(folder="first"), start_server(folder="second")
        assert first.url != second.url
        for server in (first, second):
            assert OpenAI(base_url=f"{server.url}/v1", api_key="any").models.list().data


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bookwheel", *words]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, encoding="utf-8", timeout=60, check=False)


def _check_one_line(refused: subprocess.CompletedProcess[str], told: str) -> None:
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.splitlines() == [f"bookwheel: {told}"]


@contextmanager
def _serving(folder: Path, *words: str) -> Iterator[tuple["subprocess.Popen[str]", IO[str]]]:
    """A server, and its standard output."""
    config = folder / "bookwheel.toml"
    config.write_text('[engines.test]\nkind = "fake"\n')
    command = [sys.executable, "-m", "bookwheel", "serve", "--config", str(config), "--port", "0", *words]
    command += ["--data-dir", str(folder / "data")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=log, encoding="utf-8")
    assert server.stdout is not None
    try:
        yield server, server.stdout
    finally:
        server.kill()
        server.wait(30)
        server.stdout.close()


def _up_to(lines: Iterable[str], ending: str) -> Iterator[str]:
    for line in lines:
        yield line
        if line.endswith(ending):
            return
