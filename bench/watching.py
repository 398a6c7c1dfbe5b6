"""Starts the watched server (`watched_server.py`), and tells what it holds at a moment: seen from outside and from within."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import tomli_w

from bench.measure import rss_mb
from bench.processes import START_SECONDS, Participant, ask_health, url_if_listening

HEALTH_CHECK = "GuardedEngine._wait_until_up"
QUIET_SECONDS = 10.0
"""Idle connections are kept for eight seconds at the most: four, and four more until that is looked after."""
MOST_QUIET_SECONDS = 45.0
"""Health checks pause for thirty seconds at most."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What the server holds after so many requests. `used_mb` is what is left of its resident memory, `held_mb`, when what
    the C library keeps free is given back. `tasks` are those that check no engine's health, `turns` the requests
    that run or wait at any engine."""

    requests: int
    held_mb: float
    used_mb: float
    sockets: int
    fds: int
    threads: int
    tasks: int
    health_checks: int
    generators: int
    objects: int
    turns: int
    names: str
    """Of the tasks and the sockets, with how many there are."""


class WatchedServer:
    """A `bookwheel serve` process that can be looked into."""

    def __init__(self, participant: Participant, url: str) -> None:
        self.url = url
        self._participant = participant

    def look(self, requests: int, endless_checks: int) -> Moment:
        """What it holds when it has come to rest: so many health checks may go on, of engines that stay down."""
        turns = self._wait_for_turns()
        deadline = time.monotonic() + MOST_QUIET_SECONDS
        while self._count()["tasks"].get(HEALTH_CHECK, 0) > endless_checks and time.monotonic() < deadline:
            time.sleep(1)
        time.sleep(QUIET_SECONDS)
        held_mb = rss_mb(self._participant.pid)
        return self._moment(requests, turns, held_mb, self._count())

    def _moment(self, requests: int, turns: int, held_mb: float, said: Mapping[str, Any]) -> Moment:
        process = psutil.Process(self._participant.pid)
        names = dict(said["tasks"])
        checks = names.pop(HEALTH_CHECK, 0)
        sockets = [_socket_name(one) for one in process.net_connections("tcp")]
        return Moment(
            requests=requests,
            held_mb=held_mb,
            used_mb=rss_mb(process.pid),
            sockets=len(sockets),
            fds=process.num_fds(),
            threads=process.num_threads(),
            tasks=sum(names.values()),
            health_checks=checks,
            generators=said["generators"],
            objects=said["objects"],
            turns=turns,
            names=", ".join(f"{name} x {count}" for name, count in sorted((Counter(names) + Counter(sockets)).items())),
        )

    def _wait_for_turns(self) -> int:
        """The turns that are still taken when all have had time to end."""
        deadline = time.monotonic() + QUIET_SECONDS
        while (turns := self._turns()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return turns

    def _turns(self) -> int:
        engines = ask_health(self.url)["engines"].values()
        return sum(engine["running"] + engine["waiting"] for engine in engines)

    def _count(self) -> dict[str, Any]:
        self._participant.tell()
        return self._participant.read()


@contextmanager
def open_watched_server(folder: Path, settings: Mapping[str, Any]) -> Iterator[WatchedServer]:
    """The server with these settings, its data and its log under `folder`."""
    config, log_path, data_dir = folder / "bookwheel.toml", folder / "server.log", folder / "data"
    config.write_text(tomli_w.dumps({**settings, "data_dir": str(data_dir)}), "utf-8")
    arguments = ("serve", "--config", str(config), "--port", "0")
    with Participant("bench.watched_server", str(log_path), *arguments) as participant:
        yield WatchedServer(participant, _wait_for_url(participant, data_dir / "server.json", log_path))


def _wait_for_url(participant: Participant, address_file: Path, log_path: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and not participant.has_ended:
        if url := url_if_listening(address_file):
            return url
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start:\n{log_path.read_text('utf-8', 'replace')}")


def _socket_name(one: Any) -> str:
    return f"{one.status} {f'to {one.raddr.port}' if one.raddr else ''}".rstrip()
