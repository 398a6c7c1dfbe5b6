"""What `python -m bench streams` compares: the engine itself, and servers before it, each started on cores of its own."""

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import aiohttp

from bench.converting import make_peers
from bench.overhead import DOCUMENT, KEY, upload_text
from bench.processes import Participant, running_server
from bench.report import ROOT
from bookwheel.settings import environment_without_settings

PROXIES = Path(__file__).with_name("proxies.txt")
PROXIES_FOLDER = ROOT / ".cache" / "proxies"
LITELLM_START_SECONDS = 120.0
LITELLM_MODEL = "served"
LITELLM_CONFIG = """\
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/mock
      api_base: {engine_url}/v1
      api_key: any
general_settings:
  master_key: {key}
litellm_settings:
  set_verbose: false
"""
AS_TEXT = [{"role": "system", "content": DOCUMENT}]
_open = build_opener(ProxyHandler({})).open


@dataclass(frozen=True, slots=True)
class Streamer:
    """Something that streams answers. `messages` put the document before it."""

    url: str
    pid: int
    headers: dict[str, str]
    model: str
    messages: list[dict[str, str]]


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """What is started inside stays on these cores; on systems that do not pin processes it runs anywhere."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def engine_alone(_folder: Path, engine: Participant, engine_url: str) -> Iterator[Streamer]:
    """Nothing stands before it."""
    yield Streamer(engine_url, engine.pid, {}, "mock", AS_TEXT)


@contextmanager
def bare_proxy(_folder: Path, _engine: Participant, engine_url: str) -> Iterator[Streamer]:
    """`bench.proxy`: the least that can stand between."""
    with Participant("bench.proxy", engine_url) as proxy:
        yield Streamer(proxy.read()["url"], proxy.pid, {}, "mock", AS_TEXT)


@contextmanager
def bookwheel(folder: Path, _engine: Participant, engine_url: str) -> Iterator[Streamer]:
    """The real server as in production: keys asked for, every request logged, the document by its id."""
    settings = {
        "engines": {"mock": {"kind": "upstream", "base_url": f"{engine_url}/v1", "model": "mock"}},
        "accounts": {"bench": {"keys": [KEY]}},
        "log": {"level": "info"},
    }
    headers = {"authorization": f"Bearer {KEY}"}
    with running_server(folder, settings) as server:
        by_id = [{"role": "system", "content": f"fileid://{asyncio.run(_upload(server.url, headers))}"}]
        yield Streamer(server.url, server.pid, headers, "qwen-long", by_id)


@contextmanager
def litellm(folder: Path, _engine: Participant, engine_url: str) -> Iterator[Streamer]:
    """LiteLLM's proxy: one worker, a key asked for, no database, no logs of its own."""
    make_peers(PROXIES_FOLDER, PROXIES)
    config, log_path, port = folder / "litellm.yaml", folder / "litellm.log", _free_port()
    config.write_text(LITELLM_CONFIG.format(model=LITELLM_MODEL, engine_url=engine_url, key=KEY), "utf-8")
    command = [
        str(PROXIES_FOLDER / "bin" / "litellm"),
        "--config",
        str(config),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR"}
    with log_path.open("ab") as log:
        process = _start(command, log, folder, environment_without_settings() | quiet)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_alive(f"{url}/health/liveliness", process, log_path)
        yield Streamer(url, process.pid, {"authorization": f"Bearer {KEY}"}, LITELLM_MODEL, AS_TEXT)
    finally:
        process.kill()
        process.wait()


async def _upload(url: str, headers: dict[str, str]) -> str:
    async with aiohttp.ClientSession(headers=headers, raise_for_status=True) as session:
        return await upload_text(session, url, "letter.txt", DOCUMENT)


def _start(
    command: Sequence[str], log: IO[bytes], folder: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=environment)


def _free_port() -> int:
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        return int(probing.getsockname()[1])


def _wait_until_alive(url: str, process: subprocess.Popen[bytes], log_path: Path) -> None:
    deadline = time.monotonic() + LITELLM_START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with _open(url, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"LiteLLM did not start:\n{log_path.read_text('utf-8', 'replace')[-2000:]}")
