"""What the embedded engine has read stays read: over questions, restarts and deaths, until its file is deleted.

With llama.cpp in its child process and a tiny model made on the spot, whose tokens are single bytes.
"""

import json
import re
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest
from openai import OpenAI

from support.engine import wait_until
from support.server import Server
from support.tiny_gguf import TOOLS, write_tiny_gguf

TIDES = "The tide at Dover rises 6.7 metres in spring.\n" * 30
MOONS = "The moon stands over the harbour of Ely.\n" * 35
DIGITS = "3141592653\n" * 27
"""Each is a token, of this model and by Bookwheel's own count."""
READ = re.compile(r"prompt eval time = .* / +(\d+) tokens")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("weights") / "tiny.gguf", template=TOOLS)


def settings_for(weights: Path, **more: Any) -> dict[str, Any]:
    engine = {
        "kind": "llama_cpp",
        "model": str(weights),
        "window_tokens": 8_192,
        "max_output_tokens": 500,
        "threads": 1,
    }
    return {"engines": {"tiny": engine | more}, "server": {"shutdown_seconds": 1}}


@pytest.fixture
def start(start_server: Callable[..., Server], weights: Path) -> Callable[..., Server]:
    """`start(slots=1, tables={...})`: a server with the tiny engine, with further settings of it or tables."""

    def start_tiny(tables: dict[str, Any] | None = None, **more: Any) -> Server:
        return start_server(settings_for(weights, **more) | (tables or {}))

    return start_tiny


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Iterator[Server]:
    """A server for the tests that leave it as it was, but for what it has read."""
    server = Server(tmp_path_factory.mktemp("shared"), settings_for(weights)).start()
    yield server
    server.stop()


def client_of(server: Server, key: str = "any") -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)


def upload(client: OpenAI, text: str = TIDES) -> str:
    return client.files.create(file=("tides.txt", text.encode()), purpose="file-extract").id


def ask(client: OpenAI, *file_ids: str, question: str = "How high?", stream: bool = False) -> tuple[int, int]:
    """The tokens of a question's prompt, and how many of them had been read before."""
    messages: Any = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "system", "content": ",".join(f"fileid://{file_id}" for file_id in file_ids)},
        {"role": "user", "content": question},
    ]
    options: Any = {"model": "qwen-long", "messages": messages, "max_tokens": 4}
    if stream:
        chunks = client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True})
        usage = [chunk.usage for chunk in chunks][-1]
    else:
        usage = client.chat.completions.create(**options).usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens is not None
    return usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens


def folder(server: Server) -> Path:
    return server.data_dir / "prompts" / "engine-tiny"


def states(server: Server) -> list[Path]:
    return sorted(folder(server).glob("*.state"))


def child_of(server: Server) -> psutil.Process:
    (child,) = (c for c in server.children() if "bookwheel.engines.llama_cpp_server" in c.cmdline())
    return child


def read_tokens(log_file: Path) -> list[int]:
    """The tokens that llama.cpp says it has read, task by task, since it was started."""
    return [int(found[1]) for found in READ.finditer(log_file.read_text("utf-8", "replace"))]


@pytest.mark.parametrize("stream", [False, True])
def test_cached_tokens_are_what_was_not_read_again(shared: Server, stream: bool) -> None:
    client, log_file = client_of(shared), shared.data_dir / "engine-tiny.log"
    file_id = upload(client, f"{stream} {TIDES}")
    before = len(read_tokens(log_file))
    prompt_tokens, cached = ask(client, file_id, stream=stream)
    assert prompt_tokens - cached > len(TIDES)
    wait_until(lambda: sum(read_tokens(log_file)[before:]) == prompt_tokens - cached)
    before = len(read_tokens(log_file))
    prompt_tokens, cached = ask(client, file_id, question="How low, then?", stream=stream)
    wait_until(lambda: read_tokens(log_file)[before:] == [prompt_tokens - cached])
    assert cached > len(TIDES)


@pytest.mark.parametrize("killed", [False, True])
def test_a_restart_does_not_have_it_read_again(start: Callable[..., Server], killed: bool) -> None:
    server = start()
    file_id = upload(client_of(server))
    ask(client_of(server), file_id)
    if killed:
        server.kill()
    else:
        server.stop()
    server.start()
    prompt_tokens, cached = ask(client_of(server), file_id, question="How low, then?")
    assert cached > len(TIDES)
    wait_until(lambda: read_tokens(server.data_dir / "engine-tiny.log") == [prompt_tokens - cached])


def test_neither_does_the_death_of_the_child(shared: Server) -> None:
    client = client_of(shared)
    file_id = upload(client)
    ask(client, file_id)
    child_of(shared).kill()
    assert ask(client, file_id, question="How low, then?")[1] > len(TIDES)


def test_states_are_for_their_owners_eyes(shared: Server) -> None:
    ask(client_of(shared), upload(client_of(shared), MOONS))
    assert folder(shared).stat().st_mode & 0o777 == 0o700
    assert {state.stat().st_mode & 0o777 for state in states(shared)} == {0o600}


