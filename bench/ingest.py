"""Large documents from upload to `processed`: how long, and how much memory the server and its workers take on the way.

A PDF of 1,000 pages, a CSV of 100 MB and a scan of 20 pages, one after the other, each made on the fly. Memory is looked
at ten times a second: the main process's, and that of the largest process of the sandbox.
"""

import argparse
import csv
import io
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from openai import OpenAI
from PIL import Image

from bench.measure import MB, WorkersWatch
from bench.processes import RunningServer, running_server
from bench.report import BENCHMARKS_HEAD, BENCHMARKS_PAGE, Progress, Section, Table, publish
from bench.text import ENGLISH

SETTINGS = {"engines": {"fake": {"kind": "fake"}}, "ingest": {"upload_wait_seconds": 0.0}}
PATIENCE_SECONDS = 3600.0
LINES_A_PAGE = 50
SCAN = Path(__file__).parent.parent / "tests" / "documents" / "bookwheel.png"
COLUMNS = ["document", "MB", "pages", "tokens", "seconds", "tokens / s", "server, peak MB", "largest worker, peak MB"]


@dataclass(frozen=True, slots=True)
class Sample:
    """A document to be read: its name, and how its bytes are made."""

    title: str
    filename: str
    make: Callable[[Path], None]


def main(arguments: list[str]) -> int:
    """Measure, print, and write the section unless the run was a quick one. Status 1: a document could not be read."""
    options = _options(arguments)
    pages, csv_mb, scans = (20, 1, 2) if options.quick else (options.pages, options.csv_mb, options.scans)
    samples = [
        Sample(f"PDF, {pages:,} pages", "pages.pdf", lambda path: make_pdf(path, pages)),
        Sample(f"CSV, {csv_mb} MB", "rows.csv", lambda path: make_csv(path, csv_mb * MB)),
        Sample(f"scan, {scans} pages", "scan.pdf", lambda path: make_scan(path, scans)),
    ]
    samples += [Sample(path.name, path.name, _copier(path)) for path in options.files]
    progress, rows = Progress("ingest"), []
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="bookwheel-bench-")))
        server = running.enter_context(running_server(folder, SETTINGS))
        for sample in samples:
            progress.say(sample.title)
            rows.append(_read(server, sample, folder / sample.filename))
    progress.done()
    publish(_section(rows, arguments), BENCHMARKS_PAGE, BENCHMARKS_HEAD, write=not options.quick)
    return 1 if any("error" in row for row in rows) else 0


def _read(server: RunningServer, sample: Sample, path: Path) -> list[str]:
    """Upload a document, wait until it is read, and delete it: a row of the table."""
    sample.make(path)
    client = OpenAI(base_url=f"{server.url}/v1", api_key="any", timeout=PATIENCE_SECONDS)
    began = time.monotonic()
    with WorkersWatch(server.pid) as watch:
        file = client.files.create(file=path, purpose="user_data")
        file = client.files.wait_for_processing(file.id, poll_interval=0.1, max_wait_seconds=PATIENCE_SECONDS)
    seconds = time.monotonic() - began
    client.files.delete(file.id)
    size_mb = path.stat().st_size / MB
    path.unlink()
    report = file.to_dict().get("bookwheel")
    if file.status != "processed" or not isinstance(report, dict):
        return [sample.title, f"{size_mb:.1f}", "error", str(file.status_details), *[""] * 4]
    tokens = int(report["tokens"])
    figures = [f"{tokens:,}", f"{seconds:.1f}", f"{tokens / seconds:,.0f}", f"{watch.peak_mb:.0f}"]
    return [sample.title, f"{size_mb:.1f}", str(report.get("pages", "")), *figures, f"{watch.worker_peak_mb:.0f}"]


def make_pdf(path: Path, pages: int) -> None:
    """A born-digital PDF: every page has a heading, and lines of which no two are the same."""
    with path.open("wb") as file, _pdf(file, pages) as add_page:
        for page in range(1, pages + 1):
            lines = [f"Chapter {page}: of wheels and books"]
            lines += [f"{page}.{line} {_words(page * LINES_A_PAGE + line)}." for line in range(LINES_A_PAGE)]
            shown = "".join(f"({line}) Tj T*\n" for line in lines)
            add_page(f"BT /F 10 Tf 14 TL 50 800 Td\n{shown}ET".encode())


@contextmanager
def _pdf(file: io.BufferedWriter, pages: int) -> Iterator[Callable[[bytes], None]]:
    """Writes a PDF file of so many pages; what it yields takes a page's content."""
    offsets: list[int] = []

    def add(content: bytes) -> None:
        offsets.append(file.tell())
        file.write(b"%d 0 obj\n%s\nendobj\n" % (len(offsets), content))

    def add_page(content: bytes) -> None:
        stream = len(offsets) + 2
        resources = b"/MediaBox [0 0 595 842] /Resources <</Font <</F 3 0 R>>>>"
        add(b"<</Type /Page /Parent 2 0 R %s /Contents %d 0 R>>" % (resources, stream))
        add(b"<</Length %d>>\nstream\n%s\nendstream" % (len(content), content))

    file.write(b"%PDF-1.7\n")
    add(b"<</Type /Catalog /Pages 2 0 R>>")
    kids = b" ".join(b"%d 0 R" % (4 + 2 * page) for page in range(pages))
    add(b"<</Type /Pages /Kids [%s] /Count %d>>" % (kids, pages))
    add(b"<</Type /Font /Subtype /Type1 /BaseFont /Times-Roman>>")
    yield add_page
    start = file.tell()
    file.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(offsets) + 1))
    file.write(b"".join(b"%010d 00000 n \n" % offset for offset in offsets))
    file.write(b"trailer <</Size %d /Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(offsets) + 1, start))


def make_csv(path: Path, size_bytes: int) -> None:
    """A table of numbers and words, Chinese among them."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["number", "year", "place", "words", "备注"])
        row = 0
        while file.tell() < size_bytes:
            for _ in range(1000):
                row += 1
                writer.writerow([row, 1500 + row % 500, f"Place {row % 977}", _words(row), f"第{row}行，转轮书架"])


def make_scan(path: Path, pages: int) -> None:
    """Pages without a text layer."""
    with Image.open(SCAN) as picture:
        picture.save(path, "PDF", resolution=150, save_all=True, append_images=[picture] * (pages - 1))


def _words(number: int) -> str:
    return " ".join(ENGLISH[number * step % len(ENGLISH)] for step in (1, 3, 7, 11, 13, 17, 19, 2, 5))


def _copier(source: Path) -> Callable[[Path], None]:
    def copy(path: Path) -> None:
        path.write_bytes(source.read_bytes())

    return copy


def _section(rows: list[list[str]], arguments: list[str]) -> Section:
    return Section(
        name="ingest",
        title="Large documents from upload to `processed`",
        command=shlex.join(["python", "-m", "bench", "ingest", *arguments]),
        tables=[Table(COLUMNS, rows)],
        notes=[
            (
                "One document after the other, with the settings' defaults (two parse workers, one OCR worker). The memory of "
                "a worker is its resident set, pages that it shares with the other workers included."
            )
        ],
    )


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench ingest", description=__doc__)
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help="further documents to read")
    parser.add_argument("--quick", action="store_true", help="only see that it works; nothing is written")
    parser.add_argument("--pages", type=int, default=1000, help="of the PDF (default %(default)s)")
    parser.add_argument("--csv-mb", type=int, default=100, help="size of the CSV (default %(default)s)")
    parser.add_argument("--scans", type=int, default=20, help="pages of the scan (default %(default)s)")
    return parser.parse_args(arguments)
