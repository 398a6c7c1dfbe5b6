"""The lines of a batch are asked side by side within bounds, as often as it takes, and each ends with one result."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bookwheel.batches import run as module
from bookwheel.batches.lines import CHAT_ENDPOINT, TEST_ENDPOINT, LineRules, scan_lines
from bookwheel.batches.results import ERRORS, OUTPUT, Results, open_results
from bookwheel.batches.run import BatchRun, Desk
from bookwheel.errors import (
    ApiError,
    EngineBusy,
    EngineRefused,
    EngineUnreachable,
    FileStillParsing,
    InputFileDeleted,
    InvalidRequest,
)
from bookwheel.settings import MB, Settings
from bookwheel.storage.batches import IN_PROGRESS, BatchRecord
from support.scripted_batch import BATCH_ID, House, Outcome, ScriptedLines, chat, chat_lines, line, results_in, until

FILE_IDS = [f"file-fe-{letter * 24}" for letter in "abc"]


def record_of(endpoint: str = CHAT_ENDPOINT, **values: Any) -> BatchRecord:
    known = {
        "batch_id": BATCH_ID,
        "account_id": "ely",
        "endpoint": endpoint,
        "status": IN_PROGRESS,
        "expires_at": 2**40,
    }
    row = dict.fromkeys(BatchRecord.__dataclass_fields__) | known | values
    return BatchRecord(**row)  # type: ignore[arg-type]


class Bench:
    """Runs of one batch whose lines are answered by a script."""

    def __init__(self, house: House, folder: Path) -> None:
        self.house = house
        self.answering = ScriptedLines()
        self.folder = folder / "batch"
        self.path = folder / "input.jsonl"
        self.retries = 2
        self.opened: list[Results] = []

    def run_of(self, lines: list[bytes], endpoint: str = CHAT_ENDPOINT) -> BatchRun:
        self.path.write_bytes(b"\n".join(lines))
        models = {"qwen-long", "batch-test-model"}
        scanned = scan_lines(self.path, LineRules(endpoint, models, 100_000, 64 * MB)).lines
        assert scanned is not None
        results = open_results(self.folder)
        self.opened.append(results)
        desk = Desk(self.answering, self.house.roster, self.house.reader, self.retries)
        return BatchRun(record_of(endpoint), scanned, results, desk)

    def results(self, name: str) -> list[dict[str, Any]]:
        return results_in(self.folder / name)

    def answered(self) -> list[str]:
        """The lines that were answered, in order of their numbers."""
        return _ids(self.results(OUTPUT))

    def failed(self) -> dict[str, str]:
        """The lines that failed, and why."""
        return {result["custom_id"]: result["error"]["code"] for result in self.results(ERRORS)}

    def fail_with(self, *errors: ApiError, of: str = "") -> None:
        """Have each line fail with these, one after the other, and be answered then; or only the line of that id."""
        failed = Counter[str]()

        async def behave(custom_id: str) -> Outcome:
            await asyncio.sleep(0)
            failed[custom_id] += 1
            if of in ("", custom_id) and failed[custom_id] <= len(errors):
                return errors[failed[custom_id] - 1]
            return None

        self.answering.behave = behave


@pytest.fixture
async def bench(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    for name in ("FIRST_PAUSE_SECONDS", "LONGEST_PAUSE_SECONDS", "LONGEST_LOOK_SECONDS", "REST_SECONDS"):
        monkeypatch.setattr(module, name, 0.001)
    made = Bench(house, tmp_path)
    yield made
    for results in made.opened:
        await results.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long lines rested, which takes no time here."""
    rested: list[float] = []
    pause_seconds = module._pause_seconds

    def note(error: ApiError, tries: int) -> float:
        rested.append(pause_seconds(error, tries))
        return 0.0

    monkeypatch.setattr(module, "_pause_seconds", note)
    return rested


def _ids(results: list[dict[str, Any]]) -> list[str]:
    return [result["custom_id"] for result in sorted(results, key=lambda result: str(result["id"]))]


