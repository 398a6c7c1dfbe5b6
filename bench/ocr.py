"""How many characters recognition gets wrong, and what it costs: ours beside RapidOCR alone and Tesseract.

Known text is drawn on pages as a scanner would give them: at several resolutions, turned, noisy, faxed. An engine's
error rate is the least number of characters to insert, delete or change, over the length of the text.
"""

import argparse
import os
import random
import re
import resource
import shutil
import subprocess
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from bench.report import BENCHMARKS_HEAD, BENCHMARKS_PAGE, ROOT, Progress, Section, Table, publish
from bookwheel.extraction.ocr.recogniser import TextRecogniser

PAPER_INCHES = (8.27, 11.69)
MARGIN_INCHES = 1.0
LETTER_POINTS = {"Chinese": 12, "English": 11}
LINE_HEIGHT = 1.5
FAX_DPI = (204, 98)
CHINESE_FONTS = (
    "NotoSerifCJK-Regular.ttc",
    "NotoSansCJK-Regular.ttc",
    "NotoSerifCJKsc-Regular.otf",
    "NotoSansCJKsc-Regular.otf",
    "wqy-zenhei.ttc",
    "wqy-microhei.ttc",
    "SimHei.ttf",
)
ENGLISH_FONTS = ("LiberationSerif-Regular.ttf", "DejaVuSerif.ttf", "NotoSerif-Regular.ttf")
FONT_FOLDERS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path.home() / ".local/share/fonts")
FONT_PACKAGE = "mplfonts"
NO_FONT = f"""\
bench ocr: no font with Chinese characters was found. Install one, `apt-get install fonts-noto-cjk` or
`python -m pip install {FONT_PACKAGE}`, or name a file with --chinese-font."""

Engine = Callable[[Image.Image], str]
_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "—": "-", "–": "-", "‐": "-", "…": "."})
_WIDE = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")
_TOKEN = re.compile(
    r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef—“”‘’…]|\s+|[^\s\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef—“”‘’…]+"
)
_MARKUP = re.compile(r"^(?:#{1,6} |- )", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a page comes: drawn at so many dots an inch, then spoilt."""

    name: str
    dpi: int
    spoil: Callable[[Image.Image], Image.Image]


@dataclass(frozen=True, slots=True)
class Page:
    """A page's picture and the text that stands on it."""

    picture: Image.Image
    text: str


def main(options: list[str]) -> int:
    arguments = _parser().parse_args(options)
    fonts = {"Chinese": arguments.chinese_font or _find_font(CHINESE_FONTS), "English": _find_font(ENGLISH_FONTS)}
    if fonts["Chinese"] is None:
        print(NO_FONT)
        return 2
    texts = _texts(arguments.texts)
    engines, missing = _engines()
    manners = [manner for manner in MANNERS if not arguments.quick or manner.name == "150 dpi"]
    progress = Progress("ocr")
    tables = [
        _measure(language, texts[language], fonts[language], manners, engines, arguments.pages, progress)
        for language in LETTER_POINTS
        if texts[language]
    ]
    progress.done()
    how = (
        "Error rate in percent, and CPU seconds a page in brackets. Runs of white space, full and half width, quotes and "
        f"dashes are not told apart; the order of the lines counts. Up to {arguments.pages} pages of A4 for each figure, in "
        f"{_font_names(fonts)}. RapidOCR's plain call is beside one without its classifier, which turns some upright "
        "lines upside down. RapidOCR takes all cores, Tesseract and ours get one."
    )
    section = Section("ocr", "Recognition of text in pictures", "python -m bench ocr", tables, [how, *missing])
    publish(section, BENCHMARKS_PAGE, BENCHMARKS_HEAD, write=not arguments.quick)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench ocr", description=__doc__)
    parser.add_argument("--texts", type=Path, default=ROOT / "demo" / "documents", help="a folder of UTF-8 .txt files")
    parser.add_argument("--pages", type=int, default=2, help="pages for each language and manner (2)")
    parser.add_argument("--chinese-font", type=Path, help="a font file with Chinese characters")
    parser.add_argument("--quick", action="store_true", help="150 dpi alone; nothing is written")
    return parser


def _measure(
    language: str,
    text: str,
    font: Path | None,
    manners: Sequence[Manner],
    engines: dict[str, Engine],
    pages: int,
    progress: Progress,
) -> Table:
    """A row for each manner, a column for each engine."""
    rows = []
    for manner in manners:
        drawn = [
            Page(manner.spoil(page.picture), page.text) for page in _draw_pages(text, language, font, manner.dpi, pages)
        ]
        row = [manner.name]
        for name, engine in engines.items():
            progress.say(f"{language}, {manner.name}, {name}")
            wrong = length = 0
            before = _cpu_seconds()
            for page in drawn:
                wanted = _fold(page.text, language)
                wrong += edit_distance(wanted, _fold(engine(page.picture), language))
                length += len(wanted)
            seconds = (_cpu_seconds() - before) / len(drawn)
            row.append(f"{100 * wrong / length:.2f} ({seconds:.1f})")
        rows.append(row)
    return Table([language, *engines], rows)


def edit_distance(one: str, other: str) -> int:
    """Levenshtein's distance by Myers' bit vectors (JACM 46, 1999): as many big additions as `other` has characters."""
    if not one:
        return len(other)
    places: dict[str, int] = {}
    for index, character in enumerate(one):
        places[character] = places.get(character, 0) | 1 << index
    mask, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    up, down, distance = mask, 0, len(one)
    for character in other:
        equal = places.get(character, 0)
        vertical = equal | down
        horizontal = (((equal & up) + up) ^ up) | equal
        rises = down | ~(horizontal | up) & mask
        falls = up & horizontal
        distance += bool(rises & last) - bool(falls & last)
        rises, falls = (rises << 1 | 1) & mask, falls << 1 & mask
        up, down = falls | ~(vertical | rises) & mask, rises & vertical
    return distance


def _fold(text: str, language: str) -> str:
    folded = unicodedata.normalize("NFKC", text.translate(_QUOTES))
    return re.sub(r"\s+", "" if language == "Chinese" else " ", folded).strip()


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


# Pages


def _draw_pages(text: str, language: str, font: Path | None, dpi: int, most: int) -> Iterator[Page]:
    """The beginning of a text on pages of A4."""
    size = round(LETTER_POINTS[language] * dpi / 72)
    letters = ImageFont.truetype(font, size) if font else ImageFont.load_default(size)
    width, height = (round(inches * dpi) for inches in PAPER_INCHES)
    margin = round(MARGIN_INCHES * dpi)
    lines = list(_wrap(text, letters, width - 2 * margin))
    step = round(size * LINE_HEIGHT)
    count = (height - 2 * margin) // step
    for start in range(0, min(len(lines), most * count), count):
        picture = Image.new("L", (width, height), 255)
        pen = ImageDraw.Draw(picture)
        for number, line in enumerate(lines[start : start + count]):
            pen.text((margin, margin + number * step), line, font=letters, fill=0)
        yield Page(picture, "\n".join(lines[start : start + count]))


def _wrap(text: str, letters: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> Iterator[str]:
    """Lines no wider than `width` pixels; each paragraph begins a new one."""
    for paragraph in text.splitlines():
        line = ""
        for token in _TOKEN.findall(paragraph.strip()):
            if line and letters.getlength(line + token) > width:
                yield line.strip()
                line = token.lstrip()
            else:
                line += token
        if line.strip():
            yield line.strip()


def _as_scanned(picture: Image.Image) -> Image.Image:
    return picture


def _turned(degrees: int) -> Callable[[Image.Image], Image.Image]:
    return lambda picture: picture.rotate(-degrees, expand=True)


def _noisy(picture: Image.Image) -> Image.Image:
    """Grey paper, pale ink, soft focus and grain."""
    draw = np.random.default_rng(7)
    soft = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.6)), np.float32)
    grained = soft * 0.75 + 40 + draw.normal(0, 18, soft.shape)
    return Image.fromarray(np.clip(grained, 0, 255).astype(np.uint8))


