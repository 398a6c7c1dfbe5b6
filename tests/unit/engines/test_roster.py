"""Every public model name has the engine that the settings give it, and none configured still answers."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bookwheel.engines import roster as roster_module
from bookwheel.engines.catalogue import DEFAULT_MODEL, find_model, marker_path, marker_text, weights_path
from bookwheel.engines.fake import FakeEngine
from bookwheel.engines.guard import GuardedEngine
from bookwheel.engines.roster import Roster, choose_built_in, find_weights, make_roster
from bookwheel.errors import ModelNotFound, SettingsError
from bookwheel.settings import Settings

UPSTREAM = {"kind": "upstream", "base_url": "http://127.0.0.1:1/v1", "model": "m"}


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`make(engines=..., models=...)`: settings with a data folder of their own."""
    monkeypatch.chdir(tmp_path)
    return lambda **tables: Settings(data_dir=tmp_path, **tables)


def test_every_kind_of_engine_is_made_with_its_window(make: Any, tmp_path: Path) -> None:
    (tmp_path / "own.gguf").write_bytes(b"GGUF")
    window = {"window_tokens": 999, "max_output_tokens": 99}
    engines = {
        "f": {"kind": "fake"},
        "q": {"kind": "extractive"},
        "u": UPSTREAM,
        "l": {"kind": "llama_cpp", "model": str(tmp_path / "own.gguf")},
    }
    roster = make_roster(make(engines={name: e | window for name, e in engines.items()}, models={"default": "f"}))
    assert {name: engine.kind for name, engine in roster.engines.items()} == {n: e["kind"] for n, e in engines.items()}
    assert {(engine.window_tokens, engine.max_output_tokens) for engine in roster.engines.values()} == {(999, 99)}
    assert [engine.name for engine in roster.engines.values()] == list(engines)


def test_a_public_name_is_served_by_its_engine(make: Any) -> None:
    engines = {"f": {"kind": "fake"}, "q": {"kind": "extractive"}}
    roster = make_roster(make(engines=engines, models={"default": "q", "gpt": "f"}))
    served = {name: roster.serving(name)[0].name for name in ("qwen-long", "qwen-long-latest", "gpt")}
    assert served == {"qwen-long": "q", "qwen-long-latest": "q", "gpt": "f"}


@pytest.mark.parametrize("name", ["f", "default", "Qwen-Long", "", "qwen-long "])
def test_a_name_that_is_not_public_is_not_found(make: Any, name: str) -> None:
    roster = make_roster(make(engines={"f": {"kind": "fake"}}))
    with pytest.raises(ModelNotFound) as raised:
        roster.serving(name)
    assert raised.value.message == f"The model {name} does not exist or you do not have access to it."


def test_quotes_serve_when_no_engine_is_configured_and_no_model_is_here(make: Any) -> None:
    choice = choose_built_in(make())
    assert choice.settings.kind == "extractive"
    assert "bookwheel models pull" in choice.why
    assert make_roster(make()).serving("qwen-long")[0].kind == "extractive"


def test_the_default_model_serves_when_it_is_here(make: Any) -> None:
    put_default_model(make().models_dir)
    choice = choose_built_in(make())
    assert (choice.settings.kind, choice.settings.model) == ("llama_cpp", DEFAULT_MODEL)
    assert DEFAULT_MODEL in choice.why
    assert make_roster(make()).serving("qwen-long")[0].kind == "llama_cpp"


def test_an_embedded_engine_takes_a_name_of_the_catalogue(make: Any) -> None:
    put_default_model(make().models_dir)
    roster = make_roster(make(engines={"l": {"kind": "llama_cpp", "model": DEFAULT_MODEL}}))
    assert roster.serving("qwen-long")[0].kind == "llama_cpp"


