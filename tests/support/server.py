"""A real `bookwheel serve` process for tests, with settings of the test's choice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import psutil
import tomli_w

START_SECONDS = 60.0
_open = build_opener(ProxyHandler({})).open


class Server:
    """Start it, kill it, start it again on the same data folder."""

    def __init__(
        self, folder: Path, settings: dict[str, Any] | None = None, environment: dict[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.settings = {"engines": {"test": {"kind": "fake"}}, "log": {"format": "json"}} | (settings or {})
        self.environment = environment or {}
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def log_path(self) -> Path:
        return self.folder / "server.log"

    @property
    def process_id(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> "Server":
        """Start and wait until it listens."""
        config = self.folder / "bookwheel.toml"
        config.write_text(tomli_w.dumps(self.settings | {"data_dir": str(self.data_dir)}), "utf-8")
        command = [sys.executable, "-m", "bookwheel", "serve", "--config", str(config), "--port", "0"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BOOKWHEEL_")}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=kept | self.environment, cwd=self.folder
            )
        self._wait_until_listening()
        return self

    def stop(self) -> int:
        """Ask it to end, as an operator would; its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        """`kill -9`. Its children are left to notice by themselves."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def log_events(self) -> list[dict[str, Any]]:
        """The log's lines so far."""
        lines = self.log_path.read_text("utf-8", "replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def children(self) -> list[psutil.Process]:
        """The processes it started, and theirs."""
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def _wait_until_listening(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        address = self.data_dir / "server.json"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(
                    f"the server ended with {self.process.returncode}:\n{self.log_path.read_text('utf-8')}"
                )
            try:
                told = json.loads(address.read_text("utf-8"))
            except (OSError, ValueError):
                told = {}
            if told.get("pid") == self.process.pid:
                self.url = told["url"]
                with _open(f"{self.url}/health", timeout=10):
                    return
            time.sleep(0.05)
        raise RuntimeError(f"the server did not listen within {START_SECONDS} s:\n{self.log_path.read_text('utf-8')}")
