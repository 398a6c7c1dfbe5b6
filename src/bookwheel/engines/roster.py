"""The engines that are in force: which there are, and which serves a public model name."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bookwheel.engines.catalogue import CATALOGUE, DEFAULT_MODEL, find_model, is_pulled, weights_path
from bookwheel.engines.engine import Engine
from bookwheel.engines.extractive import ExtractiveEngine
from bookwheel.engines.fake import FakeEngine
from bookwheel.engines.llama_cpp import LlamaCppConfig, LlamaCppEngine
from bookwheel.engines.upstream import UpstreamEngine
from bookwheel.errors import ModelNotFound, SettingsError
from bookwheel.settings import BUILT_IN_ENGINE, EngineSettings, Settings


@dataclass(frozen=True, slots=True)
class BuiltInChoice:
    """What serves when no engine is configured, and why, in one sentence for the log and for `bookwheel doctor`."""

    settings: EngineSettings
    why: str


class Roster:
    """Engines by name. `start` before the first request, `close` after the last."""

    def __init__(
        self, engines: dict[str, Engine], names: dict[str, str], budgets: Mapping[str, int | None] | None = None
    ) -> None:
        """`budgets`: tokens of documents that each engine is shown where a request does not say; None: all that fits."""
        self.engines = engines
        self.names = names
        self.budgets = budgets or {}

    async def start(self) -> None:
        for engine in self.engines.values():
            await engine.start()

    async def close(self) -> None:
        async with AsyncExitStack() as closing:  # each is closed, whatever another one's closing raises
            for engine in self.engines.values():
                closing.push_async_callback(engine.close)

    def serving(self, public_name: str) -> Engine:
        """The engine behind a public model name. Raises ModelNotFound."""
        engine_name = self.names.get(public_name)
        if engine_name is None:
            raise ModelNotFound(public_name)
        return self.engines[engine_name]


def make_roster(settings: Settings) -> Roster:
    """Make the engines of the settings, without starting them. Raises SettingsError where one cannot be."""
    configured = settings.engines or {BUILT_IN_ENGINE: choose_built_in(settings).settings}
    engines = {name: _make_engine(name, engine, settings) for name, engine in configured.items()}
    budgets = {name: engine.budget for name, engine in configured.items()}
    return Roster(engines, settings.engine_names(), budgets)


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
            **window,
        )
    return _make_llama_cpp(name, engine, settings)


def _make_llama_cpp(name: str, engine: EngineSettings, settings: Settings) -> LlamaCppEngine:
    model = engine.model or DEFAULT_MODEL
    weights = find_weights(model, settings.models_dir)
    if weights is None:
        names = [known.name for known in CATALOGUE]
        raise SettingsError(
            f"engines.{name}.model = {model}: no such weights here; allowed are a path to a GGUF file and "
            f"{', '.join(names)}, after `bookwheel models pull {model if model in names else 'NAME'}`"
        )
    config = LlamaCppConfig(
        weights=weights,
        model=model,
        window_tokens=engine.window,
        max_output_tokens=engine.max_output_tokens,
        threads=engine.threads,
        slots=engine.slots,
        connect_seconds=engine.connect_seconds,
        silence_seconds=engine.silence_seconds,
        log_file=settings.data_dir / f"engine-{name}.log",
    )
    return LlamaCppEngine(name, config)
