"""Small documents made in a test, cut and indexed as real ones are."""

from collections.abc import Sequence

from bookwheel.document import BlockKind, BlockSpan
from bookwheel.indexing.index import build_index
from bookwheel.indexing.shelf import IndexedDocument
from bookwheel.retrieval.selection import Costs

FREE = 0
PAGE = "[page 1]\n\n"


def document_of(*parts: str, title: str = "a.txt") -> IndexedDocument:
    """A document of paragraphs, each a passage of its own; `# A` is a heading, in one passage with what follows it."""
    blocks, text = [], ""
    follows_heading = False
    for part in parts:
        level = len(part) - len(part.lstrip("#"))
        if not follows_heading:
            blocks.append(BlockSpan(len(text), len(text) + len(PAGE), BlockKind.MARK, 0, "page 1"))
            text += PAGE
        kind = BlockKind.HEADING if level else BlockKind.PARAGRAPH
        shown = part.lstrip("# ") + "\n\n"
        blocks.append(BlockSpan(len(text), len(text) + len(shown), kind, level, "page 1"))
        text += shown
        follows_heading = bool(level)
    return IndexedDocument(build_index(text, blocks, title), memoryview(text.encode()))


def free_costs(documents: Sequence[IndexedDocument]) -> Costs:
    """Costs of documents that are shown without frames, marks or places."""
    return Costs([FREE] * len(documents), FREE, lambda document, passage: "")
