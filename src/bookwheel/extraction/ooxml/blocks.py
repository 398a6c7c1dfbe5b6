"""Text as blocks of a bounded size."""

from collections.abc import Iterator

from bookwheel.document import Block, BlockKind, part_text

BLOCK_CHARACTERS = 8_000


def cut(kind: BlockKind, text: str, anchor: str, level: int = 0) -> Iterator[Block]:
    """One block, or as many as it takes; none for no text."""
    start, most = 0, BLOCK_CHARACTERS
    while len(text) - start > most + 2:  # its line ends do not count
        end = start + part_text(text[start : start + most], most)
        yield Block(kind, text[start:end], anchor, level)
        start = end
    if start < len(text):
        yield Block(kind, text[start:], anchor, level)