class TestWindow:
    async def test_every_line_has_one_answer(self, bench: Bench) -> None:
        run = bench.run_of(chat_lines(300))
        await run.run()
        assert bench.answered() == [f"q{number}" for number in range(1, 301)]
        assert bench.failed() == {}
        assert sorted(bench.answering.asked) == sorted(bench.answered())
        assert run.total == 300

    async def test_no_more_lines_are_asked_at_once_than_the_engine_takes(self, bench: Bench) -> None:
        bench.answering.behave = _after_a_while
        await bench.run_of(chat_lines(40)).run()
        assert bench.answering.most_under_way == 3
        assert len(bench.answered()) == 40

    async def test_batches_of_one_engine_share_its_turns(self, bench: Bench, tmp_path: Path) -> None:
        other = Bench(bench.house, tmp_path / "other")
        other.path.parent.mkdir()
        other.answering = bench.answering
        of_other = [line(f"o{number}", chat("?")) for number in range(30)]
        runs = [bench.run_of(chat_lines(30)), other.run_of(of_other)]
        await asyncio.gather(*(run.run() for run in runs))
        assert bench.answering.most_under_way == 3
        assert len(bench.answered()) == len(other.answered()) == 30
        await other.opened[0].close()

    async def test_lines_under_way_are_bounded_in_bytes_and_a_huge_one_goes_alone(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MOST_UNDER_WAY_BYTES", 2_000)
        bench.answering.behave = _after_a_while
        lines = [line(f"q{number}", chat("?" * 700)) for number in range(12)]
        lines[5] = line("q5", chat("?" * 9_000))
        await bench.run_of(lines).run()
        assert len(bench.answered()) == 12
        assert bench.answering.most_bytes_under_way == len(lines[5])
        assert bench.answering.most_under_way == 2

    async def test_a_dry_run_needs_no_engine(self, bench: Bench) -> None:
        lines = [line(f"q{n}", chat("?", model="batch-test-model"), TEST_ENDPOINT) for n in range(100)]
        await bench.run_of(lines, TEST_ENDPOINT).run()
        assert len(bench.answered()) == 100
        assert bench.house.engine.looks == 0

    async def test_lines_that_are_done_are_not_asked_again(self, bench: Bench) -> None:
        first = bench.run_of(chat_lines(10))
        bench.answering.behave = _break_at("q6")
        with pytest.raises(RuntimeError, match="a fault"):
            await first.run()
        await bench.opened[0].close()
        done = bench.answered()
        assert 0 < len(done) < 10
        bench.answering.asked.clear()
        bench.answering.behave = ScriptedLines().behave
        await bench.run_of(chat_lines(10)).run()
        assert sorted(bench.answering.asked) == sorted({f"q{n}" for n in range(1, 11)} - set(done))
        assert bench.answered() == [f"q{number}" for number in range(1, 11)]


class TestRetries:
    async def test_what_may_pass_is_asked_again_after_growing_pauses(
        self, bench: Bench, pauses: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 1.0)
        monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 3.0)
        bench.retries = 3
        bench.fail_with(*[EngineRefused(503, {})] * 3)
        await bench.run_of(chat_lines(1)).run()
        assert bench.answered() == ["q1"]
        assert [0.5 * most <= pause <= most for pause, most in zip(pauses, (1, 2, 3), strict=True)] == [True] * 3

    async def test_a_line_that_fails_too_often_fails_alone(self, bench: Bench) -> None:
        bench.fail_with(*[EngineRefused(500, {"message": "Broken.", "code": "broken"})] * 3, of="q2")
        await bench.run_of(chat_lines(4)).run()
        assert bench.answered() == ["q1", "q3", "q4"]
        assert bench.failed() == {"q2": "broken"}
        assert bench.answering.asked.count("q2") == 3

    async def test_what_does_not_pass_is_not_asked_again(self, bench: Bench) -> None:
        bench.fail_with(InvalidRequest("No."), of="q2")
        await bench.run_of(chat_lines(3)).run()
        assert bench.failed() == {"q2": "invalid_parameter_error"}
        assert sorted(bench.answering.asked) == ["q1", "q2", "q3"]
        assert bench.house.engine.looks == 0

    async def test_an_engine_that_is_only_busy_is_asked_more_often(self, bench: Bench, pauses: list[float]) -> None:
        bench.retries = 0
        bench.fail_with(*[EngineBusy("Busy.", 7)] * 9)
        await bench.run_of(chat_lines(1)).run()
        assert bench.answered() == ["q1"]
        assert pauses == [7.0] * 9

    async def test_patience_with_a_busy_engine_ends(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "PATIENCE_WITH_BUSY_SECONDS", 0.0)
        bench.fail_with(*[EngineBusy("Busy.", 0)] * 9)
        await bench.run_of(chat_lines(1)).run()
        assert bench.failed() == {"q1": "limit_requests"}
        assert len(bench.answering.asked) == 3

    @pytest.mark.parametrize(("asked_for", "pause"), [("20", 20.0), ("0", 0.0), ("100000", 300.0)])
    def test_the_pause_that_an_engine_asks_for_is_kept(self, asked_for: str, pause: float) -> None:
        assert module._pause_seconds(EngineRefused(429, {}, asked_for), 0) == pause

    @pytest.mark.parametrize("asked_for", [None, "", "Wed, 21 Oct 2026 07:28:00 GMT", "-1", "1.5"])
    def test_any_other_pause_grows(self, asked_for: str | None) -> None:
        error = EngineRefused(429, {}, asked_for)
        assert 0.5 <= module._pause_seconds(error, 0) <= 1
        assert 30 <= module._pause_seconds(error, 1_000) <= 60