@pytest.mark.parametrize("model", [DEFAULT_MODEL, None, "/nowhere/own.gguf", "qwen"])
def test_an_embedded_engine_without_weights_stops_the_start_and_says_what_to_do(make: Any, model: str | None) -> None:
    with pytest.raises(SettingsError) as raised:
        make_roster(make(engines={"l": {"kind": "llama_cpp", "model": model}}))
    message = str(raised.value)
    pulled = DEFAULT_MODEL if model in (DEFAULT_MODEL, None) else "NAME"
    assert f"engines.l.model = {model or DEFAULT_MODEL}" in message
    assert f"`bookwheel models pull {pulled}`" in message
    assert "\n" not in message


def test_weights_are_a_name_of_the_catalogue_or_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUF")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_weights(str(own), tmp_path) == own
    assert find_weights("~/own.gguf", tmp_path) == own
    assert find_weights(str(tmp_path), tmp_path) is None
    assert find_weights(DEFAULT_MODEL, tmp_path) is None
    put_default_model(tmp_path)
    assert find_weights(DEFAULT_MODEL, tmp_path) == weights_path(tmp_path, find_model(DEFAULT_MODEL))


async def test_all_engines_are_started_and_closed(make: Any) -> None:
    steps: list[str] = []
    fakes = {"a": {"kind": "fake"}, "b": {"kind": "fake"}}
    roster = stepping_roster(make(engines=fakes, models={"default": "a"}), steps)
    await roster.start()
    await roster.close()
    assert steps == ["start a", "start b", "close b", "close a"]


async def test_all_engines_are_closed_where_one_cannot_be(make: Any) -> None:
    steps: list[str] = []
    settings = make(engines={"a": {"kind": "fake"}, "bad": {"kind": "fake"}}, models={"default": "a"})
    with pytest.raises(OSError, match="no way"):
        await stepping_roster(settings, steps).close()
    assert steps == ["close bad", "close a"]


def test_those_that_are_up_come_first_and_each_once(make: Any) -> None:
    engines = {"a": {"kind": "fake", "fallback": ["b", "c", "b"]}, "b": {"kind": "fake"}, "c": {"kind": "fake"}}
    roster = make_roster(make(engines=engines, models={"default": "a", "other": "b"}))
    assert [engine.name for engine in roster.serving("qwen-long")] == ["a", "b", "c"]
    roster.engines["a"].is_up = roster.engines["b"].is_up = False
    assert [engine.name for engine in roster.serving("qwen-long")] == ["c", "a", "b"]
    assert [engine.name for engine in roster.serving("other")] == ["b"]


def test_an_engine_that_embeds_does_not_take_the_built_in_ones_place(make: Any) -> None:
    settings = make(engines={"vectors": {"kind": "e5"}}, models={"text-embedding-v4": "vectors"})
    assert settings.engine_names()["qwen-long"] == "built-in"
    assert settings.engine_names()["text-embedding-v4"] == "vectors"


@pytest.mark.parametrize("fallback", [["a"], ["nowhere"], ["b", "nowhere"]])
def test_a_fallback_is_another_engine_of_the_settings(make: Any, fallback: list[str]) -> None:
    engines = {"a": {"kind": "fake", "fallback": fallback}, "b": {"kind": "fake"}}
    with pytest.raises(ValueError, match=r"engines\.a\.fallback: (a|nowhere): allowed are b"):
        make(engines=engines, models={"default": "a"})


async def test_other_settings_change_only_the_engines_that_differ(make: Any, quick_retiring: None) -> None:
    fakes = {"a": {"kind": "fake"}, "b": {"kind": "fake"}, "c": {"kind": "fake"}}
    roster = make_roster(make(engines=fakes, models={"default": "a"}))
    await roster.start()
    before = dict(roster.engines)
    engines = {"a": fakes["a"], "b": {"kind": "fake", "window_tokens": 5_000}, "d": {"kind": "extractive"}}
    await roster.reload(make(engines=engines, models={"default": "d"}))
    assert list(roster.engines) == ["a", "b", "d"]
    assert roster.engines["a"] is before["a"]
    assert roster.engines["b"] is not before["b"]
    assert [engine.name for engine in roster.serving("qwen-long")] == ["d"]
    await roster.close()


