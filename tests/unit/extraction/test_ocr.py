"""Recognition end to end, on pages that the tests draw themselves: the real networks, small pictures."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from bookwheel.document import BlockKind
from bookwheel.extraction.ocr.recogniser import Recognition, TextRecogniser

PROSE = (
    "A bookwheel let one reader keep",
    "a dozen heavy books open at once,",
    "each on a desk of its own that",
    "stayed level while the wheel turned.",
)


@pytest.fixture(scope="module")
def recogniser() -> TextRecogniser:
    return TextRecogniser(threads=1)


def page(lines: tuple[str, ...], size: int = 24, paper: str = "white", ink: str = "black") -> Image.Image:
    letters = ImageFont.load_default(size)
    step = round(1.5 * size)
    width = 4 * size + round(max(letters.getlength(line) for line in lines))
    picture = Image.new("RGB", (width, step * (len(lines) + 3)), paper)
    pen = ImageDraw.Draw(picture)
    for number, line in enumerate(lines, 1):
        pen.text((2 * size, number * step), line, font=letters, fill=ink)
    return picture


def text_of(recogniser: TextRecogniser, picture: Image.Image) -> str:
    return " ".join("".join(block.text for block in recogniser.recognise(picture, "page 1")).split())


def test_a_paragraph_is_read_with_its_spaces(recogniser: TextRecogniser) -> None:
    [block] = recogniser.recognise(page(PROSE), "page 7")
    assert block.text == " ".join(PROSE) + "\n\n"
    assert (block.kind, block.anchor) == (BlockKind.PARAGRAPH, "page 7")


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_turned_page_reads_like_an_upright_one(recogniser: TextRecogniser, degrees: int) -> None:
    recognition = recogniser.read(page(PROSE).rotate(-degrees, expand=True))
    assert recognition.turned_degrees == degrees
    assert " ".join("".join(block.text for block in recognition.blocks("page 1")).split()) == " ".join(PROSE)
    assert recognition.confidence > 0.9


@pytest.mark.parametrize("degrees", [-6, 3])
def test_a_page_that_is_askew_is_read(recogniser: TextRecogniser, degrees: int) -> None:
    picture = page(PROSE).rotate(degrees, expand=True, fillcolor="white", resample=Image.Resampling.BICUBIC)
    assert text_of(recogniser, picture) == " ".join(PROSE)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda picture: Image.eval(picture, lambda shade: 255 - shade),
        lambda picture: picture.convert("1"),
        lambda picture: picture.convert("CMYK"),
        lambda picture: Image.eval(picture, lambda shade: 170 + shade // 6),
        lambda picture: picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS),
    ],
    ids=["white on black", "two colours", "CMYK", "pale", "small"],
)
def test_no_colour_and_no_size_matters(recogniser: TextRecogniser, spoil: Callable[[Image.Image], Image.Image]) -> None:
    assert text_of(recogniser, spoil(page(PROSE))) == " ".join(PROSE)


def test_two_columns_are_read_one_after_the_other(recogniser: TextRecogniser) -> None:
    left = page(
        (
            "The first column says that",
            "wheels turn around slowly",
            "and readers sit in silence",
            "until the lamp goes out.",
        )
    )
    right = page(
        (
            "The second column begins",
            "where the first one ended",
            "with words about the night",
            "and ends here as it must.",
        )
    )
    both = Image.new("RGB", (left.width + right.width, left.height), "white")
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    text = text_of(recogniser, both)
    assert text.index("lamp goes out") < text.index("The second column")


def test_a_ruled_table_is_a_table(recogniser: TextRecogniser) -> None:
    rows = (("Fruit", "Pieces", "Price"), ("Apples", "12", "3.50"), ("Bananas", "7", ".80"), ("Pears", "", "1.25"))
    picture = Image.new("RGB", (640, 260), "white")
    pen, letters = ImageDraw.Draw(picture), ImageFont.load_default(20)
    for y in range(20, 221, 50):
        pen.line((20, y, 620, y), fill="black", width=2)
    for x in range(20, 621, 200):
        pen.line((x, 20, x, 220), fill="black", width=2)
    for number, row in enumerate(rows):
        for column, cell in enumerate(row):
            pen.text((32 + 200 * column, 30 + 50 * number), cell, font=letters, fill="black")
    [block] = recogniser.recognise(picture, "page 1")
    assert block.kind is BlockKind.TABLE
    assert [line.split(" | ") for line in block.text.strip("\n| ").split(" |\n| ")] == [
        ["Fruit", "Pieces", "Price"], ["---", "---", "---"], ["Apples", "12", "3.50"], ["Bananas", "7", ".80"],
        ["Pears", "", "1.25"],
    ]  # fmt: skip


def test_larger_letters_make_a_heading(recogniser: TextRecogniser) -> None:
    text = page(PROSE)
    picture = Image.new("RGB", (text.width, text.height + 90), "white")
    picture.paste(text, (0, 90))
    ImageDraw.Draw(picture).text((48, 20), "Open books", font=ImageFont.load_default(48), fill="black")
    heading, paragraph = recogniser.recognise(picture, "page 1")
    assert (heading.kind, heading.text, heading.level) == (BlockKind.HEADING, "# Open books\n\n", 1)
    assert paragraph.text == " ".join(PROSE) + "\n\n"


def test_a_long_screenshot_loses_no_line(recogniser: TextRecogniser) -> None:
    lines = tuple(f"{number} sheep jumped over it" if number % 4 == 0 else "" for number in range(160))
    picture = page(lines, size=20)
    assert picture.height > 4 * picture.width
    text = text_of(recogniser, picture)
    assert [number for number in range(0, 160, 4) if f"{number} sheep jumped" not in text] == []


@pytest.mark.parametrize(
    "picture",
    [
        Image.new("RGB", (1, 1)),
        Image.new("L", (3, 4_000), 255),
        Image.new("RGB", (800, 600), "white"),
        Image.new("RGB", (800, 600), "black"),
        Image.new("1", (400, 300), 1),
        Image.effect_noise((600, 600), 90),
        Image.linear_gradient("L"),
    ],
    ids=["a pixel", "a thread", "white", "black", "two colours", "noise", "gradient"],
)
def test_where_there_is_no_text_there_are_no_blocks(recogniser: TextRecogniser, picture: Image.Image) -> None:
    assert recogniser.recognise(picture, "page 1") == []


def test_specks_are_no_text(recogniser: TextRecogniser) -> None:
    picture = page(PROSE)
    draw = np.random.default_rng(3)
    pen = ImageDraw.Draw(picture)
    for x, y in zip(draw.integers(0, picture.width, 60), draw.integers(0, picture.height, 60), strict=True):
        pen.point((int(x), int(y)), fill="black")
    assert text_of(recogniser, picture) == " ".join(PROSE)


def test_a_recognition_without_lines_is_sure_of_nothing(recogniser: TextRecogniser) -> None:
    recognition = recogniser.read(Image.new("RGB", (300, 200), "white"))
    assert recognition == Recognition([], recognition.rules, 300, 200)
    assert recognition.confidence == 0.0
