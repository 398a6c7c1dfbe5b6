"""Batches: what a line costs, how large a file may be, what twenty kills leave, whether answers stay the same, who waits.

Each part has a section of its own, and is written as soon as it is measured: one that fails does not cost the others.
"""

import argparse
import secrets
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp
from openai import APIError

from bench import batches_answers, batches_kills, batches_large, batches_lines, batches_questions
from bench.batches_desk import Outcome, Wanted
from bench.embedded import DEFAULT_MODEL
from bench.report import BENCHMARKS_HEAD, BENCHMARKS_PAGE, ROOT, Progress, publish
from bookwheel.engines.catalogue import CATALOGUE, is_pulled, weights_path
from bookwheel.settings import load_settings

PARTS: Mapping[str, Callable[[Wanted], Outcome]] = {
    "lines": batches_lines.measure,
    "large": batches_large.measure,
    "kills": batches_kills.measure,
    "answers": batches_answers.measure,
    "questions": batches_questions.measure,
}
MOST_SEED = 1_000_000
SHOWN_OF_LOG = 3_000
FAILURES = (RuntimeError, OSError, APIError, aiohttp.ClientError, ExceptionGroup)
"""Of a part: what can go wrong with servers and their clients."""


def main(arguments: list[str]) -> int:
    """Run the parts asked for. Exit status 1 where anything is wrong; that part is not written then."""
    options = _options(arguments)
    weights = _weights() if options.embedded else None
    failed = [part for part in options.parts or PARTS if not _run(part, options, weights)]
    if failed:
        print(f"WRONG: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _run(part: str, options: argparse.Namespace, weights: Path | None) -> bool:
    """Run one part, and tell whether all is well."""
    progress = Progress(f"batches {part}")
    with tempfile.TemporaryDirectory(prefix="bookwheel-bench-", ignore_cleanup_errors=True) as folder:
        wanted = Wanted(options.quick, options.seed, weights, _command(part, options), Path(folder), progress)
        try:
            outcome = PARTS[part](wanted)
        except FAILURES:
            traceback.print_exc()
            _show_logs(Path(folder))
            return False
    progress.done()
    publish(outcome.section, BENCHMARKS_PAGE, BENCHMARKS_HEAD, write=not options.quick and not outcome.wrong)
    for line in outcome.wrong:
        print(f"WRONG: {line}", file=sys.stderr)
    return not outcome.wrong


def _show_logs(folder: Path) -> None:
    for path in folder.rglob("server.log"):
        print(f"{path.relative_to(folder)}:\n{path.read_text('utf-8', 'replace')[-SHOWN_OF_LOG:]}", file=sys.stderr)


def _command(part: str, options: argparse.Namespace) -> str:
    """What repeats a part, its dice included."""
    said = ["python", "-m", "bench", "batches", part]
    said += ["--seed", str(options.seed)] if part == "kills" else []
    said += ["--embedded"] if options.embedded and part == "questions" else []
    return shlex.join(said)


def _weights() -> Path:
    """The smallest model of the catalogue, where it was pulled."""
    model = next(model for model in CATALOGUE if model.name == DEFAULT_MODEL)
    for models_dir in (load_settings().models_dir, ROOT / ".bookwheel" / "models"):
        if is_pulled(models_dir, model):
            return weights_path(models_dir, model)
    sys.exit(f"There are no weights: `bookwheel models pull {DEFAULT_MODEL}`.")


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench batches", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="few lines, only to see that it works; nothing is written")
    parser.add_argument("--seed", type=int, default=None, help="of what is drawn, the moments of kills (default: any)")
    parser.add_argument(
        "--embedded", action="store_true", help="questions: the embedded engine too; needs pulled weights"
    )
    options = parser.parse_args(arguments)
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(PARTS)}")
    if options.seed is None:
        options.seed = secrets.randbelow(MOST_SEED)
    return options
