"""`bookwheel batch submit|run|ls|show|cancel|results`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bookwheel.batches.request import NAME_KEY
from bookwheel.cli.batch_run import RUN_KEY, Targets, run_and_write, sha256_of
from bookwheel.cli.batch_steps import (
    INTERRUPTED,
    PAGE,
    Order,
    conclude,
    create_batch,
    fetch,
    make_order,
    until_interrupted,
    watch,
    whole_file,
)
from bookwheel.cli.batch_words import DESCRIPTION_KEY, fields_of, moment, why_no_file, wrong_lines
from bookwheel.cli.client import Client, find_server, with_client
from bookwheel.cli.console import err, lines_done, out, show_columns
from bookwheel.cli.options import ConfigOption, DataDirOption, SetOption, read_settings
from bookwheel.errors import BookwheelError
from bookwheel.wire.batches import BatchEndpoint

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="Requests, one a line (JSONL).")
]
IdArgument = Annotated[str, typer.Argument(metavar="ID")]
EndpointOption = Annotated[
    BatchEndpoint | None, typer.Option(help="What the lines ask for. Default: the url of the first line.")
]
WindowOption = Annotated[str, typer.Option(help="How long it may take: 24h to 336h, or 1d to 14d.")]

app = typer.Typer(no_args_is_help=True)


@app.command("submit")
def submit(  # noqa: PLR0913, PLR0917 - each is an option of the command
    path: FileArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Show how it goes on, until it has ended.")] = False,
    endpoint: EndpointOption = None,
    window: WindowOption = "24h",
    name: Annotated[str | None, typer.Option(help="Its name in lists. Default: the file's.")] = None,
    description: Annotated[str | None, typer.Option(help="A few words on it.")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    assignments: SetOption = None,
) -> None:
    """Have a server run a file of requests; print the batch's id."""
    settings = read_settings(config, data_dir, assignments)
    about = {DESCRIPTION_KEY: description} if description else {}
    order = make_order(path, endpoint, window, name, about)
    if not wait and find_server(settings) is None:
        raise BookwheelError(
            f"No server is running that would go on with a batch: start one with `bookwheel serve`, or have the lines "
            f"run here and now with `bookwheel batch run {path}`."
        )
    with_client(settings, lambda client: _submit(client, order, wait=wait))


@app.command("run")
def run(  # noqa: PLR0913, PLR0917 - each is an option of the command
    path: FileArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where answers are written. Default: beside FILE, as *.output.jsonl."),
    ] = None,
    errors: Annotated[
        Path | None,
        typer.Option(
            "--errors-to", help="Where failures are written, if any. Default: beside FILE, as *.errors.jsonl."
        ),
    ] = None,
    endpoint: EndpointOption = None,
    window: WindowOption = "24h",
    keep: Annotated[bool, typer.Option("--keep", help="Keep the input and result files on the server.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    assignments: SetOption = None,
) -> None:
    """Run a file of requests and write the results, with the server that runs or with one for just this. Called again after it
    was killed, it goes on where it was."""
    settings = read_settings(config, data_dir, assignments)
    order = make_order(path, endpoint, window, None, {RUN_KEY: sha256_of(path)})
    targets = Targets.beside(path, output, errors)
    targets.check(path)
    with_client(settings, lambda client: run_and_write(client, order, targets, keep=keep))


@app.command("ls")
def list_batches(config: ConfigOption = None, data_dir: DataDirOption = None, assignments: SetOption = None) -> None:
    """List the batches, newest first."""
    rows = [("ID", "STATUS", "DONE", "FAILED", "CREATED", "NAME")]
    for batch in with_client(read_settings(config, data_dir, assignments), _all_batches):
        counts, name = batch["request_counts"], (batch["metadata"] or {}).get(NAME_KEY, "")
        done, created = f"{lines_done(batch)}/{counts['total']}", moment(batch["created_at"])
        rows.append((batch["id"], batch["status"], done, str(counts["failed"]), created, name))
    show_columns(*rows)


@app.command("show")
def show_batch(
    batch_id: IdArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    assignments: SetOption = None,
) -> None:
    """Show all about a batch; where its file cannot be run, which lines are wrong."""
    with_client(read_settings(config, data_dir, assignments), lambda client: _show(client, batch_id))


@app.command("cancel")
def cancel(
    batch_id: IdArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    assignments: SetOption = None,
) -> None:
    """End a batch where it is. What was answered is kept."""
    with_client(read_settings(config, data_dir, assignments), lambda client: _cancel(client, batch_id))


@app.command("results")
def results(
    batch_id: IdArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write it. Default: standard output.")
    ] = None,
    errors: Annotated[bool, typer.Option("--errors", help="The lines that failed instead of the answers.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    assignments: SetOption = None,
) -> None:
    """Print the answers of a batch that has ended (JSONL)."""
    settings = read_settings(config, data_dir, assignments)
    with_client(settings, lambda client: _fetch_results(client, batch_id, output, of_errors=errors))


async def _submit(client: Client, order: Order, *, wait: bool) -> None:
    batch = await create_batch(client, order)
    out.print(batch["id"], markup=False)
    out.file.flush()
    if not wait:
        return
    ended = await until_interrupted(watch(client, batch))
    if ended is None:
        _say_how_to_go_on(client, batch["id"])
        raise typer.Exit(INTERRUPTED)
    see = f"See bookwheel batch results {ended['id']} --errors" if ended["error_file_id"] else ""
    conclude(ended, see)


async def _all_batches(client: Client) -> list[dict[str, Any]]:
    return [batch async for batch in client.each("/batches", PAGE)]


async def _show(client: Client, batch_id: str) -> None:
    batch = await client.call("GET", f"/batches/{batch_id}")
    show_columns(*fields_of(batch))
    wrong = list(wrong_lines(batch))
    if wrong:
        out.print("\n".join(["", *wrong]), markup=False)


async def _cancel(client: Client, batch_id: str) -> None:
    batch = await client.call("POST", f"/batches/{batch_id}/cancel")
    if client.server_ends_with_command:
        batch = await watch(client, batch)
    out.print(f"{batch['id']} {batch['status']}", markup=False)


async def _fetch_results(client: Client, batch_id: str, output: Path | None, *, of_errors: bool) -> None:
    batch = await client.call("GET", f"/batches/{batch_id}")
    file_id = batch["error_file_id"] if of_errors else batch["output_file_id"]
    if file_id is None:
        raise BookwheelError(why_no_file(batch, of_errors=of_errors))
    if output is None:
        with open(sys.stdout.fileno(), "wb", closefd=False) as target:  # noqa: ASYNC230 - nothing else waits
            await fetch(client, file_id, target)
        return
    with whole_file(output) as target:
        await fetch(client, file_id, target)


def _say_how_to_go_on(client: Client, batch_id: str) -> None:
    if client.server_ends_with_command:
        goes_on = "stops with this command's own server, and goes on when one runs again: bookwheel serve."
    else:
        goes_on = "goes on without you."
    err.print(f"{batch_id} {goes_on}", markup=False)
    err.print(f"How far it is: bookwheel batch show {batch_id}", markup=False)
    err.print(f"To end it: bookwheel batch cancel {batch_id}", markup=False)
    err.print(f"At its end: bookwheel batch results {batch_id}", markup=False)
