"""The embedded engine: how fast it reads and writes with which parameters, on a machine that has nothing else to do and while
documents are ingested; answers side by side; how long a stream stands still while another prompt is read; and what the
second question about a document costs (see embedded_cache.py).

The rounds of all variants are interleaved, and each variant stands beside xllamacpp's plain defaults of the same round.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from bench.embedded_cache import ask_about, make_documents, waits_table
from bench.engine_process import SHORT_PROMPT, Bystanders, Speeds, Variant, busy_processes, running_engine
from bench.measure import median_of_ratios, with_spread
from bench.report import BENCHMARKS_HEAD, BENCHMARKS_PAGE, ROOT, Progress, Section, Table, publish
from bookwheel.engines.catalogue import CATALOGUE, is_pulled, weights_path
from bookwheel.engines.llama_cpp_server import BATCH_TOKENS
from bookwheel.engines.machine import THREADS_ENVIRONMENT, usable_cores
from bookwheel.extraction.child import NICENESS
from bookwheel.settings import load_settings

DEFAULT_MODEL = "qwen2.5-coder-0.5b-instruct"
SIDE_BY_SIDE = (1, 2, 4)
BATCHES = (2048, 512, BATCH_TOKENS)
WHOSE = {2048: " (llama.cpp's default)", BATCH_TOKENS: " (Bookwheel)"}
BUSY = 2
"""`ingest.workers` unless set."""
PLAIN, OURS = "plain defaults", "Bookwheel"
FIGURES = [field.name for field in fields(Speeds)]


@dataclass(frozen=True, slots=True)
class Amounts:
    """How many tokens are read and written, alone and beside busy workers, and how often."""

    read: int
    written: int
    busy_read: int
    busy_written: int
    side_by_side_written: int
    meanwhile_read: int
    document: int
    rounds: int


WHOLE = Amounts(512, 32, 128, 12, 48, 2048, 4000, rounds=3)
QUICK = Amounts(64, 4, 32, 2, 4, 128, 300, rounds=1)


@dataclass(frozen=True, slots=True)
class Run:
    """One model's part of a run: what it measures with, where its scratch is, what it says meanwhile.

    `native` is an interpreter whose xllamacpp was built on this machine, `evaldata` a folder of documents.
    """

    model: str
    weights: Path
    amounts: Amounts
    folder: Path
    progress: Progress
    native: str | None
    evaldata: Path | None

    @property
    def log(self) -> Path:
        return self.folder / "engine.log"

    def command(self, part: str) -> str:
        said = ["python -m bench embedded", part]
        said += [f"--weights {self.model}=FILE"] if self.model != DEFAULT_MODEL else []
        said += ["--native PYTHON"] if self.native and part == "settings" else []
        said += ["--evaldata DIR"] if self.evaldata and part == "cache" else []
        return " ".join(said)


def main(arguments: list[str]) -> int:
    """Measure the parts asked for, print, and write a section for each unless the run was a short one."""
    options = _options(arguments)
    amounts = QUICK if options.quick else WHOLE
    progress = Progress("embedded")
    with tempfile.TemporaryDirectory(prefix="bookwheel-embedded-") as folder:
        for name, weights in _weights(options.weights).items():
            run = Run(name, weights, amounts, Path(folder), progress, options.native, options.evaldata)
            for part in options.parts or PARTS:
                bystanders = Bystanders()
                section = PARTS[part](run)
                progress.done()
                said = f"Meanwhile all other processes of the machine took {bystanders.share():.1%} of its processors."
                section = replace(section, notes=[*section.notes, said])
                publish(section, BENCHMARKS_PAGE, BENCHMARKS_HEAD, write=not options.quick)
    return 0


def our_variant(cores: int) -> Variant:
    """The parameters of Bookwheel's own engine, as far as they have to do with speed."""
    threads = {"cpuparams.n_threads": cores, "cpuparams_batch.n_threads": cores}
    return Variant(
        OURS, {**threads, "n_batch": BATCH_TOKENS, "n_ubatch": BATCH_TOKENS, "n_ctx": 8192}, THREADS_ENVIRONMENT
    )


def about_threads(cores: int) -> list[Variant]:
    """The defaults, ours, and ours with other threads."""
    ours = our_variant(cores)
    one = {"cpuparams.n_threads": 1, "cpuparams_batch.n_threads": 1}
    return [
        Variant(PLAIN),
        ours,
        ours.but("threads spin as by default", environment={}),
        ours.but("threads sleep at once", environment={"OMP_WAIT_POLICY": "passive"}),
        ours.but("one thread", one),
        ours.but("one thread writes", {"cpuparams.n_threads": 1}),
        ours.but("lower priority", niceness=5),
    ]