def _faxed(picture: Image.Image) -> Image.Image:
    """Black and white at the standard resolution of Group 3, its lines doubled as programs show them."""
    across, down = (round(inches * dpi) for inches, dpi in zip(PAPER_INCHES, FAX_DPI, strict=True))
    sent = picture.resize((across, down), Image.Resampling.BILINEAR).point(lambda shade: 255 * (shade > 150))
    return sent.resize((across, 2 * down), Image.Resampling.NEAREST)


MANNERS = (
    Manner("100 dpi", 100, _as_scanned),
    Manner("150 dpi", 150, _as_scanned),
    Manner("300 dpi", 300, _as_scanned),
    Manner("turned 90°", 150, _turned(90)),
    Manner("turned 180°", 150, _turned(180)),
    Manner("noisy", 150, _noisy),
    Manner("faxed", 204, _faxed),
)


def _texts(folder: Path) -> dict[str, str]:
    """All texts of a folder, by their language. Which come first is drawn by lot, the same in every run."""
    texts = dict.fromkeys(LETTER_POINTS, "")
    paths = sorted(folder.glob("**/*.txt"))
    random.Random(7).shuffle(paths)
    for path in paths:
        text = path.read_text("utf-8")
        texts["Chinese" if len(_WIDE.findall(text)) > 0.2 * len(text) else "English"] += text + "\n"
    return texts


def _find_font(names: Sequence[str]) -> Path | None:
    """The first of some fonts that is installed, in the system or in FONT_PACKAGE."""
    spec = find_spec(FONT_PACKAGE)
    folders = [*FONT_FOLDERS, *([Path(spec.origin).parent / "fonts"] if spec and spec.origin else [])]
    return next((path for name in names for folder in folders for path in sorted(folder.glob(f"**/{name}"))), None)


def _font_names(fonts: dict[str, Path | None]) -> str:
    return " and ".join(font.stem if font else "Pillow's own font" for font in fonts.values())


# Engines


def _engines() -> tuple[dict[str, Engine], list[str]]:
    """The engines that there are, and a sentence for each that there is not."""
    ours = TextRecogniser()
    engines: dict[str, Engine] = {
        "bookwheel": lambda picture: _MARKUP.sub(
            "", "".join(block.text for block in ours.recognise(picture, "page 1"))
        ),
        "RapidOCR": _rapidocr(use_cls=True),
        "RapidOCR, no classifier": _rapidocr(use_cls=False),
    }
    if shutil.which("tesseract") is None:
        return engines, ["Tesseract is not installed and was left out."]
    return engines | {"Tesseract": _tesseract}, []


def _rapidocr(*, use_cls: bool) -> Engine:
    """RapidOCR as its documentation calls it, but for its log; or without what turns lines it takes for upside down."""
    from rapidocr import RapidOCR  # noqa: PLC0415 - it sets up logging when it is imported

    engine: Any = RapidOCR(params={"Global.log_level": "critical", "Global.use_cls": use_cls})
    return lambda picture: "\n".join(engine(np.asarray(picture.convert("RGB"))[:, :, ::-1]).txts or ())


def _tesseract(picture: Image.Image) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.png"
        picture.save(path)
        command = ["tesseract", str(path), "-", "-l", "chi_sim+eng"]
        found = subprocess.run(
            command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_THREAD_LIMIT": "1"}
        )
    return found.stdout
