"""`bookwheel ask FILE... "question"`: upload, read, ask, and leave nothing behind."""

import json
import time
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from bookwheel.cli.client import Client, ServerRefused, with_client
from bookwheel.cli.console import bytes_progress, err, out, reading, working
from bookwheel.cli.options import ConfigOption, DataDirOption, SetOption, read_settings
from bookwheel.errors import BookwheelError

CITED_CHARACTERS = 40
"""Of the answer's sentence that a footnote repeats."""


class ReadingOption(StrEnum):
    """The readings that a request may choose."""

    AUTO = "auto"
    FULL = "full"
    RELEVANT = "relevant"
    OVERVIEW = "overview"
    THOROUGH = "thorough"


def ask(  # noqa: PLR0913, PLR0917 - each is an option of the command
    words: Annotated[
        list[str], typer.Argument(metavar='FILE... "QUESTION"', help="Files or file ids, then the question.")
    ],
    model: Annotated[str, typer.Option(help="Public model name.")] = "qwen-long",
    keep: Annotated[bool, typer.Option("--keep", help="Keep the uploaded files, and print their ids.")] = False,
    citations: Annotated[bool, typer.Option(help="Show the sentences that the answer rests on.")] = True,
    reading: Annotated[
        ReadingOption, typer.Option(help="How the documents are read: what fits the question, unless you choose.")
    ] = ReadingOption.AUTO,
    budget_tokens: Annotated[
        int | None, typer.Option("--budget-tokens", min=64, help="Tokens of documents that the engine may be shown.")
    ] = None,
    show_context: Annotated[
        bool, typer.Option("--show-context", help="Print the very text that the engine was sent, after the answer.")
    ] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    assignments: SetOption = None,
) -> None:
    """Ask a question about files, with the server that runs or with one for just this question."""
    *sources, question = words
    _check_sources(sources, question)
    settings = read_settings(config, data_dir, assignments)
    wanted = {
        "citations": citations,
        "reading": reading.value,
        "budget_tokens": budget_tokens,
        "show_context": show_context,
    }
    options = {"model": model, "bookwheel": wanted}
    with_client(settings, lambda client: _ask(client, sources, question, options, keep=keep))


def _check_sources(sources: list[str], question: str) -> None:
    if not sources and Path(question).is_file():
        raise BookwheelError(f'The question is missing: bookwheel ask {question} "What is this about?"')
    for source in sources:
        if not source.startswith("file-") and not Path(source).is_file():
            raise BookwheelError(f"There is no file {source}.")


async def _ask(client: Client, sources: list[str], question: str, options: dict[str, Any], *, keep: bool) -> None:
    uploaded: list[str] = []
    try:
        file_ids = [await _file_id(client, source, uploaded) for source in sources]
        messages = [{"role": "system", "content": "You are a helpful assistant."}]
        if file_ids:
            messages.append({"role": "system", "content": ",".join(f"fileid://{file_id}" for file_id in file_ids)})
        messages.append({"role": "user", "content": question})
        await _show_answer(client, options | {"messages": messages})
    finally:
        for file_id in uploaded:
            if keep:
                err.print(f"kept: {file_id}", markup=False)
            else:
                await client.call("DELETE", f"/files/{file_id}")


async def _file_id(client: Client, source: str, uploaded: list[str]) -> str:
    if source.startswith("file-"):
        return source
    path = Path(source)
    with bytes_progress() as progress:
        task = progress.add_task(f"Uploading {path.name}", total=path.stat().st_size)  # noqa: ASYNC240 - nothing else waits
        file = await client.upload(path, lambda sent: progress.advance(task, sent))
    uploaded.append(str(file["id"]))
    with reading(path.name) as progress:
        await client.wait_until_read(file, progress)
    return str(file["id"])


async def _show_answer(client: Client, body: dict[str, Any]) -> None:
    started = time.monotonic()
    chunks = client.ask(body)
    report: dict[str, Any] = {}
    with working("The engine is reading"):
        first = await anext(chunks, None)
        while first is not None and not _text_of(first) and "bookwheel" not in first:
            first = await anext(chunks, None)
    if first is None:
        raise ServerRefused("The server ended the answer before it began.")
    first_seconds = time.monotonic() - started
    answer = _show(first, report)
    async for chunk in chunks:
        answer += _show(chunk, report)
    out.print()
    _show_footnotes(report.get("citations", ()), answer)
    _show_messages(report.get("messages", ()))
    _show_figures(report, first_seconds, time.monotonic() - started)


def _show(chunk: dict[str, Any], report: dict[str, Any]) -> str:
    report.update(chunk.get("bookwheel", {}))
    text = _text_of(chunk)
    out.print(text, end="", markup=False)
    out.file.flush()
    return text


def _text_of(chunk: dict[str, Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])


def _show_footnotes(citations: Iterable[dict[str, Any]], answer: str) -> None:
    """Each citation under the answer: what of the answer it is for, where it stands, and the quote."""
    for number, citation in enumerate(citations, 1):
        cited = " ".join(answer[citation["answer_start"] : citation["answer_end"]].split())
        quote = " ".join(citation["quote"].split())
        told = "" if cited == quote else f"“{_shortened(cited, CITED_CHARACTERS)}” "
        where = f"{citation['filename']}, {citation['anchor']}"
        out.print(f"[{number}] {told}{where}: {quote}", markup=False, style="dim")


def _show_messages(messages: Iterable[dict[str, Any]]) -> None:
    for message in messages:
        out.rule(f"sent: {message['role']}")
        content = message["content"]
        out.print(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), markup=False)


def _show_figures(report: dict[str, Any], first_seconds: float, seconds: float) -> None:
    read = ""
    if "context" in report:
        context = report["context"]
        read = f"{context['selected_tokens']} of {context['document_tokens']} tokens shown ({context['reading']}); "
    err.print(f"{read}first word after {first_seconds:.1f} s, {seconds:.1f} s in all", style="dim", markup=False)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
