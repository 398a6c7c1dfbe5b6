"""Meanwhile: how long questions about a file take while a hundred others are being read and indexed.

One document is asked about, over and over, first alone, then while a hundred files are uploaded and ingested behind it. Each
question goes through the running server to an engine that answers at once.
"""

import argparse
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from bench.measure import percentile
from bench.report import BENCHMARKS_HEAD, BENCHMARKS_PAGE, ROOT, Progress, Section, Table, publish
from bench.retrieval_desk import Desk, open_desk

DOCUMENTS = ROOT / "demo" / "documents"
QUESTION = "What did Jim sell to buy the combs?"
OPTIONS = {"reading": "relevant", "budget_tokens": 1_000}
WINDOW_TOKENS = 32_768
FILES, QUICK_FILES = 100, 10
LINES = 1_400
"""Of one file."""
ALONE_QUESTIONS = 200
PAUSE_SECONDS = 0.02


def main(arguments: list[str]) -> int:
    """Ask alone and meanwhile, print, and write the section unless it was a short run."""
    parser = argparse.ArgumentParser(prog="python -m bench meanwhile", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_FILES} files only; nothing is written")
    options = parser.parse_args(arguments)
    progress = Progress("meanwhile")
    with tempfile.TemporaryDirectory(prefix="bookwheel-meanwhile-") as scratch:
        folder = Path(scratch)
        files = make_files(folder, QUICK_FILES if options.quick else FILES)
        data = folder / "data"
        data.mkdir()
        with open_desk(data, WINDOW_TOKENS) as desk:
            section = _measure(desk, files, progress)
    progress.done()
    publish(section, BENCHMARKS_PAGE, BENCHMARKS_HEAD, write=not options.quick)
    return 0


def make_files(folder: Path, count: int) -> list[Path]:
    """Text files of about 100,000 tokens each, sentences of the demo's documents in an order of their own."""
    dice = random.Random(1)
    sentences = [
        line for path in sorted(DOCUMENTS.glob("*.txt")) for line in path.read_text("utf-8").splitlines() if line
    ]
    paths = [folder / f"other-{number:03d}.txt" for number in range(count)]
    for path in paths:
        path.write_text("\n\n".join(dice.choices(sentences, k=LINES)), "utf-8")
    return paths


def _measure(desk: Desk, files: Sequence[Path], progress: Progress) -> Section:
    asked_about = DOCUMENTS / "the-gift-of-the-magi.txt"
    [file_id] = desk.upload([asked_about], progress).values()
    desk.ask(QUESTION, [file_id], OPTIONS)
    alone = [desk.ask(QUESTION, [file_id], OPTIONS).milliseconds for _ in range(ALONE_QUESTIONS)]
    began = time.monotonic()
    ingesting = threading.Thread(target=desk.upload, args=(files, Progress("ingest")))
    ingesting.start()
    meanwhile: list[float] = []
    while ingesting.is_alive():
        meanwhile.append(desk.ask(QUESTION, [file_id], OPTIONS).milliseconds)
        progress.say(f"question {len(meanwhile)} while {len(files)} files are read")
        time.sleep(PAUSE_SECONDS)
    ingesting.join()
    seconds = time.monotonic() - began
    rows = [_row("alone", alone), _row(f"while {len(files)} files are ingested", meanwhile)]
    return Section(
        name="meanwhile",
        title="Questions while other files are read",
        command="python -m bench meanwhile",
        tables=[Table(["question", "asked", "ms, median", "ms, p95", "ms, most"], rows)],
        notes=[
            (
                f"Milliseconds from the client's call to the engine's first byte. The {len(files)} files were read and "
                f"indexed within {seconds:.0f} s, by workers of a lower priority on the same cores."
            )
        ],
    )


def _row(name: str, milliseconds: Sequence[float]) -> list[str]:
    figures = (statistics.median(milliseconds), percentile(milliseconds, 95), max(milliseconds))
    return [name, str(len(milliseconds)), *(f"{figure:.1f}" for figure in figures)]
