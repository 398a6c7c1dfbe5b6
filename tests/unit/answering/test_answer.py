"""Whether somebody waits for an answer is said with everything that an engine is asked for it."""

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bookwheel.answering.answer import Answering
from bookwheel.answering.chat_request import read_chat
from bookwheel.answering.digests import Digests
from bookwheel.answering.documents import DocumentDesk
from bookwheel.engines.engine import Chunk, Completion, EngineRequest
from bookwheel.engines.fake import FakeEngine
from bookwheel.engines.guard import GuardedEngine
from bookwheel.engines.roster import Roster
from bookwheel.errors import EngineUnreachable
from bookwheel.files.files import Files
from bookwheel.settings import LimitSettings, ReadingSettings, Settings
from bookwheel.storage.blobs import Blobs
from bookwheel.storage.database import Database
from support.nobody_reads import NobodyReads

HERONS = "".join(f"Heron {number} stands in the reeds.\n\n" for number in range(400))
QUESTION = {"role": "user", "content": "Where does heron 7 stand?"}
WITH_DOCUMENT = [{"role": "system", "content": "Be brief."}, {"role": "system", "content": HERONS}, QUESTION]


class RecordingFake(FakeEngine):
    """Keeps what it is asked. While it is down it fails instead of answering."""

    def __init__(self, name: str) -> None:
        super().__init__(name, window_tokens=2_500, max_output_tokens=300)
        self.requests: list[EngineRequest] = []
        self.is_down = False

    async def complete(self, request: EngineRequest) -> Completion:
        self._note(request)
        return await super().complete(request)

    async def stream(self, request: EngineRequest) -> AsyncGenerator[list[Chunk], None]:
        self._note(request)
        async for chunks in super().stream(request):
            yield chunks

    def _note(self, request: EngineRequest) -> None:
        self.requests.append(request)
        if self.is_down:
            raise EngineUnreachable(f"The engine {self.name} is not there.")


class House:
    """Two engines, the second in the first one's place where that fails, and what answers with them."""

    def __init__(self, folder: Path, database: Database) -> None:
        fake = {"kind": "fake", "retries": 0}
        engines: Any = {"mill": fake | {"fallback": ["spare"]}, "spare": fake}
        settings = Settings(data_dir=folder, engines=engines, models={"default": "mill"})
        self.mill, self.spare = RecordingFake("mill"), RecordingFake("spare")
        made = {"mill": self.mill, "spare": self.spare}
        self.roster = Roster({name: GuardedEngine(made[name], settings.engines[name]) for name in made}, settings)
        blobs = Blobs(folder)
        desk = DocumentDesk(Files(database, blobs, LimitSettings()), NobodyReads(), 0.0, LimitSettings())
        self.answering = Answering(self.roster, desk, ReadingSettings(), Digests(blobs))

    async def ask(
        self, messages: list[dict[str, Any]], options: dict[str, Any], *, stream: bool, is_background: bool
    ) -> None:
        body = {"model": "qwen-long", "messages": messages, "bookwheel": options}
        prepared = await self.answering.prepare("ely", read_chat(body), body, is_background=is_background)
        if stream:
            assert [chunks async for chunks in self.answering.stream(prepared)]
        else:
            assert (await self.answering.complete(prepared))["choices"]


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.chdir(tmp_path)
    database = Database(tmp_path / "test.db")
    database.migrate()
    built = House(tmp_path, database)
    yield built
    await built.roster.close()
    database.close()


ASKED = [
    pytest.param([QUESTION], {}, id="no document"),
    pytest.param(WITH_DOCUMENT, {"reading": "relevant", "citations": True}, id="relevant"),
    pytest.param(WITH_DOCUMENT, {"reading": "thorough", "citations": True}, id="thorough"),
]


@pytest.mark.parametrize("is_down", [True, False], ids=["spare", "first"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("is_background", [True, False], ids=["background", "awaited"])
@pytest.mark.parametrize(("messages", "options"), ASKED)
async def test_every_request_says_whether_somebody_waits(
    house: House,
    messages: list[dict[str, Any]],
    options: dict[str, Any],
    stream: bool,
    is_background: bool,
    is_down: bool,
) -> None:
    house.mill.is_down = is_down
    await house.ask(messages, options, stream=stream, is_background=is_background)
    answering = house.spare if is_down else house.mill
    assert len(answering.requests) > (options.get("reading") == "thorough")
    assert {request.is_background for request in house.mill.requests + house.spare.requests} == {is_background}