def about_arithmetic(cores: int, native: str | None) -> list[Variant]:
    """Ours with other ways to compute: nothing that has to do with what else the machine does."""
    ours = our_variant(cores)
    compared = [
        ours.but("batches of 512", {"n_batch": 512, "n_ubatch": 512}),
        ours.but("no flash attention", {"flash_attn_type": "LLAMA_FLASH_ATTN_TYPE_DISABLED"}),
        ours.but("8-bit keys and values", {"cache_type_k": "GGML_TYPE_Q8_0", "cache_type_v": "GGML_TYPE_Q8_0"}),
        ours.but("weights not repacked", {"no_extra_bufts": True}),
    ]
    return compared if native is None else [*compared, ours.but("built on this machine", python=native)]


def measure_settings(run: Run) -> Section:
    """Tokens a second of every variant, and of those about threads beside busy processes too."""
    threads, arithmetic = about_threads(usable_cores()), about_arithmetic(usable_cores(), run.native)
    alone: dict[str, list[Speeds]] = {variant.name: [] for variant in [*threads, *arithmetic]}
    beside: dict[int, dict[str, list[Speeds]]] = {nice: {v.name: [] for v in threads} for nice in (NICENESS, 0)}
    amounts = run.amounts
    for turn in range(1, amounts.rounds + 1):
        for variant in [*threads, *arithmetic]:
            run.progress.say(f"{run.model}: {variant.name}, round {turn} of {amounts.rounds}")
            with running_engine(run.weights, variant, run.log) as engine:
                alone[variant.name].append(engine.speeds(amounts.read, amounts.written))
                for niceness, found in beside.items() if variant in threads else ():
                    with busy_processes(BUSY, niceness):
                        found[variant.name].append(engine.speeds(amounts.busy_read, amounts.busy_written))
    return Section(
        name=f"embedded-settings-{run.model}",
        title=f"The embedded engine's parameters: {run.model}",
        command=run.command("settings"),
        tables=[
            Table(
                ["tokens a second", "reads", "writes", "reads a CPU s", "writes a CPU s"], speed_rows(alone, FIGURES)
            ),
            Table([f"beside {BUSY} workers", "reads", "writes"], speed_rows(beside[NICENESS], FIGURES[:2])),
            Table([f"beside {BUSY} equals", "reads", "writes"], speed_rows(beside[0], FIGURES[:2])),
        ],
        notes=[
            (
                f"Medians of {amounts.rounds} interleaved rounds; in brackets the median ratio to the plain defaults of the "
                f"same round. A prompt of {amounts.read} tokens (beside others {amounts.busy_read}) is read, "
                f"{amounts.written} ({amounts.busy_written}) are written. Below `{OURS}` each line has one thing other than "
                "it. Workers do without pause what reading documents does, at a worker's priority; equals do the same at "
                "the engine's own. `a CPU s`: of processor time, all threads together."
            )
        ],
    )


def measure_side_by_side(run: Run) -> Section:
    """Answers at once: tokens a second that all have together."""
    ours = our_variant(usable_cores()).but(OURS, {"n_parallel": max(SIDE_BY_SIDE), "kv_unified": False})
    compared = [Variant(PLAIN), ours, ours.but("slots share one memory", {"kv_unified": True})]
    speeds: dict[str, dict[int, list[float]]] = {v.name: {n: [] for n in SIDE_BY_SIDE} for v in compared}
    for turn in range(1, run.amounts.rounds + 1):
        for variant in compared:
            run.progress.say(f"{run.model}: answers side by side, {variant.name}, round {turn} of {run.amounts.rounds}")
            with running_engine(run.weights, variant, run.log) as engine:
                for requests, found in speeds[variant.name].items():
                    found.append(engine.written_side_by_side(requests, run.amounts.side_by_side_written))
    rows = [[name, *(with_ratio(found[n], found[1]) for n in SIDE_BY_SIDE)] for name, found in speeds.items()]
    return Section(
        name=f"embedded-parallel-{run.model}",
        title=f"Answers side by side: {run.model}",
        command=run.command("parallel"),
        tables=[Table(["written tokens a second, together", *(f"{n} at once" for n in SIDE_BY_SIDE)], rows)],
        notes=[
            (
                f"{run.amounts.side_by_side_written} tokens each, after a prompt of {SHORT_PROMPT}. In brackets the ratio to "
                "one alone. The plain defaults have one slot: requests wait for each other."
            )
        ],
    )


