"""The engines that are in force: which there are, and which serve a public model name."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

from bookwheel.engines.catalogue import CATALOGUE, DEFAULT_MODEL, find_model, is_pulled, weights_path
from bookwheel.engines.e5 import E5Config, E5Engine, refuse_unusable
from bookwheel.engines.engine import Engine
from bookwheel.engines.extractive import ExtractiveEngine
from bookwheel.engines.fake import FakeEngine
from bookwheel.engines.gguf import GgufModel, read_gguf
from bookwheel.engines.guard import GuardedEngine
from bookwheel.engines.llama_cpp import LlamaCppConfig, LlamaCppEngine
from bookwheel.engines.machine import ContextSize, available_memory_bytes, choose_context
from bookwheel.engines.upstream import UpstreamEngine
from bookwheel.errors import ModelNotFound, ModelWeightsError, SettingsError
from bookwheel.logs import log
from bookwheel.settings import BUILT_IN_ENGINE, EngineSettings, Settings
from bookwheel.storage.blobs import ORIGINAL, Blobs

RETIRED_SECONDS = 90.0
"""How long an engine that is no longer configured stays: more than a question may wait for its documents."""
LOOK_SECONDS = 0.5
EMBEDDING_KINDS = ("e5", "upstream")
"""Of the second it is not known until it is asked."""


@dataclass(frozen=True, slots=True)
class BuiltInChoice:
    """What serves when no engine is configured, and why, in one sentence for the log and for `bookwheel doctor`."""

    settings: EngineSettings
    why: str


class Roster:
    """Engines by name, each behind its guard. `start` before the first request, `close` after the last."""

    def __init__(self, engines: dict[str, GuardedEngine], settings: Settings) -> None:
        """`engines` are those of `settings`."""
        self.engines = engines
        self.names = settings.engine_names()
        self._configured = _configured(settings)
        self._retiring: dict[GuardedEngine, asyncio.Task[None]] = {}

    async def start(self) -> None:
        for engine in self.engines.values():
            await engine.start()

    async def close(self) -> None:
        leaving = dict(self._retiring)
        for task in leaving.values():
            task.cancel()
        await asyncio.gather(*leaving.values(), return_exceptions=True)
        async with AsyncExitStack() as closing:  # each is closed, whatever another one's closing raises
            for engine in [*leaving, *self.engines.values()]:
                closing.push_async_callback(engine.close)

    def serving(self, public_name: str) -> list[GuardedEngine]:
        """The engine behind a public model name, and after it those that answer in its place: first those that are up.

        Raises ModelNotFound.
        """
        engine_name = self.names.get(public_name)
        if engine_name is None:
            raise ModelNotFound(public_name)
        names = dict.fromkeys([engine_name, *self._configured[engine_name].fallback])
        return sorted((self.engines[name] for name in names), key=lambda engine: not engine.is_up)

    def embedding(self, public_name: str) -> GuardedEngine:
        """The engine of the name and no other: vectors of different models cannot be compared. Raises ModelNotFound."""
        if public_name not in self.names:
            raise ModelNotFound(public_name)
        return self.engines[self.names[public_name]]

    @property
    def embeds(self) -> bool:
        """Whether there is an engine that may embed."""
        return any(engine.kind in EMBEDDING_KINDS for engine in self.engines.values())

    async def reload(self, settings: Settings) -> None:
        """Serve by other settings from now on. Engines whose settings stay the same go on as they are; those that go
        end when what they are answering has ended. Raises SettingsError, and then nothing has changed."""
        configured = _configured(settings)
        same = {name for name, engine in configured.items() if self._configured.get(name) == engine}
        made = {name: _make_guarded(name, engine, settings) for name, engine in configured.items() if name not in same}
        for engine in made.values():
            await engine.start()
        leaving = [engine for name, engine in self.engines.items() if name not in same]
        self.engines = {name: self.engines[name] if name in same else made[name] for name in configured}
        self.names, self._configured = settings.engine_names(), configured
        for engine in leaving:
            self._retire(engine)
        log.info("engines reloaded", kept=sorted(same), started=sorted(made), ending=[e.name for e in leaving])

    async def forget(self, file_id: str) -> None:
        """Have every engine remove what it keeps of a file."""
        for engine in [*self._retiring, *self.engines.values()]:
            await engine.forget(file_id)

    def _retire(self, engine: GuardedEngine) -> None:
        self._retiring[engine] = asyncio.create_task(self._close_when_idle(engine))

    async def _close_when_idle(self, engine: GuardedEngine) -> None:
        """Close an engine once it has had nothing to do for a while: requests may still be on their way to it."""
        idle_seconds = 0.0
        while idle_seconds < RETIRED_SECONDS:
            await asyncio.sleep(LOOK_SECONDS)
            idle_seconds = idle_seconds + LOOK_SECONDS if engine.is_idle else 0.0
        await engine.close()
        del self._retiring[engine]


def make_roster(settings: Settings) -> Roster:
    """Make the engines of the settings, without starting them. Raises SettingsError where one cannot be."""
    configured = _configured(settings)
    return Roster({name: _make_guarded(name, engine, settings) for name, engine in configured.items()}, settings)


def _configured(settings: Settings) -> dict[str, EngineSettings]:
    """The engines of the settings by name, and the built-in one where none of them chats."""
    if BUILT_IN_ENGINE in settings.engine_names().values() and BUILT_IN_ENGINE not in settings.engines:
        return {BUILT_IN_ENGINE: choose_built_in(settings).settings} | settings.engines
    return dict(settings.engines)


def _make_guarded(name: str, engine: EngineSettings, settings: Settings) -> GuardedEngine:
    return GuardedEngine(_make_engine(name, engine, settings), engine)


def choose_built_in(settings: Settings) -> BuiltInChoice:
    """The embedded default model if its weights are there, else quotes."""
    default = find_model(DEFAULT_MODEL)
    if is_pulled(settings.models_dir, default):
        why = f"No engine is configured: the embedded model {DEFAULT_MODEL} serves."
        return BuiltInChoice(EngineSettings(kind="llama_cpp", model=DEFAULT_MODEL), why)
    why = (
        f"No engine is configured and the embedded model {DEFAULT_MODEL} is not here: answers are quotes from the "
        "documents (extractive). Get it with `bookwheel models pull`, or start with `bookwheel serve --pull`."
    )
    return BuiltInChoice(EngineSettings(kind="extractive"), why)


def find_weights(model: str, models_dir: Path) -> Path | None:
    """The GGUF file that `model` means, a name of the catalogue or a path; None where it is not there."""
    if any(model == known.name for known in CATALOGUE):
        known = find_model(model)
        return weights_path(models_dir, known) if is_pulled(models_dir, known) else None
    path = Path(model).expanduser()
    return path if path.is_file() else None


def _make_engine(name: str, engine: EngineSettings, settings: Settings) -> Engine:
    window = {"window_tokens": engine.window, "max_output_tokens": engine.max_output_tokens}
    if engine.kind == "fake":
        return FakeEngine(name, **window)
    if engine.kind == "extractive":
        return ExtractiveEngine(name, **window)
    if engine.kind == "upstream":
        return UpstreamEngine(
            name,
            engine.base_url or "",
            engine.model or "",
            api_key=engine.api_key.get_secret_value() if engine.api_key else None,
            connect_seconds=engine.connect_seconds,
            silence_seconds=engine.silence_seconds,
            dialect=engine.dialect,
            window_tokens=engine.window,
            max_output_tokens=engine.max_output_tokens,
        )
    if engine.kind == "e5":
        return _make_e5(name, engine, settings)
    return _make_llama_cpp(name, engine, settings)


def _make_e5(name: str, engine: EngineSettings, settings: Settings) -> E5Engine:
    refuse_unusable(name, engine.model)
    config = E5Config(
        threads=engine.threads,
        window_tokens=engine.window,
        max_output_tokens=engine.max_output_tokens,
        connect_seconds=engine.connect_seconds,
        silence_seconds=engine.silence_seconds,
        log_file=settings.data_dir / f"engine-{name}.log",
    )
    return E5Engine(name, config)


def _make_llama_cpp(name: str, engine: EngineSettings, settings: Settings) -> LlamaCppEngine:
    model = engine.model or DEFAULT_MODEL
    weights = find_weights(model, settings.models_dir)
    if weights is None:
        names = [known.name for known in CATALOGUE]
        raise SettingsError(
            f"engines.{name}.model = {model}: no such weights here; allowed are a path to a GGUF file and "
            f"{', '.join(names)}, after `bookwheel models pull {model if model in names else 'NAME'}`"
        )
    described = _describe(name, weights)
    size = ContextSize(engine.window, is_shared=False)
    if described is not None:
        size = choose_context(described, engine.slots, available_memory_bytes(), engine.window_tokens)
    if size.is_shared:
        log.warning("engine has memory for one answer at a time", engine=name, window_tokens=size.window_tokens)
    config = LlamaCppConfig(
        weights=weights,
        model=model,
        window_tokens=size.window_tokens,
        max_output_tokens=min(engine.max_output_tokens, engine.window_tokens or size.window_tokens // 2),
        threads=engine.threads,
        slots=1 if size.is_shared else engine.slots,
        connect_seconds=engine.connect_seconds,
        silence_seconds=engine.silence_seconds,
        log_file=settings.data_dir / f"engine-{name}.log",
        states_folder=settings.data_dir / "prompts" / f"engine-{quote(name, safe='')}",
        states_mb=engine.prompt_states_mb,
        kv_bytes_per_token=described.kv_bytes_per_token if described is not None else 0,
        is_file_there=partial(_is_file_there, settings.data_dir),
    )
    return LlamaCppEngine(name, config)


def _describe(name: str, weights: Path) -> GgufModel | None:
    """What the file says of its model; None where it does not: then llama.cpp has the last word, and `/health` tells it."""
    try:
        return read_gguf(weights)
    except ModelWeightsError as error:
        log.warning("weights not understood", engine=name, why=str(error))
        return None


def _is_file_there(data_dir: Path, file_id: str) -> bool:
    """Whether a file still has its blobs: those of files without a row are swept before the engines start."""
    return Blobs(data_dir).path(file_id, ORIGINAL).is_file()