def test_a_deleted_file_leaves_no_state_and_no_slot_that_holds_it(start: Callable[..., Server]) -> None:
    server = start()
    client = client_of(server)
    file_id, other = upload(client), upload(client, MOONS)
    ask(client, file_id)
    ask(client, other)
    ask(client, file_id, other)
    assert len(states(server)) == 3
    client.files.delete(file_id)
    (label,) = (json.loads(path.read_text()) for path in folder(server).glob("*.json"))
    assert (len(states(server)), label["file_ids"]) == (1, [other])
    assert (
        ask(client, upload(client))[1] < 300
    )  # the same text again: what is left is the role and what we say of documents
    assert ask(client, other)[1] > len(MOONS)


def test_a_state_whose_file_is_gone_at_the_start_goes_too(start: Callable[..., Server]) -> None:
    server = start()
    client = client_of(server)
    file_id = upload(client)
    ask(client, file_id)
    kept = {path.name: path.read_bytes() for path in folder(server).iterdir()}
    client.files.delete(file_id)
    server.kill()
    for name, data in kept.items():  # as if the server had died before it removed them
        (folder(server) / name).write_bytes(data)
    server.start()
    assert states(server) == []


def test_a_damaged_state_is_read_anew_and_harms_nothing(start: Callable[..., Server]) -> None:
    server = start()
    file_id = upload(client_of(server))
    ask(client_of(server), file_id)
    server.stop()
    (state,) = states(server)
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 1
    state.write_bytes(data)
    server.start()
    child = child_of(server)
    assert ask(client_of(server), file_id)[1] == 0
    assert child.is_running()
    assert any(event["action"] == "prompt state damaged" for event in server.log_events())
    server.kill()
    server.start()
    assert ask(client_of(server), file_id)[1] > len(TIDES)


def test_states_are_kept_within_their_bound(start: Callable[..., Server]) -> None:
    server = start(prompt_states_mb=1)
    client = client_of(server)
    for number in range(6):
        ask(client, upload(client, f"{number}{DIGITS}"))
        assert 0 < sum(path.stat().st_size for path in states(server)) < 1_048_576
    assert 1 < len(states(server)) < 6
    ask(client, upload(client, TIDES))  # it alone is more
    assert sum(path.stat().st_size for path in states(server)) < 1_048_576


def test_a_server_that_keeps_none_removes_those_that_there_are(start: Callable[..., Server], weights: Path) -> None:
    server = start()
    file_id = upload(client_of(server))
    ask(client_of(server), file_id)
    server.stop()
    server.settings |= settings_for(weights, prompt_states_mb=0)
    server.start()
    assert states(server) == []
    assert ask(client_of(server), file_id)[1] == 0
    assert ask(client_of(server), file_id, question="How low, then?")[1] > len(TIDES)  # the slot still has it
    assert states(server) == []


def test_accounts_share_nothing_that_was_read(start: Callable[..., Server]) -> None:
    keys = {"ely": {"keys": ["ely-12345"]}, "york": {"keys": ["york-12345"]}}
    server = start(tables={"accounts": keys}, slots=1)
    ely, york = client_of(server, "ely-12345"), client_of(server, "york-12345")
    ask(ely, upload(ely))
    file_id = upload(york)
    assert ask(york, file_id)[1] == 0
    assert ask(york, file_id, question="How low, then?")[1] > len(TIDES)
    assert len(states(server)) == 2


def test_text_given_inline_is_kept_in_its_slot_only(shared: Server) -> None:
    client = client_of(shared)
    messages: Any = [{"role": "system", "content": "You help."}, {"role": "system", "content": TIDES}]
    kept, cached = states(shared), []
    for question in ("How high?", "How low, then?"):
        asked = [*messages, {"role": "user", "content": question}]
        usage = client.chat.completions.create(model="qwen-long", messages=asked, max_tokens=4).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        cached.append(usage.prompt_tokens_details.cached_tokens or 0)
    assert cached[0] < 300 < len(TIDES) < cached[1]
    assert states(shared) == kept


def test_a_client_that_leaves_while_its_document_is_read_stops_the_reading(start: Callable[..., Server]) -> None:
    server = start(slots=1, window_tokens=65_536, whole_tokens=60_000)
    client, log_file = client_of(server), server.data_dir / "engine-tiny.log"
    file_id = upload(client, DIGITS * 170)
    messages = [{"role": "system", "content": f"fileid://{file_id}"}, {"role": "user", "content": "How high?"}]
    leaving = HTTPConnection(server.url.removeprefix("http://"))
    body = json.dumps({"model": "qwen-long", "messages": messages})
    leaving.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    wait_until(lambda: "launch_slot_" in log_file.read_text("utf-8", "replace"))
    leaving.close()
    wait_until(lambda: "cancel task" in log_file.read_text("utf-8", "replace"))
    hello: Any = [{"role": "user", "content": "Hello"}]
    assert client.chat.completions.create(model="qwen-long", messages=hello, max_tokens=3).usage
    assert max(read_tokens(log_file)) < 10_000
    assert list(folder(server).iterdir()) == []
