"""`bookwheel files ls|put|show|get|rm`."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from bookwheel.cli.client import Client, ServerRefused, with_client
from bookwheel.cli.console import bytes_progress, err, out, reading, show_columns
from bookwheel.cli.options import ConfigOption, DataDirOption, SetOption, read_settings
from bookwheel.errors import BookwheelError

PAGE = 500

app = typer.Typer(no_args_is_help=True)


@app.command("ls")
def list_files(config: ConfigOption = None, data_dir: DataDirOption = None, assignments: SetOption = None) -> None:
    """List the files, newest first."""
    rows = [("ID", "STATUS", "SIZE", "UPLOADED", "NAME")]
    for file in with_client(read_settings(config, data_dir, assignments), _all_files):
        uploaded = datetime.fromtimestamp(file["created_at"], UTC).astimezone().strftime("%Y-%m-%d %H:%M")
        status = file["status"] if file["status"] != "error" else f"error: {file['status_details']}"
        rows.append((file["id"], status, f"{file['bytes']:,}", uploaded, file["filename"]))
    show_columns(*rows)


@app.command("put")
def put_files(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False)],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    assignments: SetOption = None,
) -> None:
    """Upload files and wait until they are read; print their ids."""
    with_client(read_settings(config, data_dir, assignments), lambda client: _put(client, paths))


@app.command("show")
def show_file(
    file_id: Annotated[str, typer.Argument(metavar="ID")],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    assignments: SetOption = None,
) -> None:
    """Show what was found in a file, then its text with its page marks."""
    with_client(read_settings(config, data_dir, assignments), lambda client: _show(client, file_id))


@app.command("get")
def get_file(
    file_id: Annotated[str, typer.Argument(metavar="ID")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write it. Default: standard output.")
    ] = None,
    original: Annotated[bool, typer.Option("--original", help="The uploaded bytes instead of the text.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    assignments: SetOption = None,
) -> None:
    """Print a file's text."""
    settings = read_settings(config, data_dir, assignments)
    with_client(settings, lambda client: _get(client, file_id, output, original=original))


@app.command("rm")
def remove_files(
    file_ids: Annotated[list[str], typer.Argument(metavar="ID...")],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    assignments: SetOption = None,
) -> None:
    """Delete files, and all that was made of them."""
    with_client(read_settings(config, data_dir, assignments), lambda client: _remove(client, file_ids))


async def _all_files(client: Client) -> list[dict[str, Any]]:
    return [file async for file in client.each("/files", PAGE)]


async def _put(client: Client, paths: list[Path]) -> None:
    uploaded = await _upload(client, paths)
    failures = len(paths) - len(uploaded)
    for file in uploaded:
        try:
            with reading(file["filename"]) as progress:
                await client.wait_until_read(file, progress)
        except BookwheelError as error:
            failures += 1
            err.print(str(error), markup=False)
        out.print(f"{file['id']}  {file['filename']}", markup=False)
    if failures:
        raise BookwheelError(f"{failures} of {len(paths)} files could not be read.")


async def _upload(client: Client, paths: list[Path]) -> list[dict[str, Any]]:
    """Upload what is taken. Of what is refused it says why: the others need not be uploaded again for it."""
    uploaded: list[dict[str, Any]] = []
    with bytes_progress() as progress:
        task = progress.add_task("Uploading", total=sum(path.stat().st_size for path in paths))
        for path in paths:
            try:
                uploaded.append(await client.upload(path, lambda sent: progress.advance(task, sent)))
            except ServerRefused as error:
                err.print(f"{path.name}: {error}", markup=False)
    return uploaded


async def _show(client: Client, file_id: str) -> None:
    file = await client.call("GET", f"/files/{file_id}")
    found = file.get("bookwheel", {})
    warnings = [f"warning: {warning}" for warning in found.pop("warnings", [])]
    found.pop("progress", None)
    lines = [("name", file["filename"]), ("status", file["status"]), ("bytes", f"{file['bytes']:,}")]
    if file["status_details"] and not warnings:
        lines.append(("details", file["status_details"]))
    lines += [(name.replace("_", " "), f"{v:,}" if isinstance(v, int) else str(v)) for name, v in found.items()]
    show_columns(*lines)
    out.print("\n".join([*warnings, ""]), markup=False)
    if file["status"] == "processed":
        await _get(client, file_id, None, original=False)


async def _get(client: Client, file_id: str, output: Path | None, *, original: bool) -> None:
    async with client.content(file_id, original=original) as content:
        with output.open("wb") if output else open(sys.stdout.fileno(), "wb", closefd=False) as target:  # noqa: ASYNC230
            async for piece in content.iter_any():
                target.write(piece)


async def _remove(client: Client, file_ids: list[str]) -> None:
    for file_id in file_ids:
        await client.call("DELETE", f"/files/{file_id}")
        out.print(f"deleted {file_id}", markup=False)
