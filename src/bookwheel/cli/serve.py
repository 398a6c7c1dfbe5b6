"""`bookwheel serve`: open everything, listen, and end cleanly when asked to."""

import asyncio
import gc
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
import uvicorn
import uvloop

from bookwheel.app import Parts, make_app, open_parts, reload
from bookwheel.cli.models import pull_with_bar
from bookwheel.cli.options import ConfigOption, DataDirOption, SetOption, read_settings
from bookwheel.engines.catalogue import DEFAULT_MODEL
from bookwheel.errors import SettingsError
from bookwheel.logs import log, set_up_logs
from bookwheel.settings import Settings

ADDRESS_FILE = "server.json"
BACKLOG = 1024

EXAMPLE = (
    'from openai import OpenAI; client = OpenAI(base_url="{url}/v1", api_key="{key}")\n'
    'file = client.files.create(file=open("report.txt", "rb"), purpose="file-extract")\n'
    'print(client.chat.completions.create(model="qwen-long", messages=[{{"role": "system", '
    '"content": f"fileid://{{file.id}}"}}, {{"role": "user", "content": "What is this about?"}}]).choices[0].message.content)'
)
"""Three lines, to be copied."""


def serve(  # noqa: PLR0917 - a command's options
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    data_dir: DataDirOption = None,
    log_level: Annotated[Literal["debug", "info", "warning", "error"] | None, typer.Option(help="What to log.")] = None,
    pull: Annotated[
        bool, typer.Option("--pull", help="Get the embedded default model first if it is not here.")
    ] = False,
    example: Annotated[bool, typer.Option("--example", help="Print the lines of Python that use the server.")] = False,
    assignments: SetOption = None,
) -> None:
    """Run the server."""
    flags = {"server": {"host": host, "port": port}, "log": {"level": log_level}}

    def read() -> Settings:
        return read_settings(config, data_dir, assignments, flags)

    settings = read()
    set_up_logs(settings.log)
    if pull and not settings.engines:
        pull_with_bar(DEFAULT_MODEL, settings.models_dir)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, read, show_example=example))


async def _serve(settings: Settings, read: Callable[[], Settings], *, show_example: bool) -> None:
    """`read` gives the settings as they are now: they are read again when SIGHUP comes."""
    listening = _listen(settings)
    url = _url(listening)
    async with open_parts(settings) as parts:
        server = uvicorn.Server(
            uvicorn.Config(
                make_app(parts),
                loop="none",
                http="httptools",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=settings.server.shutdown_seconds,
            )
        )
        _survive_own_signals()
        _reload_on_hangup(parts, read, server)
        gc.collect()
        gc.freeze()  # what is here now stays: no need to look through it again and again
        with _known_address(settings.data_dir, url):
            log.info("listening", url=url, keys="required" if settings.accounts else "any key is accepted")
            if show_example:
                typer.echo(EXAMPLE.format(url=url, key="YOUR_KEY" if settings.accounts else "any"))
            await server.serve(sockets=[listening])
    log.info("stopped")


def _reload_on_hangup(parts: Parts, read: Callable[[], Settings], server: uvicorn.Server) -> None:
    """SIGHUP means: read the settings again. But where it says that the terminal is gone, it means: end."""
    had_terminal = os.isatty(0)
    reloading: set[asyncio.Task[None]] = set()
    one_by_one = asyncio.Lock()

    def on_hangup() -> None:
        if had_terminal and not os.isatty(0):
            server.should_exit = True
            return
        task = asyncio.create_task(_reload(parts, read, one_by_one))
        reloading.add(task)
        task.add_done_callback(reloading.discard)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, on_hangup)


async def _reload(parts: Parts, read: Callable[[], Settings], one_by_one: asyncio.Lock) -> None:
    try:
        async with one_by_one:
            await reload(parts, await asyncio.to_thread(read))
    except SettingsError as error:
        log.error("settings not reloaded", why=str(error))


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host.strip("[]"), port))
    except OSError as error:
        listening.close()
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise SettingsError(f"server.port = {port} on {host}: {reason}; another port, or 0 for a free one") from None
    listening.listen(BACKLOG)
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _known_address(data_dir: Path, url: str) -> Iterator[None]:
    """Leave word for the command line where the server of this data folder listens."""
    path = data_dir / ADDRESS_FILE
    path.write_text(json.dumps({"url": url, "pid": os.getpid()}), "utf-8")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _survive_own_signals() -> None:
    """uvicorn raises the signals that stopped it once more when it is done: then there are still things to close."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