class TestOutages:
    @pytest.mark.parametrize("retries", [0, 2])
    async def test_an_engine_that_is_down_costs_no_line_a_try(self, bench: Bench, retries: int) -> None:
        """All lines that are under way fail; one of them looks after the engine, the others wait for it."""
        engine = bench.house.engine
        bench.retries = retries
        engine.trouble = "It is not there."

        async def behave(_custom_id: str) -> Outcome:
            await asyncio.sleep(0)
            return EngineUnreachable("Not there.") if engine.trouble else None

        bench.answering.behave = behave
        run = bench.run_of(chat_lines(12))
        running = asyncio.ensure_future(run.run())
        await until(lambda: engine.looks > 20)
        assert run.progress.waiting == "The engine mill is not able to answer: It is not there."
        assert len(bench.answering.asked) <= 7
        engine.trouble = ""
        await running
        assert len(bench.answered()) == 12
        assert bench.failed() == {}
        assert run.progress.waiting is None

    @pytest.mark.parametrize(("outages", "failed"), [(3, {}), (1_000, {"q1": "engine_unreachable"})])
    async def test_a_line_outlasts_some_outages_and_not_any_number(
        self, bench: Bench, outages: int, failed: dict[str, str]
    ) -> None:
        """It may be the line that takes the engine down, each time."""
        engine = bench.house.engine
        bench.retries = 0

        async def behave(_custom_id: str) -> Outcome:
            await asyncio.sleep(0)
            if len(bench.answering.asked) > outages:
                return None
            engine.trouble = "It is not there."
            asyncio.get_running_loop().call_later(0.003, setattr, engine, "trouble", "")
            return EngineUnreachable("Not there.")

        bench.answering.behave = behave
        async with asyncio.timeout(20):
            await bench.run_of(chat_lines(1)).run()
        assert bench.failed() == failed

    async def test_a_model_that_is_gone_after_a_reload_fails_the_lines_that_are_left(self, bench: Bench) -> None:
        """The roster is read anew for each line; what is left is answered by whatever serves the name then."""
        house = bench.house
        settings = Settings(data_dir=house.settings.data_dir, engines={"b": {"kind": "fake"}}, models={"default": "b"})

        async def behave(custom_id: str) -> Outcome:
            if custom_id == "q5":
                await house.roster.reload(settings)
            await asyncio.sleep(0)
            return None

        bench.answering.behave = behave
        await bench.run_of(chat_lines(30)).run()
        assert len(bench.answered()) == 30
        house.roster.names = {}
        house.engine.trouble = "gone"
        bench.fail_with(EngineUnreachable("x"), EngineUnreachable("x"), EngineUnreachable("x"))
        await bench.opened[0].close()
        await bench.run_of(chat_lines(31)).run()
        assert bench.failed() == {"q31": "engine_unreachable"}


