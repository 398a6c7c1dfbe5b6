"""A document may crash, hang or fill the memory: it is refused, and the next one is read as if nothing had been."""

import asyncio
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_type_hints

import psutil
import pytest

from bookwheel.errors import ContentBlank, FormatNotSupported, PagesExceeded, ParsingError
from bookwheel.extraction import sandbox as module
from bookwheel.extraction.recognise import FileType
from bookwheel.extraction.report import ASSEMBLE, EXTRACT, RECOGNISE, ExtractionReport
from bookwheel.extraction.sandbox import Limits, Sandbox
from support import readers

DOCUMENTS = Path(__file__).parents[1] / "documents"
MEMORY_MB = 512
PATIENCE = 2000
"""How often a test looks whether something has happened, 50 times a second: as long as a busy machine may take."""

Run = Callable[[str], "asyncio.Task[ExtractionReport]"]


@pytest.fixture
def make_sandbox() -> Iterator[Callable[..., Sandbox]]:
    made: list[Sandbox] = []

    def make(workers: int = 1, cpu_seconds: int = 60, timeout_seconds: float = 60) -> Sandbox:
        made.append(Sandbox(workers, Limits(MEMORY_MB, cpu_seconds, timeout_seconds)))
        return made[-1]

    yield make
    for sandbox in made:
        sandbox.close()


@pytest.fixture
def run(make_sandbox: Callable[..., Sandbox], tmp_path: Path) -> Run:
    return runner(make_sandbox(), tmp_path)


def runner(sandbox: Sandbox, folder: Path) -> Run:
    """Starts a run of a badly behaved reader: `await run("abort")`."""

    def start(what: str) -> "asyncio.Task[ExtractionReport]":
        return asyncio.ensure_future(sandbox.run(readers.BEHAVE, what, folder / "text"))

    return start


async def test_a_document_is_extracted_by_a_worker(make_sandbox: Callable[..., Sandbox], tmp_path: Path) -> None:
    report = await make_sandbox().run(EXTRACT, DOCUMENTS / "bookwheel-gbk.txt", "wheel.txt", tmp_path)
    assert (report.file_type, report.encoding, report.warnings) == (FileType.TXT, "gb18030", ())
    assert report.characters == len((tmp_path / "text").read_text("utf-8"))


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("abort", "parsing error. The reader died on it."),
        ("killed", "parsing error. The reader died on it."),
        ("memory", "parsing error. It needs more memory than a document may take."),
        ("raise ValueError", "parsing error. The reader failed on it (ValueError)."),
        ("raise SystemExit", "parsing error. The reader failed on it (SystemExit)."),
        ("raise RecursionError", "parsing error. The reader failed on it (RecursionError)."),
        ("raise Unpicklable", "parsing error. The reader failed on it (Unpicklable)."),
        ("raise ParsingError", "parsing error. It is torn."),
    ],
)
async def test_a_document_that_does_harm_is_refused_and_the_next_one_read(run: Run, what: str, reason: str) -> None:
    with pytest.raises(ParsingError) as refusal:
        await run(what)
    assert refusal.value.reason == str(refusal.value) == reason
    assert (await run("read")).blocks == 1


async def test_errors_of_a_document_come_through_as_they_are(run: Run) -> None:
    with pytest.raises(ContentBlank):
        await run("raise ContentBlank")
    with pytest.raises(FormatNotSupported) as unsupported:
        await run("raise FormatNotSupported")
    assert unsupported.value.recognised == "PNG image"
    with pytest.raises(PagesExceeded) as exceeded:
        await run("raise PagesExceeded")
    assert str(exceeded.value) == "exceeds page limits (15000 pages)."


@pytest.mark.parametrize("what", ["hang", "hang and not end"])
async def test_a_reader_that_hangs_is_ended(make_sandbox: Callable[..., Sandbox], tmp_path: Path, what: str) -> None:
    run = runner(make_sandbox(timeout_seconds=0.5), tmp_path)
    with pytest.raises(ParsingError) as refusal:
        await run(what)
    assert refusal.value.reason == "parsing error. Reading it took longer than 0.5 seconds."
    assert (await run("read")).blocks == 1
    assert await is_gone(int((tmp_path / "text").read_text("utf-8")))


