"""Runs the tools that turn files into text, each conversion in a process of its own with limits, and keeps what they gave.

A crash or a hang is that tool's failure with that file, and the run goes on. Peers live in an environment of their own,
made on demand from `peers.txt`.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.manifest import OCR, TEXT, Expected
from bench.report import ROOT

CONVERTER = Path(__file__).with_name("converter.py")
PEERS = Path(__file__).with_name("peers.txt")
PEERS_FOLDER = ROOT / ".cache" / "peers"
UV = ROOT / ".uv" / "bin" / "uv"
OURS = "bookwheel"
OURS_TEXT = "bookwheel-text"
"""The same without OCR: what it takes to read what is text already, pictures in it left out."""
MOST_WARM_UP_BYTES = 300_000


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool and the Python that runs it. Without `formats` it reads all; `ocr` says whether it reads pictures of text,
    or those alone."""

    name: str
    python: Path
    formats: frozenset[str] = frozenset()
    ocr: Literal["too", "only", "no"] = "too"

    def reads(self, expected: Expected) -> bool:
        if self.ocr != "too" and (expected.expect == OCR or expected.format == "image") is not (self.ocr == "only"):
            return False
        return not self.formats or expected.format in self.formats


@dataclass(frozen=True, slots=True)
class Limits:
    """What one conversion may take. `seconds` are of the clock, loading and warming up included."""

    memory_mb: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of a file. `text` is None where there is none; `error` says why, and `died` that the tool did not."""

    text: str | None
    error: str
    died: bool
    cpu_seconds: float
    peak_mb: float

    @property
    def refused(self) -> bool:
        return self.text is None and not self.died


def tools(names: Sequence[str], peers: Path) -> list[Tool]:
    """The tools of these names that are here; makes the peers' environment where it is needed. Says what is left out."""
    ours = Path(sys.executable)
    theirs = peers / "bin" / "python"
    known = [
        Tool(OURS, ours),
        Tool(OURS_TEXT, ours, ocr="no"),
        Tool("markitdown", theirs),
        Tool("kreuzberg", theirs),
        Tool("pypdfium2", theirs, frozenset({"pdf"}), ocr="no"),
        Tool("calamine", theirs, frozenset({"xlsx"}), ocr="no"),
        Tool("tesseract", ours, frozenset({"pdf", "image"}), ocr="only"),
    ]
    chosen = [tool for tool in known if tool.name in names]
    if any(tool.python == theirs for tool in chosen):
        make_peers(peers)
    if any(tool.name == "tesseract" for tool in chosen) and shutil.which("tesseract") is None:
        print("tesseract is not installed: it is left out.", file=sys.stderr)
        chosen = [tool for tool in chosen if tool.name != "tesseract"]
    return chosen


def make_peers(folder: Path, peers: Path = PEERS) -> None:
    """An environment with the peers, unless it is there. The copy of `peers` in it says of what it was made."""
    made = folder / peers.name
    if made.exists() and made.read_text("utf-8") == peers.read_text("utf-8"):
        return
    print(f"Installing the peers into {folder} ...", file=sys.stderr)
    uv = str(UV) if UV.exists() else shutil.which("uv")
    if uv:
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python")]
    else:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, "--requirement", str(peers)], check=True)
    shutil.copyfile(peers, made)


def warm_up_file(files: Sequence[Expected], expected: Expected) -> str | None:
    """The smallest honest file of the same format and kind, for the first conversion, which is not counted."""
    alike = [file for file in files if file.format == expected.format and file.expect in (TEXT, OCR)]
    same = [file for file in alike if file.expect == expected.expect] or alike
    small = [file for file in same if file.size_bytes <= MOST_WARM_UP_BYTES]
    return min(small, key=lambda file: file.size_bytes).name if small else None


def convert(tool: Tool, source: Path, target: Path, limits: Limits, warm_up: Path | None) -> Conversion:
    """Convert a file in a process of its own, the outcome kept as `target` with `.txt` or `.err`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for ending in (".txt", ".err", ".json"):
        target.with_name(target.name + ending).unlink(missing_ok=True)
    command = [str(tool.python), str(CONVERTER), tool.name, str(source), str(target), str(limits.memory_mb)]
    ended = _run([*command, *([str(warm_up)] if warm_up else [])], limits.seconds)
    return read_conversion(target) or Conversion(None, ended, died=True, cpu_seconds=0.0, peak_mb=0.0)


def read_conversion(target: Path) -> Conversion | None:
    """What an earlier `convert` kept; None where the tool died."""
    taken_path = target.with_name(target.name + ".json")
    if not taken_path.exists():
        return None
    taken = json.loads(taken_path.read_text("utf-8"))
    said = target.with_name(target.name + (".err" if taken["refused"] else ".txt")).read_text("utf-8")
    text, error = (None, said) if taken["refused"] else (said, "")
    return Conversion(text, error, died=False, cpu_seconds=taken["cpu_seconds"], peak_mb=taken["peak_mb"])


def _run(command: Sequence[str], seconds: float) -> str:
    """Run to the end or the time's; in words how it ended."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"It was ended after {seconds:g} seconds."
    return f"It ended with status {status}."