class TestLeaders:
    LINES: ClassVar = [line(f"{d}{n}", chat(f"{n}?", f"Document {d}")) for n in (1, 2, 3, 4) for d in "ab"]

    async def test_the_first_of_those_that_share_documents_goes_ahead(self, bench: Bench) -> None:
        too_early: list[str] = []

        async def behave(custom_id: str) -> Outcome:
            if custom_id[1] != "1" and f"{custom_id[0]}1" not in bench.answering.ended:
                too_early.append(custom_id)
            return await _after_a_while(custom_id)

        bench.answering.behave = behave
        await bench.run_of(self.LINES).run()
        assert (len(bench.answered()), too_early) == (8, [])

    async def test_followers_are_asked_when_the_leader_s_first_try_has_ended(self, bench: Bench) -> None:
        tried = asyncio.Event()
        asked_before: list[str] = []

        async def behave(custom_id: str) -> Outcome:
            if custom_id == "a1" and not tried.is_set():
                for _ in range(30):
                    await asyncio.sleep(0)
                asked_before.extend(bench.answering.asked)
                tried.set()
                return EngineRefused(503, {})
            await asyncio.sleep(0)
            return None

        bench.answering.behave = behave
        await bench.run_of(self.LINES[::2]).run()
        assert asked_before == ["a1"]
        assert len(bench.answered()) == 4

    async def test_followers_do_not_wait_while_the_leader_is_tried_again(self, bench: Bench) -> None:
        async def behave(custom_id: str) -> Outcome:
            await asyncio.sleep(0)
            return EngineBusy("Busy.", 0) if custom_id == "a1" and "a4" not in bench.answering.ended else None

        bench.answering.behave = behave
        async with asyncio.timeout(20):
            await bench.run_of(self.LINES[::2]).run()
        assert len(bench.answered()) == 4

    async def test_followers_of_a_leader_that_is_put_off_go_on(self, bench: Bench) -> None:
        """Its question names a file, too, and that one is still being read."""
        bench.house.reader.unread = {FILE_IDS[0]}
        leader = line("a1", chat(f"How does it compare to {FILE_IDS[0]}?", "Document a"))
        running = asyncio.ensure_future(bench.run_of([leader, *self.LINES[2::2]]).run())
        await until(lambda: bench.house.reader.waits)
        assert sorted(bench.answering.asked) == ["a2", "a3", "a4"]
        bench.house.reader.unread = set()
        await running
        assert len(bench.answered()) == 4

    @pytest.mark.parametrize("error", [InvalidRequest("No."), FileStillParsing(), RuntimeError("a fault")])
    async def test_followers_go_on_however_the_leader_ends(self, bench: Bench, error: Exception) -> None:
        fails = iter([error])

        async def behave(custom_id: str) -> Outcome:
            await asyncio.sleep(0)
            failure = next(fails, None) if custom_id == "a1" else None
            if isinstance(failure, RuntimeError):
                raise failure
            return failure if isinstance(failure, ApiError) else None

        bench.answering.behave = behave
        async with asyncio.timeout(20):
            with suppress(RuntimeError):
                await bench.run_of(self.LINES).run()
            if isinstance(error, RuntimeError):
                await bench.opened[0].close()
                await bench.run_of(self.LINES).run()
        assert len(bench.answered()) + len(bench.failed()) == 8

    async def test_where_the_first_is_done_the_next_goes_ahead(self, bench: Bench) -> None:
        too_early: list[str] = []

        async def behave(custom_id: str) -> Outcome:
            if custom_id != "a2" and "a2" not in bench.answering.ended:
                too_early.append(custom_id)
            return await _after_a_while(custom_id)

        bench.answering.behave = behave
        run = bench.run_of(self.LINES[::2])
        await bench.opened[0].add(1, b'{"id":"batch_req_x"}', is_failure=False)
        await bench.opened[0].settle()
        async with asyncio.timeout(20):
            await run.run()
        assert sorted(bench.answering.asked) == ["a2", "a3", "a4"]
        assert too_early == []


