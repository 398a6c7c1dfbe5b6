"""llama.cpp's server with parameters as told, and what it does with prompts: speed, answers side by side, pauses."""

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import psutil

from bench import engine_child
from bench.measure import cpu_seconds
from bench.processes import Participant

FieldValue = str | int | bool
ANSWER_SECONDS = 3600.0
TOKEN_IDS = range(100, 250)
"""Every vocabulary has these, and how long a prompt takes does not depend on what it says."""
SHORT_PROMPT = 16
WARM_TOKENS = 32
TOKENS_BEFORE = 5
"""What a stream has said before another prompt comes."""
ENDLESS_TOKENS = 1_000
"""More than a stream says while another prompt is read."""
END_SECONDS = 15.0
_open = build_opener(ProxyHandler({})).open


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to run the engine. `fields` are xllamacpp's parameters by name; what is not named is its default."""

    name: str
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    niceness: int = 0
    python: str = sys.executable

    def but(self, name: str, fields: Mapping[str, FieldValue] | None = None, **others: Any) -> "Variant":
        """The same with some things other, under another name."""
        return replace(self, name=name, fields={**self.fields, **(fields or {})}, **others)


@dataclass(frozen=True, slots=True)
class Speeds:
    """Tokens a second, by the engine's own clock, and tokens a second of its processor time."""

    read: float
    written: float
    read_per_cpu: float
    written_per_cpu: float


class EngineProcess:
    """An engine that listens. Asked for tokens, it writes just so many, whatever they mean."""

    def __init__(self, address: str, pid: int) -> None:
        self._address = address
        self._pid = pid
        self._dice = random.Random(1495)

    def warm_up(self) -> None:
        self._complete(WARM_TOKENS, 2)

    def speeds(self, read_tokens: int, written_tokens: int) -> Speeds:
        """Read one prompt, then answer a short one."""
        began = cpu_seconds(self._pid)
        reading = self._complete(read_tokens, 1)
        between = cpu_seconds(self._pid)
        writing = self._complete(SHORT_PROMPT, written_tokens)
        end = cpu_seconds(self._pid)
        return Speeds(
            read=reading["prompt_per_second"],
            written=writing["predicted_per_second"],
            read_per_cpu=read_tokens / max(between - began, 0.01),
            written_per_cpu=written_tokens / max(end - between, 0.01),
        )

    def written_side_by_side(self, requests: int, written_tokens: int) -> float:
        """Tokens a second that so many answers at once have together, their short prompts included."""
        began = time.perf_counter()
        with ThreadPoolExecutor(requests) as pool:
            list(pool.map(lambda _: self._complete(SHORT_PROMPT, written_tokens), range(requests)))
        return requests * written_tokens / (time.perf_counter() - began)

    def longest_pause_seconds(self, read_tokens: int) -> float:
        """The longest wait for a stream's next token while another request's prompt is being read."""
        other = threading.Thread(target=self._complete, args=(read_tokens, 1))
        times: list[float] = []
        with self._post(SHORT_PROMPT, ENDLESS_TOKENS, stream=True) as response:
            for line in response:
                if line.startswith(b"data:"):
                    times.append(time.perf_counter())
                    if len(times) == TOKENS_BEFORE:
                        other.start()
                    if len(times) > TOKENS_BEFORE and not other.is_alive():
                        break
        other.join()
        return max(later - earlier for earlier, later in pairwise(times))

    def _complete(self, read_tokens: int, written_tokens: int) -> dict[str, float]:
        with self._post(read_tokens, written_tokens) as response:
            timings: dict[str, float] = json.load(response)["timings"]
            return timings

    def _post(self, read_tokens: int, written_tokens: int, *, stream: bool = False) -> Any:
        body = {
            "prompt": self._dice.choices(TOKEN_IDS, k=read_tokens),
            "n_predict": written_tokens,
            "ignore_eos": True,
            "temperature": 0,
            "cache_prompt": False,
            "stream": stream,
        }
        request = Request(
            f"{self._address}/completion", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        return _open(request, timeout=ANSWER_SECONDS)


@contextmanager
def running_engine(weights: Path, variant: Variant, log: Path) -> Iterator[EngineProcess]:
    """Start an engine, wait until it listens and end it afterwards. Raises RuntimeError where it ended early."""
    told = {
        "fields": {**variant.fields, "model.path": str(weights), "port": _free_port(), "verbosity": 1, "ui": False},
        "environment": dict(variant.environment),
        "niceness": variant.niceness,
    }
    command = [variant.python, str(Path(engine_child.__file__)), json.dumps(told)]
    with log.open("wb") as said:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said)
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            raise RuntimeError(f"{variant.name}: the engine ended early:\n{log.read_text('utf-8', 'replace')[-2000:]}")
        engine = EngineProcess(json.loads(line)["address"], child.pid)
        engine.warm_up()
        yield engine
    finally:
        child.kill()
        child.communicate(timeout=END_SECONDS)


@contextmanager
def busy_processes(count: int, niceness: int) -> Iterator[None]:
    """So many processes that work without pause, as workers do that read documents."""
    with ExitStack() as working:
        for _ in range(count):
            working.enter_context(Participant("bench.busy", str(niceness))).read()
        yield


class Bystanders:
    """What the processes of this machine do that have no part in a measurement."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._others_seconds = _others_seconds()

    def share(self) -> float:
        """Their share of the machine's processor time so far. Processes that were started here must have ended."""
        cores_seconds = (time.monotonic() - self._began) * (psutil.cpu_count() or 1)
        return max(0.0, _others_seconds() - self._others_seconds) / cores_seconds


def _others_seconds() -> float:
    busy, own = psutil.cpu_times(), os.times()
    everybody = busy.user + busy.nice + busy.system + busy.irq + busy.softirq + busy.steal
    return float(everybody - own.user - own.system - own.children_user - own.children_system)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
