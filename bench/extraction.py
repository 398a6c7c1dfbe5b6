"""Reading documents: strings found, files right, speed and memory, beside the tools that others use for it.

Every file of a folder with a manifest goes through every tool, each time in a process of its own. What they gave stays in
a folder, laid out so that the documents' own scorer can be run on it: OUT/TOOL/FORMAT/NAME.txt, or .err for a refusal.
"""

import argparse
import shlex
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pypdfium2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.converting import OURS, OURS_TEXT, PEERS_FOLDER, Conversion, Limits, Tool, convert, tools, warm_up_file
from bench.manifest import NO_CRASH, OCR, PASSWORD, Expected, Score, read_manifest, score
from bench.report import BENCHMARKS_HEAD, BENCHMARKS_PAGE, ROOT, Section, Table, publish, without_folders

TOOL_NAMES = (OURS, OURS_TEXT, "markitdown", "kreuzberg", "pypdfium2", "tesseract")
ON_REQUEST = ("calamine",)
"""Gives values and no text: for its speed alone, with `--tools`."""
OUT = ROOT / ".cache" / "extraction"
MEMORY_MB = 4096
LIMIT_SECONDS = 600.0
QUICK_BYTES = 100_000
PAGED = ("pdf", "image")
"""Formats whose speed is counted in pages; that of others in MB."""
MB = 1_000_000
NOTHING = "–"
NOTES = (
    (
        f"Each conversion ran in a process of its own, limited to {MEMORY_MB:,} MB of address space and {LIMIT_SECONDS:g} "
        "seconds. CPU time is that of the conversion alone, once the tool was loaded and had read a small file of the same "
        "format. PDF and images are counted in pages, other formats in MB of the file; files without text do not count "
        "towards a tool's speed. Memory is the process's peak, interpreter and models included."
    ),
    (
        "A file is right when all its strings were found, when it was refused for its password, or, where it is broken on "
        f"purpose, when the tool ended by itself. {NOTHING} stands where a tool does not read the format. {OURS} also reads "
        f"the pictures inside DOCX, XLSX, EPUB and PDF, which the others leave out; {OURS_TEXT} is the same without OCR."
    ),
)


@dataclass(frozen=True, slots=True)
class Result:
    """One tool's conversion of one file, scored."""

    expected: Expected
    conversion: Conversion
    score: Score
    pages: int

    @property
    def row(self) -> str:
        """The line of the tables it belongs to."""
        return f"{self.expected.format}, OCR" if self.expected.expect == OCR else self.expected.format


Results = dict[str, list[Result]]
"""The results of each tool by its name."""


def main(arguments: list[str]) -> int:
    """Measure, print, and write the section unless the run was a short one. Status 1: ours died on a file."""
    options = _options(arguments)
    files = read_manifest(options.folder)
    chosen = [file for file in files if not options.formats or file.format in options.formats]
    if options.quick:
        chosen = [file for file in chosen if file.size_bytes <= QUICK_BYTES]
    limits = Limits(options.memory_mb, options.seconds)
    results = measure(tools(options.tools, options.peers), options.folder, chosen, files, options.out, limits)
    whole_run = not options.quick and not options.formats and set(options.tools) == set(TOOL_NAMES)
    publish(_section(results, arguments), BENCHMARKS_PAGE, BENCHMARKS_HEAD, write=whole_run)
    _tell_missing(results.get(OURS, []))
    return int(any(result.conversion.died for result in results.get(OURS, [])))


