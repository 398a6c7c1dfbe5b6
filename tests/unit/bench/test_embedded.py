"""The embedded engine's benchmark: its tables, its documents, and real engines of a tiny model that it starts and ends."""

import json
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from bench import embedded, engine_process
from bench.embedded import about_arithmetic, about_threads, our_variant, speed_rows, with_ratio
from bench.embedded_cache import Wait, make_documents, waits_table
from bench.engine_child import set_field
from bench.engine_process import Bystanders, Speeds, Variant, busy_processes, running_engine
from bookwheel.tokens import count_tokens
from support.tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("weights") / "tiny.gguf")


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


# Parameters


class Kind(IntEnum):
    F16 = 1
    Q8_0 = 8


def test_parameters_are_set_by_their_path_and_members_by_their_name() -> None:
    params = SimpleNamespace(cpu=SimpleNamespace(n_threads=-1), kind=Kind.F16, path="", is_on=False)
    for name, value in {"cpu.n_threads": 2, "kind": "Q8_0", "path": "a.gguf", "is_on": True}.items():
        set_field(params, name, value)
    assert (params.cpu.n_threads, params.kind, params.path, params.is_on) == (2, Kind.Q8_0, "a.gguf", True)


def test_a_parameter_that_there_is_not_is_an_error() -> None:
    with pytest.raises(AttributeError):
        set_field(SimpleNamespace(), "n_thread", 2)


def test_a_variant_differs_in_what_is_said_and_in_nothing_else() -> None:
    ours = Variant("ours", {"a": 1, "b": 2}, {"SPIN": "0"})
    assert ours.but("other", {"b": 3}) == Variant("other", {"a": 1, "b": 3}, {"SPIN": "0"})
    assert ours.but("nice", niceness=5, environment={}) == Variant("nice", {"a": 1, "b": 2}, {}, niceness=5)


def test_every_variant_has_a_name_of_its_own_and_ours_follows_the_defaults() -> None:
    compared = [*about_threads(4), *about_arithmetic(4, native="/usr/bin/python3")]
    names = [variant.name for variant in compared]
    assert names[:2] == ["plain defaults", "Bookwheel"]
    assert len(set(names)) == len(names)
    assert compared[0] == Variant("plain defaults")
    assert compared[-1].python == "/usr/bin/python3"
    assert our_variant(4).fields["cpuparams.n_threads"] == 4


# Tables


def test_figures_stand_beside_those_of_the_plain_defaults() -> None:
    plain, ours = [Speeds(10, 2, 5, 1), Speeds(20, 4, 5, 1)], [Speeds(20, 1, 5, 1), Speeds(60, 8, 5, 1)]
    rows = speed_rows({"plain defaults": plain, "Bookwheel": ours}, ["read", "written"])
    assert rows == [["plain defaults", "15.0", "3.0"], ["Bookwheel", "40.0 (2.50x)", "4.5 (1.25x)"]]
    assert with_ratio([3.0], [2.0]) == "3.0 (1.50x)"


def test_waits_stand_beside_those_of_the_first_question() -> None:
    waits = [
        [Wait(40.0, 4_000, 0), Wait(2.0, 4_010, 3_990), Wait(4.0, 4_005, 3_900)],
        [Wait(60.0, 4_100, 0), Wait(9.0, 4_110, 3_890), Wait(18.0, 4_105, 3_900)],
    ]
    assert waits_table(waits).rows == [
        ["first question", "50.00", "", "", "4,050", "0"],
        ["second question", "5.50", "0.100", "at most 0.25", "4,060", "3,940"],
        ["after a restart", "11.00", "0.200", "at most 0.33", "4,055", "3,900"],
    ]


# Documents


def test_made_documents_have_their_size_and_are_different_and_the_same_in_every_run() -> None:
    documents = make_documents(3, 1_000, None)
    assert documents == make_documents(3, 1_000, None)
    assert len(set(documents)) == 3
    assert all(1_000 <= count_tokens(document) < 1_300 for document in documents)