def measure_pauses(run: Run) -> Section:
    """How long a stream stands still while another prompt is read, by the size of a batch."""
    ours = our_variant(usable_cores()).but(OURS, {"n_parallel": 2, "kv_unified": False})
    pauses: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    for turn in range(1, run.amounts.rounds + 1):
        for batch, found in pauses.items():
            run.progress.say(f"{run.model}: pauses with batches of {batch}, round {turn} of {run.amounts.rounds}")
            variant = ours.but(f"batches of {batch}", {"n_batch": batch, "n_ubatch": min(batch, 512)})
            with running_engine(run.weights, variant, run.log) as engine:
                found.append(engine.longest_pause_seconds(run.amounts.meanwhile_read))
    return Section(
        name=f"embedded-pauses-{run.model}",
        title=f"How long a stream stands still while another prompt is read: {run.model}",
        command=run.command("pauses"),
        tables=[
            Table(
                ["tokens in a batch", "longest pause, s"],
                [[f"{batch:,}{WHOSE.get(batch, '')}", with_spread(found)] for batch, found in pauses.items()],
            )
        ],
        notes=[
            f"One answer is streamed while another request's prompt of {run.amounts.meanwhile_read:,} tokens is read."
        ],
    )


def measure_second_question(run: Run) -> Section:
    """See embedded_cache.py."""
    documents = make_documents(run.amounts.rounds, run.amounts.document, run.evaldata)
    waits = ask_about(run.weights, documents, lambda number: run.progress.say(f"{run.model}: document {number}"))
    return Section(
        name=f"embedded-cache-{run.model}",
        title=f"The second question about a document: {run.model}",
        command=run.command("cache"),
        tables=[waits_table(waits)],
        notes=[
            (
                f"{len(documents)} documents of about {run.amounts.document:,} tokens, read in full; three different "
                "questions about each, asked through the stock client. Before the third the server was stopped, right after "
                "the second answer, and started again; loading the weights is not counted. Medians; ratios are medians of "
                "the documents' own."
            )
        ],
    )


PARTS: Mapping[str, Callable[[Run], Section]] = {
    "settings": measure_settings,
    "parallel": measure_side_by_side,
    "pauses": measure_pauses,
    "cache": measure_second_question,
}


def with_ratio(found: Sequence[float], base: Sequence[float]) -> str:
    """`84.1 (1.42x)`: the median, and the median of the rounds' ratios to another thing's."""
    ratio = "" if found is base else f" ({median_of_ratios(found, base):.2f}x)"
    return f"{statistics.median(found):.1f}{ratio}"


def speed_rows(found: Mapping[str, Sequence[Speeds]], figures: Sequence[str]) -> list[list[str]]:
    """A row for each variant, its figures beside those of the plain defaults."""
    columns = [{name: [getattr(s, figure) for s in speeds] for name, speeds in found.items()} for figure in figures]
    return [[name, *(with_ratio(column[name], column[PLAIN]) for column in columns)] for name in found]


def _weights(given: Sequence[str]) -> dict[str, Path]:
    """The models given as NAME=FILE, or else the smallest of the catalogue, where it was pulled."""
    if given:
        return dict(_named_weights(pair) for pair in given)
    model = next(model for model in CATALOGUE if model.name == DEFAULT_MODEL)
    for models_dir in (load_settings().models_dir, ROOT / ".bookwheel" / "models"):
        if is_pulled(models_dir, model):
            return {model.name: weights_path(models_dir, model)}
    sys.exit(f"There are no weights: `bookwheel models pull {DEFAULT_MODEL}`, or --weights NAME=FILE.")


def _named_weights(given: str) -> tuple[str, Path]:
    name, equals, path = given.partition("=")
    if not equals or not Path(path).expanduser().is_file():
        sys.exit(f"--weights {given}: give it as NAME=FILE, FILE being a GGUF file")
    return name, Path(path).expanduser().absolute()


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench embedded", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="one round of few tokens; nothing is written")
    parser.add_argument("--evaldata", type=Path, help="cache: a folder of documents, else they are made")
    parser.add_argument(
        "--native", metavar="PYTHON", help="settings: an interpreter whose xllamacpp was built on this machine"
    )
    parser.add_argument(
        "--weights", action="append", default=[], metavar="NAME=FILE",
        help=f"a GGUF file to measure, repeatable (default: {DEFAULT_MODEL})",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(PARTS)}")
    if options.native and not _has_engine(options.native):
        parser.error(f"{options.native}: give a Python interpreter that has xllamacpp")
    return options


def _has_engine(python: str) -> bool:
    try:
        return subprocess.run([python, "-c", "import xllamacpp"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False
