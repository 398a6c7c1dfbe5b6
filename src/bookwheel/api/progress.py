"""An answer as it comes, and before it, while the engine reads the documents (`thorough`), how far it is."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from bookwheel.answering.answer import Answering, PreparedAnswer
from bookwheel.api.event_stream import Comment
from bookwheel.engines.engine import Chunk
from bookwheel.wire.chat import ChatBody


async def answer_with_progress(
    answering: Answering, account_id: str, chat: ChatBody, body: dict[str, Any]
) -> AsyncGenerator[list[Chunk] | Comment, None]:
    """Comments that say how far the reading is, then the answer's chunks."""
    comments: asyncio.Queue[Comment] = asyncio.Queue()
    preparing = asyncio.create_task(
        answering.prepare(
            account_id,
            chat,
            body,
            lambda done, total, stage: comments.put_nowait(Comment(f"{stage} {done} of {total}")),
        )
    )
    async with aclosing(_until_done(preparing, comments)) as progress:
        async for comment in progress:
            yield comment
    prepared = preparing.result()
    async with aclosing(answering.stream(prepared)) as stream:
        async for chunks in stream:
            yield chunks


async def _until_done(
    task: asyncio.Task[PreparedAnswer], comments: asyncio.Queue[Comment]
) -> AsyncGenerator[Comment, None]:
    """The comments that come while a task is at work. Closing the iteration cancels the task."""
    try:
        while not task.done():
            waiting = asyncio.ensure_future(comments.get())
            await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                yield waiting.result()
            waiting.cancel()
        while not comments.empty():
            yield comments.get_nowait()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
