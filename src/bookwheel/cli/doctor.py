"""`bookwheel doctor`: what works here, what does not, and what to do about it."""

import asyncio
import os
import platform
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from bookwheel import __version__
from bookwheel.app import own_data_dir
from bookwheel.cli.console import out
from bookwheel.cli.options import ConfigOption, DataDirOption, SetOption, read_settings
from bookwheel.engines.engine import Engine
from bookwheel.engines.roster import choose_built_in, make_roster
from bookwheel.errors import BookwheelError, SettingsError
from bookwheel.extraction.report import EXTRACT
from bookwheel.extraction.sandbox import Limits, Sandbox
from bookwheel.settings import Settings
from bookwheel.storage.database import Database
from bookwheel.tokens import count_tokens

LEAST_FREE_GB = 2
ENGINE_SECONDS = 60.0
LOADING_KINDS = ("llama_cpp", "e5")
"""Engines that load their weights first."""
SAMPLE = "A bookwheel turns. 书轮转动。\n"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `advice` says what to do where it is not well."""

    what: str
    well: bool
    detail: str
    advice: str = ""


def doctor(config: ConfigOption = None, data_dir: DataDirOption = None, assignments: SetOption = None) -> None:
    """Check this machine and these settings. Exit status 1 when something needs doing."""
    settings = read_settings(config, data_dir, assignments)
    ill = 0
    for finding in _findings(settings):
        ill += not finding.well
        mark = "[green]ok  [/]" if finding.well else "[red]FAIL[/]"
        out.print(mark, f"{finding.what}:", finding.detail, finding.advice)
    if ill:
        raise typer.Exit(1)


def _findings(settings: Settings) -> Iterator[Finding]:
    yield Finding("bookwheel", True, f"{__version__}, Python {platform.python_version()}, {os.cpu_count()} cores")
    yield _check_data_dir(settings)
    yield _check_disk(settings.data_dir)
    yield Finding("tokenizer", count_tokens(SAMPLE) > 0, "Qwen's vocabulary is here")
    yield _run("sandbox", lambda: _check_sandbox(settings))
    if not settings.engines:
        yield Finding("engine", True, choose_built_in(settings).why)
    try:
        engines = make_roster(settings).engines
    except SettingsError as error:
        yield Finding("engines", False, str(error))
        return
    for engine in engines.values():
        yield _run(f"engine {engine.name}", lambda engine=engine: _check_engine(engine))  # type: ignore[misc]


def _check_data_dir(settings: Settings) -> Finding:
    try:
        with own_data_dir(settings.data_dir):
            database = Database(settings.data_dir / "bookwheel.db")
            database.migrate()
            database.close()
    except SettingsError as error:
        if isinstance(error.__context__, BlockingIOError):
            return Finding("data folder", True, f"{settings.data_dir}, in use by a Bookwheel that is running")
        return Finding("data folder", False, str(error))
    return Finding("data folder", True, f"{settings.data_dir}, database at this version")


def _check_disk(data_dir: Path) -> Finding:
    free_gb = shutil.disk_usage(data_dir).free / 1e9
    advice = "" if free_gb >= LEAST_FREE_GB else "Free some, or set another data_dir."
    return Finding("disk", not advice, f"{free_gb:.0f} GB free", advice)


def _run(what: str, check: Callable[[], Awaitable[Finding]]) -> Finding:
    async def bounded() -> Finding:
        async with asyncio.timeout(ENGINE_SECONDS):
            return await check()

    try:
        return asyncio.run(bounded())
    except TimeoutError:
        return Finding(what, False, f"no answer within {ENGINE_SECONDS:g} seconds")
    except BookwheelError as error:
        return Finding(what, False, str(error))


async def _check_sandbox(settings: Settings) -> Finding:
    """Read a small document for real."""
    ingest = settings.ingest
    sandbox = Sandbox(1, Limits(ingest.memory_mb, ingest.cpu_seconds, ingest.timeout_seconds))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "sample.txt"
        source.write_text(SAMPLE, "utf-8")
        try:
            report = await sandbox.run(EXTRACT, source, source.name, Path(folder))
        finally:
            sandbox.close()
    return Finding("sandbox", True, f"read a document of {report.tokens} tokens in a process of its own")


async def _check_engine(engine: Engine) -> Finding:
    await engine.start()
    try:
        health = await engine.health()
        while engine.kind in LOADING_KINDS and not health.ready:
            await asyncio.sleep(0.2)
            health = await engine.health()
    finally:
        await engine.close()
    window = f", window {engine.window_tokens:,} tokens"
    return Finding(f"engine {engine.name}", health.ready, health.detail + (window if health.ready else ""))