async def test_cancelling_ends_the_worker_and_no_other(make_sandbox: Callable[..., Sandbox], tmp_path: Path) -> None:
    run = runner(make_sandbox(workers=2), tmp_path)
    reading = run("hang")
    worker = await worker_of(tmp_path / "text")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (await run("read")).tokens != worker
    assert await is_gone(worker)
    assert (await run("read")).blocks == 1


async def test_a_worker_that_starts_for_nobody_is_ended(make_sandbox: Callable[..., Sandbox], tmp_path: Path) -> None:
    sandbox = make_sandbox()
    reading = runner(sandbox, tmp_path)("read")
    while not sandbox._threads._threads:  # its worker is being started from now on
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await asyncio.to_thread(sandbox._threads.shutdown)
    workers = [worker for helper in psutil.Process().children() for worker in helper.children()]
    assert all([await is_gone(worker.pid) for worker in workers])


async def test_documents_wait_for_a_free_worker_without_losing_their_time(
    make_sandbox: Callable[..., Sandbox], tmp_path: Path
) -> None:
    run = runner(make_sandbox(timeout_seconds=1), tmp_path)
    waiting = [run("hang"), *(run("read") for _ in range(5))]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [ParsingError, *[ExtractionReport] * 5]


async def test_workers_are_replaced_after_some_documents(
    make_sandbox: Callable[..., Sandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "JOBS_PER_WORKER", 2)
    run = runner(make_sandbox(), tmp_path)
    workers = [(await run("read")).tokens for _ in range(6)]
    assert len(set(workers)) == 3
    assert workers[0] == workers[1] != workers[2]


async def test_a_worker_that_has_nothing_to_do_is_ended_after_a_while(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.3)
    first = (await run("read")).tokens
    assert (await run("read")).tokens == first
    assert await is_gone(first)
    assert (await run("read")).tokens != first


async def test_an_idle_worker_that_is_killed_from_outside_is_replaced(run: Run) -> None:
    worker = (await run("read")).tokens
    os.kill(worker, signal.SIGKILL)
    assert await is_gone(worker)
    assert (await run("read")).tokens != worker


async def test_a_worker_is_confined(run: Run) -> None:
    report = await run("limits")
    assert report.warnings == ("10", str(MEMORY_MB << 20), "0", "64", str(4 << 30))


async def test_a_reader_that_works_too_long_is_ended(make_sandbox: Callable[..., Sandbox], tmp_path: Path) -> None:
    run = runner(make_sandbox(cpu_seconds=1), tmp_path)
    with pytest.raises(ParsingError) as refusal:
        await run("work")
    assert refusal.value.reason == "parsing error. Reading it took more than 1 seconds of processor time."
    assert (await run("read")).blocks == 1


async def test_each_document_has_its_own_processor_time(make_sandbox: Callable[..., Sandbox], tmp_path: Path) -> None:
    run = runner(make_sandbox(cpu_seconds=1), tmp_path)
    workers = {(await run("busy")).tokens for _ in range(6)}
    assert len(workers) == 1


async def test_progress_comes_while_a_document_is_read(make_sandbox: Callable[..., Sandbox], tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    await make_sandbox().run(readers.BEHAVE, "progress", tmp_path, say=lambda *progress: told.append(progress))
    assert told == [("page", 1, 3), ("page", 2, 3), ("page", 3, 3)]


async def test_a_reader_that_talks_all_the_time_is_heard_now_and_then(
    make_sandbox: Callable[..., Sandbox], tmp_path: Path
) -> None:
    told: list[tuple[str, int, int]] = []
    await make_sandbox().run(readers.BEHAVE, "talk", tmp_path, say=lambda *progress: told.append(progress))
    assert 1 <= len(told) < 1000


async def test_an_answer_of_another_shape_is_no_answer(make_sandbox: Callable[..., Sandbox], tmp_path: Path) -> None:
    with pytest.raises(ParsingError):
        await make_sandbox().run(readers.LIE, "read", tmp_path)


def test_the_work_that_the_server_knows_by_name_is_there() -> None:
    for work in (EXTRACT, RECOGNISE, ASSEMBLE):
        module, _, name = work.function.partition(":")
        hints = get_type_hints(getattr(importlib.import_module(module), name))
        assert hints["return"] is work.answer


def test_the_server_itself_loads_no_parser() -> None:
    loaded = "import sys, bookwheel.app, bookwheel.cli.main; print(*sys.modules)"
    names = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert not {"lxml", "PIL", "cv2", "onnxruntime", "rapidocr", "liteparse", "pypdfium2", "python_calamine"} & set(
        names
    )


async def test_a_worker_has_no_network_where_the_system_allows_to_leave_it(run: Run) -> None:
    spaces = "0x40000000" if os.geteuid() == 0 else "0x50000000"
    trial = f"import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare({spaces}) != 0)"
    if sys.platform != "linux" or subprocess.run([sys.executable, "-c", trial], check=False).returncode:
        pytest.skip("this system does not let a process leave the network")
    assert (await run("network")).warnings != (str(Path("/proc/self/ns/net").readlink()),)


async def test_closing_ends_every_process_and_every_wait(make_sandbox: Callable[..., Sandbox], tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    sandbox = make_sandbox(workers=2)
    reading = runner(sandbox, tmp_path)("hang")
    await worker_of(tmp_path / "text")
    sandbox.close()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before
    with pytest.raises(RuntimeError, match="closed"):
        await runner(sandbox, tmp_path)("read")


def test_closing_what_was_never_used_does_nothing() -> None:
    sandbox = Sandbox(1, Limits(MEMORY_MB, 60, 60))
    sandbox.close()
    sandbox.close()


SCRIPT = """
import asyncio, sys, uvloop
from pathlib import Path
from support import readers
from bookwheel.extraction.sandbox import Limits, Sandbox

print("main", flush=True)

async def main():
    sandbox = Sandbox(1, Limits(512, 60, 60))
    report = await sandbox.run(readers.BEHAVE, sys.argv[2], Path(sys.argv[1]))
    print("read", report.blocks, flush=True)
    sandbox.close()

uvloop.run(main())
"""


def start_script(folder: Path, what: str) -> "subprocess.Popen[str]":
    """A server of a sort: a script, not guarded against being imported, on uvloop."""
    (folder / "script.py").write_text(SCRIPT, "utf-8")
    command = [sys.executable, str(folder / "script.py"), str(folder / "text"), what]
    paths = [str(Path(readers.__file__).parents[1]), *sys.path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_the_server_s_main_module_is_not_run_by_workers(tmp_path: Path) -> None:
    with start_script(tmp_path, "read") as server:
        output, _ = server.communicate(timeout=60)
    assert output == "main\nread 1\n"
    assert server.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="rests on a signal of Linux")
async def test_no_worker_outlives_a_killed_server(tmp_path: Path) -> None:
    with start_script(tmp_path, "hang") as server:
        worker = await worker_of(tmp_path / "text")
        helpers = psutil.Process(server.pid).children(recursive=True)
        server.kill()
    assert worker in {helper.pid for helper in helpers}
    assert all([await is_gone(helper.pid) for helper in helpers])


async def worker_of(text_path: Path) -> int:
    """The process id that a hanging reader wrote, once it has."""
    for _ in range(PATIENCE):
        if text_path.exists() and (written := text_path.read_text("utf-8")):
            return int(written)
        await asyncio.sleep(0.02)
    raise AssertionError("the reader did not start")


async def is_gone(process_id: int) -> bool:
    """Whether a process ends."""
    for _ in range(PATIENCE):
        try:
            if psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        await asyncio.sleep(0.02)
    return False
