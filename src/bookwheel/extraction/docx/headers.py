"""Headers and footers of a Word document: each distinct text once, without page numbers."""

import re
from collections.abc import Iterator

from bookwheel.document import Block, Picture
from bookwheel.extraction.docx.story import Book, Story

MOST_PARTS = 300

_AROUND_PAGE_NUMBERS = re.compile(
    r"(?:page|seite|página|pagina|pág|side|sida|strona|стр|страница|of|von|de|di|sur|av|z|из|第|页|頁|共|/|[\W_])*",
    re.IGNORECASE,
)


def header_blocks(book: Book, part: str, kind: str) -> Iterator[Block | Picture]:
    """The blocks of all headers (`kind` is `header`), or of all footers, of the document whose main part is `part`."""
    said: set[str] = set()
    for name in book.package.related(part, kind)[:MOST_PARTS]:
        tree = book.package.tree(name)
        if tree is None:
            continue
        story = Story(book, name, kind)
        found = [*story.container(tree), *story.finish()]
        text = "".join(block.text for block in found if isinstance(block, Block)).strip()
        only_page_numbers = story.page_numbers and _AROUND_PAGE_NUMBERS.fullmatch(text)
        for block in found:
            if isinstance(block, Picture) or not (text in said or only_page_numbers):
                yield block
        said.add(text)
