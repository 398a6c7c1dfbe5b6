"""Options that several commands share, and the settings that they lead to."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from bookwheel.errors import SettingsError
from bookwheel.settings import Settings, load_settings

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="Settings file (TOML). Default: bookwheel.toml where it exists.")
]
DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", help="Where files, the database and models are kept.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Any setting, e.g. --set server.max_body_mb=128. Repeatable.")
]


def read_settings(
    config: Path | None, data_dir: Path | None, assignments: list[str] | None, flags: dict[str, Any] | None = None
) -> Settings:
    """The settings with flags laid over them. Raises SettingsError."""
    merged: dict[str, Any] = {}
    for assignment in assignments or ():
        _put(merged, assignment)
    if data_dir is not None:
        merged["data_dir"] = data_dir
    for table, values in (flags or {}).items():
        given = {name: value for name, value in values.items() if value is not None}
        if given:
            merged[table] = merged.get(table, {}) | given
    return load_settings(config, merged)


def _put(flags: dict[str, Any], assignment: str) -> None:
    name, equals, value = assignment.partition("=")
    if not equals or not name:
        raise SettingsError(f"--set {assignment}: give it as NAME=VALUE, e.g. server.port=8700")
    *tables, last = name.split(".")
    place = flags
    for table in tables:
        place = place.setdefault(table, {})
    place[last] = _value(value)


def _value(text: str) -> Any:
    """A value as TOML has it; anything else is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
