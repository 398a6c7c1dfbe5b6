"""One conversion in a process of its own: `converter.py TOOL SOURCE TARGET MEMORY_MB [WARM_UP]`.

The text goes to TARGET.txt, or why there is none to TARGET.err, and what it took to TARGET.json. It runs in the tools' own
environments, so nothing of this repository is imported but by the tool that is this repository.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

Convert = Callable[[Path], str]
MB = 1024 * 1024
LANGUAGES = "eng+chi_sim"
OCR_DPI = 200


def main(tool: str, source: Path, target: Path, memory_mb: int, warm_up: Path | None) -> None:
    """Convert a file once the tool is loaded and warm. What it raises is a refusal; what ends the process is not."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb * MB, memory_mb * MB))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    convert = TOOLS[tool]()
    if warm_up is not None:
        with contextlib.suppress(Exception):
            convert(warm_up)
    before, idle_mb = _cpu_seconds(), _peak_mb()
    text, error = "", ""
    try:
        text = convert(source)
    except BaseException as problem:  # noqa: BLE001 - whatever a tool raises is its refusal
        error = f"{type(problem).__name__}: {problem}"[:1000]
    taken = {"cpu_seconds": _cpu_seconds() - before, "peak_mb": _peak_mb(), "idle_mb": idle_mb, "refused": bool(error)}
    ending = ".err" if error else ".txt"
    target.with_name(target.name + ending).write_text(error or text, "utf-8", errors="replace")
    target.with_name(target.name + ".json").write_text(json.dumps(taken), "utf-8")
    sys.stdout.flush()
    os._exit(0)  # some tools leave threads that never end


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_mb() -> float:
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024


def load_bookwheel(*, ocr: bool = True) -> Convert:
    """The functions that the server runs in its sandbox, in the order in which it runs them; without OCR the first alone."""
    names = import_module("bookwheel.extraction.report")
    extract, recognise, assemble = (
        _function(work.function) for work in (names.EXTRACT, names.RECOGNISE, names.ASSEMBLE)
    )
    encode = import_module("msgspec").msgpack.encode

    def convert(source: Path) -> str:
        with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as name:
            folder = Path(name)
            report = extract(source, source.name, folder, _say_nothing)
            if not ocr:
                return (folder / f"{names.DRAFT if report.gaps else ''}{names.TEXT}").read_text("utf-8")
            for number, gap in enumerate(report.gaps):
                try:
                    found = recognise(source, folder, gap.picture, 1, _say_nothing)
                except Exception as problem:  # noqa: BLE001 - costs the picture, as in the server
                    found = names.RecognisedPicture(failure=str(problem) or type(problem).__name__)
                names.recognised_path(folder, number).write_bytes(encode(found))
            if report.gaps:
                assemble(folder, report, _say_nothing)
            return (folder / str(names.TEXT)).read_text("utf-8")

    return convert


def load_bookwheel_text() -> Convert:
    """All but the text of pictures, which other tools leave out as well."""
    return load_bookwheel(ocr=False)


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


def _say_nothing(unit: str, number: int, total: int) -> None:
    """Nobody waits for progress."""


def load_markitdown() -> Convert:
    converter = import_module("markitdown").MarkItDown(enable_plugins=False)
    return lambda source: str(converter.convert(str(source)).text_content)


def load_kreuzberg() -> Convert:
    """With OCR, which it leaves out unless it is asked for, where the file may need it."""
    kreuzberg = import_module("kreuzberg")
    plain = kreuzberg.ExtractionConfig(use_cache=False, output_format="markdown")
    ocr = kreuzberg.OcrConfig(backend="tesseract", language=LANGUAGES)
    reading = kreuzberg.ExtractionConfig(use_cache=False, output_format="markdown", ocr=ocr)

    def convert(source: Path) -> str:
        pictured = source.suffix.lower() in (".pdf", ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")
        return str(kreuzberg.extract_file_sync(str(source), config=reading if pictured else plain).content)

    return convert


def load_calamine() -> Convert:
    """The values of every sheet, as they come: no table is rendered."""
    calamine = import_module("python_calamine")

    def convert(source: Path) -> str:
        workbook = calamine.load_workbook(source)
        sheets = [workbook.get_sheet_by_name(name).to_python() for name in workbook.sheet_names]
        return str(len(sheets))

    return convert


def load_pypdfium2() -> Convert:
    pypdfium2 = import_module("pypdfium2")

    def convert(source: Path) -> str:
        document = pypdfium2.PdfDocument(source)
        texts = []
        for number in range(len(document)):
            page = document[number]
            text_page = page.get_textpage()
            texts.append(text_page.get_text_bounded())
            text_page.close()
            page.close()
        return "\n\n".join(texts)

    return convert


def load_tesseract() -> Convert:
    """Pages of a PDF are rendered by pypdfium2 first."""
    pypdfium2 = import_module("pypdfium2")

    def recognise(picture: Path) -> str:
        command = ["tesseract", str(picture), "-", "-l", LANGUAGES]
        environment = os.environ | {"OMP_THREAD_LIMIT": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace")[-500:])
        return done.stdout.decode("utf-8", "replace")

    def convert(source: Path) -> str:
        if source.suffix.lower() != ".pdf":
            return recognise(source)
        texts = []
        with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as folder:
            document = pypdfium2.PdfDocument(source)
            for number in range(len(document)):
                picture = Path(folder) / f"{number}.png"
                document[number].render(scale=OCR_DPI / 72).to_pil().save(picture)
                texts.append(recognise(picture))
        return "\n\n".join(texts)

    return convert


TOOLS: dict[str, Callable[[], Convert]] = {
    "bookwheel": load_bookwheel,
    "bookwheel-text": load_bookwheel_text,
    "markitdown": load_markitdown,
    "kreuzberg": load_kreuzberg,
    "pypdfium2": load_pypdfium2,
    "calamine": load_calamine,
    "tesseract": load_tesseract,
}


if __name__ == "__main__":
    _, tool_name, source_name, target_name, most_mb, *rest = sys.argv
    main(tool_name, Path(source_name), Path(target_name), int(most_mb), Path(rest[0]) if rest else None)
