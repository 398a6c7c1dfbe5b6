"""An engine inside a test that takes notes by rule, and an indexed document for it to read."""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

from bookwheel.answering.parts import Part, ReadableDocument, readable_document
from bookwheel.document import read_blocks, write_document
from bookwheel.engines.engine import Chunk, Completion, EngineHealth, EngineRequest
from bookwheel.extraction.formats.markdown import read as read_markdown
from bookwheel.indexing.index import build_index
from bookwheel.indexing.shelf import IndexedDocument

Answer = str | list[Chunk]
Behaviour = Callable[[EngineRequest], Awaitable[Answer]]

_FRAME = re.compile(r"(?:\[D(\d+)\]\n)?<document name=\"[^\"]*\">\n(.*?)</document>", re.DOTALL)


class NoteEngine:
    """`behave` answers the next calls; `requests` are those it got, `cancelled` how many were broken off."""

    kind = "upstream"

    def __init__(
        self, behave: Behaviour | None = None, *, window_tokens: int = 4_000, max_output_tokens: int = 500
    ) -> None:
        self.name = "scribe"
        self.model = "by-rule"
        self.window_tokens = window_tokens
        self.max_output_tokens = max_output_tokens
        self.behave = behave or note_facts
        self.requests: list[EngineRequest] = []
        self.running = self.most_running = self.cancelled = 0

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to close."""

    async def health(self) -> EngineHealth:
        return EngineHealth(ready=True, detail="")

    async def complete(self, request: EngineRequest) -> Completion:
        raise NotImplementedError

    async def stream(self, request: EngineRequest) -> AsyncGenerator[list[Chunk], None]:
        self.requests.append(request)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            answer = await self.behave(request)
            for one in in_words(answer) if isinstance(answer, str) else answer:
                yield [one]
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise
        finally:
            self.running -= 1


async def note_facts(request: EngineRequest) -> str:
    """Note every line with FACT in it, under its document's mark; NONE where there is none."""
    await asyncio.sleep(0)
    noted: list[str] = []
    for mark, text in _FRAME.findall(asked_of(request)):
        facts = [line for line in text.splitlines() if "FACT" in line]
        noted += [f"[D{mark}]", *facts] if mark and facts else facts
    return "\n".join(noted) or "NONE"


def asked_of(request: EngineRequest) -> str:
    """What the engine was shown and asked."""
    return str(request.messages[-1]["content"])


def in_words(text: str, finish_reason: str = "stop") -> list[Chunk]:
    pieces = [
        {"index": 0, "delta": {"content": word}, "finish_reason": None} for word in re.findall(r"\S+\s*|\s+", text)
    ]
    return [{"choices": [piece]} for piece in [*pieces, {"index": 0, "delta": {}, "finish_reason": finish_reason}]]


def markdown_document(folder: Path, title: str, text: str, file_id: str | None = None) -> ReadableDocument:
    """A Markdown text, extracted and indexed as an upload is."""
    text_path, blocks_path = folder / "text", folder / "blocks"
    (folder / "original").write_text(text, "utf-8")
    write_document(read_markdown(folder / "original", "utf-8"), text_path, blocks_path)
    written = text_path.read_bytes()
    index = build_index(written.decode(), read_blocks(blocks_path), title)
    return readable_document(IndexedDocument(index, memoryview(written)), title, file_id=file_id, account_id="a")


async def text_of(document: ReadableDocument, parts: list[Part]) -> str:
    """The text of some parts of a document together."""
    return "".join([await document.read(part) for part in parts])