def test_documents_may_come_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("The lamp was lit in 1911. " * 400)
    question: dict[str, object] = {
        "id": "1",
        "slice": "s",
        "lang": "en",
        "question": "When?",
        "answers": ["1911"],
        "haystack": "h",
    }
    question |= {"evidence": [["lit in 1911"]], "answerable": True}
    (tmp_path / "questions.jsonl").write_text(json.dumps(question))
    (tmp_path / "haystacks.json").write_text(json.dumps({"h": ["a.txt"]}))
    (document,) = make_documents(3, 500, tmp_path)
    assert document.startswith("The lamp was lit")
    assert 400 < count_tokens(document) < 600


# Engines


def test_an_engine_is_measured_and_ended(tiny: Path, tmp_path: Path) -> None:
    before = children()
    variant = Variant("two slots", {"n_parallel": 2, "n_ctx": 4_096, "cpuparams.n_threads": 1}, {"GOMP_SPINCOUNT": "9"})
    with running_engine(tiny, variant, tmp_path / "log") as engine:
        speeds = engine.speeds(300, 20)
        assert min(speeds.read, speeds.written, speeds.read_per_cpu, speeds.written_per_cpu) > 0
        assert engine.written_side_by_side(2, 8) > 0
        assert engine.longest_pause_seconds(200) > 0
        assert len(children() - before) == 1
    assert children() == before


def test_an_engine_that_cannot_start_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    with (
        pytest.raises(RuntimeError, match="plain: the engine ended early"),
        running_engine(broken, Variant("plain"), tmp_path / "log"),
    ):
        pass


def test_processes_are_busy_at_their_priority_until_the_end() -> None:
    before = children()
    with busy_processes(2, niceness=10):
        assert [psutil.Process(pid).nice() for pid in children() - before] == [10, 10]
    assert children() == before


def test_bystanders_are_all_but_this_process_and_those_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds: dict[str, Any] = {"now": 0.0, "busy": 100.0, "own": 10.0}
    idle = {"user": 0.0, "nice": 0.0, "system": 0.0, "irq": 0.0, "softirq": 0.0, "steal": 0.0}
    nothing = {"user": 0.0, "system": 0.0, "children_user": 0.0, "children_system": 0.0}
    monkeypatch.setattr(engine_process.time, "monotonic", lambda: seconds["now"])
    monkeypatch.setattr(engine_process.psutil, "cpu_count", lambda: 2)
    monkeypatch.setattr(engine_process.psutil, "cpu_times", lambda: SimpleNamespace(**idle | {"user": seconds["busy"]}))
    monkeypatch.setattr(
        engine_process.os, "times", lambda: SimpleNamespace(**nothing | {"children_user": seconds["own"]})
    )
    bystanders = Bystanders()
    seconds |= {"now": 50.0, "busy": 160.0, "own": 60.0}
    assert bystanders.share() == 10.0 / (2 * 50.0)


# The command


def test_parts_are_printed_and_a_quick_run_writes_nothing(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(embedded, "BATCHES", (128,))
    assert embedded.main(["pauses", "--quick", "--weights", f"tiny={tiny}"]) == 0
    printed = capsys.readouterr().out
    assert "How long a stream stands still while another prompt is read: tiny" in printed
    assert "128 (Bookwheel)" in printed
    assert "Not written to docs/reference/benchmarks.md" in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["speed"], "there is no part speed; there are settings, parallel, pauses, cache"),
        (["--weights", "tiny"], "give it as NAME=FILE"),
        (["--weights", "tiny=/nowhere.gguf"], "FILE being a GGUF file"),
        (["--native", "/nowhere/python"], "give a Python interpreter that has xllamacpp"),
    ],
)
def test_a_wrong_command_says_what_is_right(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        embedded.main(arguments)
    assert said in capsys.readouterr().err + str(caught.value)
