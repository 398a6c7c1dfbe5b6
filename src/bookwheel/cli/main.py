"""The entry point. The one place of the command line that catches everything that Bookwheel raises on purpose."""

import sys
from typing import Annotated

import typer

from bookwheel import __version__
from bookwheel.cli import ask, batches, config, doctor, files, models, serve
from bookwheel.cli.console import err
from bookwheel.errors import BookwheelError, SettingsError

app = typer.Typer(
    name="bookwheel",
    help="Ask long documents: a self-hosted server that speaks Qwen-Long's API over any model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("serve")(serve.serve)
app.command("ask")(ask.ask)
app.add_typer(files.app, name="files", help="List, upload, fetch and delete files.")
app.add_typer(batches.app, name="batch", help="Run files of requests, and see how they go on.")
app.add_typer(models.app, name="models", help="Get, list and remove the weights of embedded models.")
app.command("doctor")(doctor.doctor)
app.command("config")(config.config)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"bookwheel {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Options that stand before the command."""


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 failed, 2 wrong usage or settings, 130 interrupted."""
    try:
        app()
    except BookwheelError as error:
        err.print(f"bookwheel: {error}", markup=False)
        sys.exit(2 if isinstance(error, SettingsError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `bookwheel files get ... | head`
        sys.stderr.close()
        sys.exit(0)
