"""`bookwheel models pull|list|rm`: the weights of embedded models."""

from pathlib import Path
from typing import Annotated

import typer

from bookwheel.cli.console import bytes_progress, err, out, show_columns
from bookwheel.cli.options import ConfigOption, DataDirOption, SetOption, read_settings
from bookwheel.engines.catalogue import CATALOGUE, DEFAULT_MODEL, find_model, is_pulled, weights_path
from bookwheel.engines.pull import pull_model, remove_model

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A name of `bookwheel models list`.")]

app = typer.Typer(no_args_is_help=True)


@app.command("pull")
def pull(
    name: NameArgument = DEFAULT_MODEL,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    assignments: SetOption = None,
) -> None:
    """Get a model's weights and prove them by their SHA-256. May be interrupted and called again."""
    path = pull_with_bar(name, read_settings(config, data_dir, assignments).models_dir)
    out.print(str(path), markup=False)


@app.command("list")
def list_models(config: ConfigOption = None, data_dir: DataDirOption = None, assignments: SetOption = None) -> None:
    """List the catalogue, and what is here of it."""
    models_dir = read_settings(config, data_dir, assignments).models_dir
    rows = [("NAME", "SIZE", "LICENCE", "FROM", "HERE")]
    for model in CATALOGUE:
        name = f"{model.name} (default)" if model.name == DEFAULT_MODEL else model.name
        here = str(weights_path(models_dir, model)) if is_pulled(models_dir, model) else "-"
        rows.append((name, f"{model.size_bytes / 1e6:,.0f} MB", model.licence, model.repository, here))
    show_columns(*rows)


@app.command("rm")
def remove(
    name: NameArgument, config: ConfigOption = None, data_dir: DataDirOption = None, assignments: SetOption = None
) -> None:
    """Remove a model's weights."""
    freed = remove_model(find_model(name), read_settings(config, data_dir, assignments).models_dir)
    out.print(f"freed {freed / 1e6:,.0f} MB" if freed else f"{name} was not here", markup=False)


def pull_with_bar(name: str, models_dir: Path) -> Path:
    """Get a model with a progress bar; at once if it is here already. Raises ModelWeightsError."""
    model = find_model(name)
    with bytes_progress() as progress:
        task = progress.add_task(model.name, total=model.size_bytes)

        def show(done: int, total: int, what: str) -> None:
            progress.update(task, completed=done, total=total, description=f"{model.name}: {what}")

        path = pull_model(model, models_dir, show)
    err.print(f"{model.name}: {model.size_bytes / 1e6:,.0f} MB, SHA-256 proved", markup=False, style="dim")
    return path
