"""Runs the peers of retrieval, `retriever.py` in their own environment, and keeps what they chose for the next time.

What is kept is named by everything it came from: the questions, the budgets, the files' contents, the tools' versions.
"""

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.converting import PEERS, PEERS_FOLDER, make_peers
from bench.report import ROOT
from bookwheel.extraction.extract import extract_document
from bookwheel.extraction.report import DRAFT, TEXT

RETRIEVER = Path(__file__).with_name("retriever.py")
CACHE = ROOT / ".cache" / "retrieval"
TITLES = {"bm25s": "bm25s", "qwen-agent": "Qwen-Agent"}


@dataclass(frozen=True, slots=True)
class PeerQuestion:
    """A question of `retriever.py`'s."""

    id: str
    question: str
    haystack: str


@dataclass(frozen=True, slots=True)
class PeerRequests:
    """What a peer is asked: see `retriever.py`. `haystacks` are paths of text files by name."""

    budgets: Sequence[int]
    kept: bool
    haystacks: Mapping[str, Sequence[str]]
    questions: Sequence[PeerQuestion]


@dataclass(frozen=True, slots=True)
class PeerRun:
    """What a peer chose, as lines of `selections.jsonl`, and what it took; CPU seconds to prepare are by haystack."""

    selections: Sequence[Mapping[str, Any]]
    prepare_cpu_seconds: Mapping[str, float]
    idle_mb: float
    peak_mb: float


def run_peer(tool: str, requests: PeerRequests, *, keep: bool, peers: Path = PEERS_FOLDER) -> PeerRun:
    """Have a peer choose. With `keep` an earlier run's choice is taken where nothing has changed since."""
    asked = json.dumps(asdict(requests))
    if not keep:
        with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as folder:
            return _choose(tool, asked, Path(folder) / "chosen.jsonl", peers)
    target = CACHE / f"{tool}-{_key(tool, asked, requests)}.jsonl"
    return _read(target) if _summary_path(target).is_file() else _choose(tool, asked, target, peers)


def plain_text(source: Path) -> Path:
    """The file itself where it is text; else one with our own extraction of it, so that all tools read the same."""
    if source.suffix == ".txt":
        return source
    target = CACHE / "texts" / f"{_digest(source.read_bytes())}" / f"{source.stem}.txt"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as name:
            report = extract_document(source, source.name, Path(name), _say_nothing)
            made = Path(name) / f"{DRAFT if report.gaps else ''}{TEXT}"
            target.write_bytes(made.read_bytes())
    return target


def _choose(tool: str, asked: str, target: Path, peers: Path) -> PeerRun:
    make_peers(peers)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as folder:
        requests = Path(folder) / "requests.json"
        requests.write_text(asked, "utf-8")
        command = [str(peers.absolute() / "bin" / "python"), str(RETRIEVER), tool, str(requests), str(target)]
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{tool} failed:\n{done.stderr.decode(errors='replace')[-2000:]}")
    return _read(target)


def _read(target: Path) -> PeerRun:
    summary = json.loads(_summary_path(target).read_text("utf-8"))
    selections = [json.loads(line) for line in target.read_text("utf-8").splitlines()]
    return PeerRun(selections, summary["prepared"], summary["idle_mb"], summary["peak_mb"])


def _summary_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _key(tool: str, asked: str, requests: PeerRequests) -> str:
    files = sorted({file for paths in requests.haystacks.values() for file in paths})
    contents = "".join(_digest(Path(file).read_bytes()) for file in files)
    return _digest("\n".join([tool, asked, contents, *_versions()]).encode())


def _versions() -> Iterable[str]:
    return (path.read_text("utf-8") for path in (PEERS, RETRIEVER))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:24]


def _say_nothing(unit: str, number: int, total: int) -> None:
    """Nobody waits for progress."""