def measure(
    measured: Sequence[Tool],
    folder: Path,
    chosen: Sequence[Expected],
    files: Sequence[Expected],
    out: Path,
    limits: Limits,
) -> Results:
    """Every tool with every file it reads. The tools take turns with each file, so that all have the same machine."""
    pairs = [(file, tool) for file in chosen for tool in measured if tool.reads(file)]
    results: Results = {tool.name: [] for tool in measured}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("extraction", total=len(pairs))
        for file, tool in pairs:
            bar.update(task, description=f"{tool.name}: {file.name}")
            warm_up = warm_up_file(files, file)
            found = convert(
                tool, folder / file.name, out / tool.name / file.name, limits, folder / warm_up if warm_up else None
            )
            scored = score(file, found.text, refused=found.refused)
            results[tool.name].append(Result(file, found, scored, count_pages(folder / file.name)))
            bar.advance(task)
    return results


def count_pages(path: Path) -> int:
    """The pages of a PDF that opens, else 1."""
    if path.suffix.lower() != ".pdf":
        return 1
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError:
        return 1
    with document:
        return len(document)


def _section(results: Results, arguments: Sequence[str]) -> Section:
    tables = {
        "strings found": _strings_found,
        "files right": _files_right,
        "pages or MB per CPU second": _speed,
        "peak memory, MB": _peak_memory,
    }
    return Section(
        name="extraction",
        title="Extraction: what of a document's text arrives",
        command=f"python -m bench extraction {shlex.join(without_folders(arguments))}".strip(),
        tables=[_table(title, results, cell) for title, cell in tables.items()],
        notes=NOTES,
    )


def _table(title: str, results: Results, cell: Callable[[list[Result]], str]) -> Table:
    """One line a format, the last one all of them; one column a tool."""
    rows = list(dict.fromkeys(result.row for found in results.values() for result in found))
    by_row: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for tool, found in results.items():
        for result in found:
            by_row[tool, result.row].append(result)
    lines = [[row, *(cell(by_row[tool, row]) for tool in results)] for row in sorted(rows)]
    return Table([title, *results], [*lines, ["all", *(cell(found) for found in results.values())]])


def _strings_found(results: list[Result]) -> str:
    strings = sum(result.score.strings for result in results)
    return f"{sum(result.score.found for result in results)} of {strings}" if strings else NOTHING


def _files_right(results: list[Result]) -> str:
    return f"{sum(result.score.right for result in results)} of {len(results)}" if results else NOTHING


def _speed(results: list[Result]) -> str:
    read = [
        result for result in results if result.conversion.text and result.expected.expect not in (NO_CRASH, PASSWORD)
    ]
    seconds = sum(result.conversion.cpu_seconds for result in read)
    if len({result.expected.format in PAGED for result in read}) != 1 or not seconds:
        return NOTHING
    if read[0].expected.format in PAGED:
        return f"{sum(result.pages for result in read) / seconds:.3g} pages"
    return f"{sum(result.expected.size_bytes for result in read) / MB / seconds:.3g} MB"


def _peak_memory(results: list[Result]) -> str:
    return f"{max(result.conversion.peak_mb for result in results):.0f}" if results else NOTHING


def _tell_missing(results: Iterable[Result]) -> None:
    """Where ours is not right, for those who want to make it so."""
    for result in results:
        if not result.score.right:
            expected, found = result.expected, result.conversion
            print(f"{expected.name} ({expected.expect}): {found.error or 'some strings are missing'}", file=sys.stderr)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench extraction", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="documents with a manifest.tsv")
    parser.add_argument("--out", type=Path, default=OUT, help="where the texts are kept (%(default)s)")
    parser.add_argument("--peers", type=Path, default=PEERS_FOLDER, help="the peers' environment (%(default)s)")
    parser.add_argument(
        "--tools", nargs="+", choices=(*TOOL_NAMES, *ON_REQUEST), default=TOOL_NAMES, help="only these tools"
    )
    parser.add_argument("--formats", nargs="+", default=(), help="only files of these formats")
    parser.add_argument("--memory-mb", type=int, default=MEMORY_MB, help="address space of a process (%(default)s)")
    parser.add_argument("--seconds", type=float, default=LIMIT_SECONDS, help="time for one file (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="only small files; nothing is written")
    return parser.parse_args(arguments)