async def test_an_engine_that_goes_is_closed_when_what_it_answers_has_ended(make: Any, quick_retiring: None) -> None:
    steps: list[str] = []
    roster = stepping_roster(make(engines={"a": {"kind": "fake"}}), steps)
    async with roster.engines["a"].turns.turn("default"):
        await roster.reload(make(engines={"b": {"kind": "fake"}}))
        await asyncio.sleep(0.1)
        assert steps == []
    async with asyncio.timeout(10):
        while not steps:
            await asyncio.sleep(0.01)
    assert steps == ["close a"]
    await roster.close()


async def test_an_engine_that_goes_stays_while_a_batch_line_is_with_it(make: Any, quick_retiring: None) -> None:
    steps: list[str] = []
    roster = stepping_roster(make(engines={"a": {"kind": "fake"}}), steps)
    async with roster.engines["a"].batch_turns.turn("default"):
        await roster.reload(make(engines={"b": {"kind": "fake"}}))
        await asyncio.sleep(0.1)
        assert steps == []
    async with asyncio.timeout(10):
        while not steps:
            await asyncio.sleep(0.01)
    await roster.close()


async def test_an_engine_that_is_going_is_closed_with_the_roster(make: Any) -> None:
    steps: list[str] = []
    roster = stepping_roster(make(engines={"a": {"kind": "fake"}}), steps)
    await roster.reload(make(engines={"b": {"kind": "fake"}}))
    await roster.close()
    assert steps == ["close a"]


async def test_a_file_is_forgotten_by_engines_that_are_going_too(make: Any) -> None:
    steps: list[str] = []
    roster = stepping_roster(make(engines={"a": {"kind": "fake"}}), steps)
    await roster.reload(make(engines={"b": {"kind": "fake"}}))
    await roster.forget("file-fe-1")
    await roster.close()
    assert steps == ["forget file-fe-1", "close a"]


async def test_settings_of_which_an_engine_cannot_be_made_change_nothing(make: Any) -> None:
    roster = make_roster(make(engines={"a": {"kind": "fake"}}))
    before = dict(roster.engines)
    with pytest.raises(SettingsError):
        await roster.reload(make(engines={"l": {"kind": "llama_cpp", "model": "/nowhere/own.gguf"}}))
    assert roster.engines == before
    assert roster.names["qwen-long"] == "a"


@pytest.fixture
def quick_retiring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster_module, "RETIRED_SECONDS", 0.02)
    monkeypatch.setattr(roster_module, "LOOK_SECONDS", 0.01)


def stepping_roster(settings: Settings, steps: list[str]) -> Roster:
    """The settings' engines as such that write down what is done to them."""
    return Roster({n: GuardedEngine(StepEngine(n, steps), e) for n, e in settings.engines.items()}, settings)


class StepEngine(FakeEngine):
    """Writes down what is done to it."""

    def __init__(self, name: str, steps: list[str]) -> None:
        super().__init__(name, window_tokens=1_000, max_output_tokens=100)
        self._steps = steps

    async def start(self) -> None:
        self._steps.append(f"start {self.name}")

    async def forget(self, file_id: str) -> None:
        self._steps.append(f"forget {file_id}")

    async def close(self) -> None:
        self._steps.append(f"close {self.name}")
        if self.name == "bad":
            raise OSError("no way")


def put_default_model(models_dir: Path) -> None:
    """A file of the default model's size, proved: it holds no bytes of its own."""
    model = find_model(DEFAULT_MODEL)
    models_dir.mkdir(exist_ok=True)
    with weights_path(models_dir, model).open("wb") as file:
        file.truncate(model.size_bytes)
    marker_path(models_dir, model).write_text(marker_text(model), "utf-8")
