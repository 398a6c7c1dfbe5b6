"""Plain text: paragraphs as blocks, every character kept but for the encoding, the byte order mark and the line ends.

A paragraph ends at a blank line and keeps the blank lines that follow it. What is longer than a block is cut at the end
of a line, else of a sentence, else at a space, so that even a file of one line passes through bounded memory.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TextIO

from bookwheel.document import Block, BlockKind, part_text

BLOCK_CHARACTERS = 8_000


def read(path: Path, encoding: str) -> Iterator[Block]:
    """The paragraphs of a text file. Anchors are `line N`, from 1."""
    line_number = 1
    with path.open(encoding=encoding, errors="replace") as file:
        for text in _pieces(file):
            yield Block(BlockKind.PARAGRAPH, text, f"line {line_number}")
            line_number += text.count("\n")


def _pieces(file: TextIO) -> Iterator[str]:
    """Paragraphs with their trailing blank lines, none longer than a block."""
    held, after_blank = "", False
    for line in iter(partial(file.readline, BLOCK_CHARACTERS), ""):
        blank = line.isspace() and line.endswith("\n")
        if after_blank and not blank and not held.isspace():
            yield held
            held = ""
        held += line
        while len(held) > BLOCK_CHARACTERS:
            end = part_text(held, BLOCK_CHARACTERS)
            yield held[:end]
            held = held[end:]
        after_blank = blank
    if held:
        yield held
