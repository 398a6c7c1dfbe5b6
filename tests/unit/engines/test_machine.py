"""Machines as Linux describes them in its files: here a folder stands for the system's root."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bookwheel.engines.gguf import GgufModel
from bookwheel.engines.machine import (
    RESERVE_BYTES,
    ContextSize,
    available_memory_bytes,
    choose_context,
    usable_cores,
)

GB = 1024**3
MEMINFO = {"proc/meminfo": "MemTotal: 16777216 kB\nMemFree: 1024 kB\nMemAvailable:    8388608 kB\nHugePages_Total: 0\n"}
SMALL = GgufModel("qwen2", training_tokens=32_768, kv_bytes_per_token=12_288, weights_bytes=491_400_064)
LARGE = GgufModel("llama", training_tokens=131_072, kv_bytes_per_token=131_072, weights_bytes=5 * GB)

MakeSystem = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def system(tmp_path: Path) -> MakeSystem:
    def make(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


def threads_of_one_core(*pairs: tuple[int, int]) -> dict[str, str]:
    folder = "sys/devices/system/cpu"
    return {
        f"{folder}/cpu{number}/topology/thread_siblings_list": f"{first},{second}\n"
        for first, second in pairs
        for number in (first, second)
    }


# Cores


def test_two_threads_of_a_core_are_one(system: MakeSystem) -> None:
    root = system(threads_of_one_core((0, 4), (1, 5), (2, 6), (3, 7)))
    assert usable_cores(root, set(range(8))) == 4


def test_only_cores_that_this_process_may_run_on_count(system: MakeSystem) -> None:
    root = system(threads_of_one_core((0, 4), (1, 5), (2, 6), (3, 7)))
    assert usable_cores(root, {0, 4}) == 1
    assert usable_cores(root, {0, 1, 6}) == 3


def test_slow_cores_beside_fast_ones_do_not_count(system: MakeSystem) -> None:
    root = system(threads_of_one_core((0, 1), (2, 3)) | {"sys/devices/cpu_core/cpus": "0-3\n"})
    assert usable_cores(root, set(range(12))) == 2
    assert usable_cores(root, {8, 9, 10}) == 3


def test_a_system_that_tells_nothing_has_the_cores_of_this_process(system: MakeSystem) -> None:
    assert usable_cores(system({}), {0, 1, 2}) == 3


def test_this_machine_has_a_core_and_no_more_than_this_process_may_use() -> None:
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("quota", "cores"), [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1)])
def test_time_that_a_control_group_grants_is_rounded_down_to_cores(system: MakeSystem, quota: str, cores: int) -> None:
    root = system({"proc/self/cgroup": "0::/box\n", "sys/fs/cgroup/box/cpu.max": quota})
    assert usable_cores(root, set(range(8))) == cores


def test_a_control_group_above_limits_too(system: MakeSystem) -> None:
    files = {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "300000 100000"}
    assert usable_cores(system(files | {"sys/fs/cgroup/a/b/cpu.max": "max 100000"}), set(range(8))) == 3


def test_control_groups_of_the_first_version_are_understood(system: MakeSystem) -> None:
    files = {
        "proc/self/cgroup": "5:cpu,cpuacct:/box\n4:memory:/other\n0::/\n",
        "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "400000\n",
        "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000\n",
    }
    assert usable_cores(system(files), set(range(8))) == 4
    assert usable_cores(system({"sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "-1\n"}), set(range(8))) == 8


# Memory


def test_what_the_system_calls_available_is(system: MakeSystem) -> None:
    assert available_memory_bytes(system(MEMINFO)) == 8 * GB


def test_a_control_group_may_grant_less_and_its_cached_files_are_free(system: MakeSystem) -> None:
    files = {
        "proc/self/cgroup": "0::/box\n",
        "sys/fs/cgroup/box/memory.max": str(4 * GB),
        "sys/fs/cgroup/box/memory.current": str(3 * GB),
        "sys/fs/cgroup/box/memory.stat": f"anon 5\ninactive_file {2 * GB}\n",
    }
    assert available_memory_bytes(system(MEMINFO | files)) == 3 * GB


def test_memory_of_control_groups_of_the_first_version_is_understood(system: MakeSystem) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/docker/abc\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": str(2 * GB),
        "sys/fs/cgroup/memory/memory.usage_in_bytes": str(1 * GB),
        "sys/fs/cgroup/memory/memory.stat": "inactive_file 7\ntotal_inactive_file 1000\n",
    }
    assert available_memory_bytes(system(MEMINFO | files)) == GB + 1000


def test_a_control_group_without_a_limit_takes_nothing_away(system: MakeSystem) -> None:
    files = {"proc/self/cgroup": "0::/box\n", "sys/fs/cgroup/box/memory.max": "max\n"}
    assert available_memory_bytes(system(MEMINFO | files | {"sys/fs/cgroup/box/memory.current": "5"})) == 8 * GB


def test_a_full_control_group_leaves_nothing(system: MakeSystem) -> None:
    files = {"sys/fs/cgroup/memory.max": "100", "sys/fs/cgroup/memory.current": "200", "proc/self/cgroup": "0::/\n"}
    assert available_memory_bytes(system(MEMINFO | files)) == 0


def test_a_system_that_tells_nothing_lends_half_of_its_memory(system: MakeSystem) -> None:
    all_of_it = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert available_memory_bytes(system({})) == all_of_it // 2


# The context


def test_every_slot_has_the_window_of_the_training_where_there_is_room() -> None:
    assert choose_context(SMALL, slots=2, memory_bytes=8 * GB) == ContextSize(32_768, is_shared=False)


def test_a_window_is_no_longer_than_it_is_useful() -> None:
    assert choose_context(LARGE, slots=1, memory_bytes=64 * GB) == ContextSize(32_768, is_shared=False)


def test_windows_are_halved_until_every_slot_has_one() -> None:
    beside = LARGE.weights_bytes + RESERVE_BYTES
    assert choose_context(LARGE, slots=2, memory_bytes=beside + 8 * GB) == ContextSize(32_768, is_shared=False)
    assert choose_context(LARGE, slots=2, memory_bytes=beside + 8 * GB - 1) == ContextSize(16_384, is_shared=False)
    assert choose_context(LARGE, slots=4, memory_bytes=beside + 2 * GB) == ContextSize(4_096, is_shared=False)


def test_at_the_shortest_window_the_slots_share_what_there_is() -> None:
    assert choose_context(LARGE, slots=2, memory_bytes=2 * GB) == ContextSize(2_048, is_shared=True)
    assert choose_context(LARGE, slots=1, memory_bytes=2 * GB) == ContextSize(2_048, is_shared=False)


def test_a_model_trained_on_less_than_the_shortest_window_has_its_own() -> None:
    tiny = GgufModel("llama", training_tokens=512, kv_bytes_per_token=1_024, weights_bytes=1)
    assert choose_context(tiny, slots=2, memory_bytes=0) == ContextSize(512, is_shared=True)


def test_a_window_that_was_set_stays_and_is_shared_where_there_is_no_room_for_more() -> None:
    assert choose_context(SMALL, 2, 8 * GB, window_tokens=65_536) == ContextSize(65_536, is_shared=False)
    assert choose_context(SMALL, 2, 3 * GB, window_tokens=65_536) == ContextSize(65_536, is_shared=True)


def test_a_model_that_keeps_nothing_a_token_has_its_window_in_any_memory() -> None:
    recurrent = GgufModel("mamba", training_tokens=1_000_000, kv_bytes_per_token=0, weights_bytes=GB)
    assert choose_context(recurrent, slots=4, memory_bytes=GB) == ContextSize(32_768, is_shared=False)