class TestUnreadFiles:
    async def test_lines_are_put_off_until_their_files_are_read(self, bench: Bench) -> None:
        reader = bench.house.reader
        reader.unread = set(FILE_IDS)
        lines = [line(f"d{n}", chat(f"{n}?", f"fileid://{FILE_IDS[n % 3]}")) for n in range(9)]
        run = bench.run_of([*lines, *chat_lines(5)])
        running = asyncio.ensure_future(run.run())
        await until(lambda: len(reader.waits) > 3)
        assert sorted(bench.answering.asked) == ["q1", "q2", "q3", "q4", "q5"]
        assert reader.waits[0] == [FILE_IDS[0]]
        reader.unread = {FILE_IDS[0]}
        await until(lambda: len(bench.answering.asked) == 11)
        assert not running.done()
        reader.unread = set()
        async with asyncio.timeout(20):
            await running
        assert len(bench.answered()) == 14
        assert run.progress.waiting is None

    async def test_many_lines_that_name_one_unread_file_are_not_held(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They are read again when it is: what is kept of them meanwhile is where they stand."""
        bench.house.reader.unread = {FILE_IDS[0]}
        lines = [line(f"{n}", chat(f"{n}?", f"fileid://{FILE_IDS[0]}")) for n in range(2_000)]
        run = bench.run_of(lines)
        running = asyncio.ensure_future(run.run())
        await until(lambda: bench.house.reader.waits)
        assert bench.answering.asked == []
        bench.house.reader.unread = set()
        await running
        assert len(bench.answered()) == 2_000
        assert bench.answering.asked[0] == "0"

    async def test_a_file_that_is_being_read_after_all_puts_its_line_off(self, bench: Bench) -> None:
        bench.retries = 0
        bench.fail_with(FileStillParsing(), FileStillParsing(), of="q2")
        await bench.run_of(chat_lines(3)).run()
        assert bench.answered() == ["q1", "q2", "q3"]
        assert bench.answering.asked.count("q2") == 3


class TestEnds:
    async def test_cancelled_in_the_middle_it_keeps_what_was_answered(self, bench: Bench) -> None:
        answered = asyncio.Event()

        async def behave(custom_id: str) -> Outcome:
            if int(custom_id[1:]) > 10:
                answered.set()
                await asyncio.Event().wait()
            return None

        bench.answering.behave = behave
        run = bench.run_of(chat_lines(50))
        running = asyncio.ensure_future(run.run())
        await answered.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert bench.answering.under_way == {}
        turns = bench.house.roster.engines["mill"].batch_turns
        assert (turns.running, turns.waiting) == (0, 0)
        await bench.opened[0].close()
        assert bench.answered() == [f"q{number}" for number in range(1, 11)]

    @pytest.mark.parametrize("fault", [RuntimeError("a fault"), asyncio.CancelledError("by somebody else")])
    async def test_a_fault_in_one_line_ends_the_run_and_not_as_if_all_were_done(
        self, bench: Bench, fault: BaseException
    ) -> None:
        bench.answering.behave = _break_at("q20", fault)
        run = bench.run_of(chat_lines(40))
        async with asyncio.timeout(20):
            with pytest.raises(RuntimeError):
                await run.run()
        assert bench.answering.under_way == {}
        assert "q20" not in bench.answered()

    async def test_a_fault_in_the_last_line_ends_the_run(self, bench: Bench) -> None:
        bench.answering.behave = _break_at("q3")
        async with asyncio.timeout(20):
            with pytest.raises(RuntimeError):
                await bench.run_of(chat_lines(3)).run()

    async def test_given_up_every_line_that_is_not_done_fails_with_the_reason(self, bench: Bench) -> None:
        run = bench.run_of(chat_lines(200))
        await bench.opened[0].add(7, b'{"id":"batch_req_7","custom_id":"q7"}', is_failure=False)
        await run.give_up("batch_expired", "Too late.")
        assert bench.answered() == ["q7"]
        assert bench.failed() == {f"q{n}": "batch_expired" for n in range(1, 201) if n != 7}
        assert len(bench.results(ERRORS)) == 199
        await run.give_up("batch_expired", "Too late.")
        assert len(bench.results(ERRORS)) == 199
        assert bench.answering.asked == []

    async def test_an_input_file_that_is_gone_ends_it(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "READ_AHEAD_LINES", 4)

        async def behave(custom_id: str) -> Outcome:
            if custom_id == "q6":
                bench.path.unlink()
            return None

        bench.answering.behave = behave
        run = bench.run_of(chat_lines(40))
        async with asyncio.timeout(20):
            with pytest.raises(InputFileDeleted):
                await run.run()
        with pytest.raises(InputFileDeleted):
            await run.give_up("batch_cancelled", "Cancelled.")
        assert bench.answering.under_way == {}

    async def test_it_tells_its_rate_and_the_time_that_is_left(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 1_000.0
        monkeypatch.setattr(time, "monotonic", lambda: now)
        run = bench.run_of(chat_lines(100))
        assert (run.progress.lines_per_second, run.progress.seconds_left) == (0.0, None)
        add = _adder(bench.opened[0])
        for _ in range(10):
            now += 30
            await add(3)
            told = run.progress
        assert (told.lines_per_second, told.seconds_left) == (0.1, 700.0)
        now += 50
        await add(70)
        assert run.progress.seconds_left == 0.0


async def _after_a_while(_custom_id: str) -> Outcome:
    for _ in range(5):
        await asyncio.sleep(0)
    return None


def _adder(results: Results) -> Callable[[int], Any]:
    numbers = iter(range(1, 1_000))

    async def add(count: int) -> None:
        for _ in range(count):
            await results.add(next(numbers), b"{}", is_failure=False)
        await results.settle()

    return add


def _break_at(custom_id: str, fault: BaseException | None = None) -> Any:
    async def behave(asked: str) -> Outcome:
        await asyncio.sleep(0)
        if asked == custom_id:
            raise fault or RuntimeError("a fault")
        return None

    return behave
