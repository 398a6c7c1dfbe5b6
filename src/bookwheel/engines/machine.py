"""What this machine gives an embedded engine: the cores that it may keep busy, the memory, and the context that fits in it.

Read from Linux's own files, because what a container may use is written nowhere else; llama.cpp itself looks at neither
affinity nor control groups. Other systems are asked what Python can ask them.
"""

import os
from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from bookwheel.engines.gguf import GgufModel

MB = 1024 * 1024
THREADS_ENVIRONMENT = {"GOMP_SPINCOUNT": "500"}
"""How an engine's threads wait for each other, some 700 times a token: 500 turns, 10 to 30 µs, then asleep.

GNU OpenMP, with which the wheel is built, reads it when it is loaded; its own 300,000 turns starve the thread that is waited
for as soon as another process wants the core. Tokens that 0.5B writes a second on two cores, idle, beside two workers that
read documents at their lower priority, and beside one busy process of the same priority: 400 to 1,000 turns 48, 38 and
14 to 17; 300,000 turns 47, 39 and 2; asleep at once 30, 26 and 21; one thread 30, 29 and 13.
"""
SYSTEM = Path("/")
LONGEST_WINDOW_TOKENS = 32_768
"""What a window is where the model was trained on more: some five minutes of reading on two cores, for 0.5B."""
SHORTEST_WINDOW_TOKENS = 2_048
RESERVE_BYTES = 1536 * MB
"""For the server with its mapped indexes, two documents being read, and 100 MB that llama.cpp computes in."""


@dataclass(frozen=True, slots=True)
class ContextSize:
    """What every slot may hold. `is_shared`: there is memory for one such window only, and the slots share it."""

    window_tokens: int
    is_shared: bool


def choose_context(model: GgufModel, slots: int, memory_bytes: int, window_tokens: int | None = None) -> ContextSize:
    """The context for so many slots in the memory that is left, beside the weights and a reserve.

    `window_tokens` is taken as given. Else it is what the model was trained on, to 32,768, halved until every slot has
    one, to 2,048: by halves, so that a little more or less free memory at the start does not change it.
    """
    room_bytes = max(0, memory_bytes - model.weights_bytes - RESERVE_BYTES)

    def is_too_much(tokens: int) -> bool:
        return slots * tokens * model.kv_bytes_per_token > room_bytes

    if window_tokens is None:
        window_tokens = min(model.training_tokens, LONGEST_WINDOW_TOKENS)
        while window_tokens > SHORTEST_WINDOW_TOKENS and is_too_much(window_tokens):
            window_tokens = max(SHORTEST_WINDOW_TOKENS, window_tokens // 2)
    return ContextSize(window_tokens, is_shared=slots > 1 and is_too_much(window_tokens))


def usable_cores(system: Path = SYSTEM, processors: Set[int] | None = None) -> int:
    """The cores that computing threads can have to themselves, one at least.

    Of the `processors` that this process may run on: two that are threads of one core are one, slow ones beside fast ones
    (Intel's hybrids) do not count since all wait for the slowest, and the time that control groups grant is rounded down,
    since a thread that is held back holds up the others.
    """
    allowed = _allowed_processors() if processors is None else processors
    fast = _numbers(_text(system / "sys/devices/cpu_core/cpus")) & allowed
    folder = system / "sys/devices/system/cpu"
    cores = {_text(folder / f"cpu{n}/topology/thread_siblings_list") or str(n) for n in fast or allowed}
    return max(1, int(min([len(cores), *_granted_processors(system)])))


def available_memory_bytes(system: Path = SYSTEM) -> int:
    """The memory that can be taken without pushing anything out, within what the control groups grant; 0 at least.

    Where the system does not tell (macOS), half of what the machine has.
    """
    available = _fields(system / "proc/meminfo").get("MemAvailable:")
    if available is None:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return max(0, min([available * 1024, *_granted_bytes(system)]))


def _allowed_processors() -> Set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _granted_processors(system: Path) -> Iterator[float]:
    """Processors' time a second that control groups grant, each that sets a limit."""
    for group in _control_groups(system, "cpu"):
        quota, _, period = _text(group / "cpu.max").partition(" ")
        quota = quota or _text(group / "cpu.cfs_quota_us")
        period = period or _text(group / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            yield int(quota) / int(period)


def _granted_bytes(system: Path) -> Iterator[int]:
    """Memory that is left in control groups, each that sets a limit; files that they merely keep cached are free."""
    for group in _control_groups(system, "memory"):
        limit = _text(group / "memory.max") or _text(group / "memory.limit_in_bytes")
        used = _text(group / "memory.current") or _text(group / "memory.usage_in_bytes")
        kept = _fields(group / "memory.stat")
        if limit.isdigit() and used.isdigit():
            yield int(limit) - int(used) + kept.get("total_inactive_file", kept.get("inactive_file", 0))


def _control_groups(system: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control groups and of those above them, of version 2 and 1."""
    for line in _text(system / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        root = system / "sys/fs/cgroup" / (controller if controllers else "")
        if not controllers or controller in controllers.split(","):
            folder = root / path.strip("/")
            yield from (above for above in chain([folder], folder.parents) if above.is_relative_to(root))


def _text(path: Path) -> str:
    """What a file of the system says; nothing where it is not there or not ours to read."""
    try:
        return path.read_text("utf-8").strip()
    except OSError:
        return ""


def _fields(path: Path) -> dict[str, int]:
    """Names and numbers of lines like `MemAvailable:  23361236 kB`."""
    lines = (line.split() for line in _text(path).splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}


def _numbers(ranges: str) -> set[int]:
    """`0-3,8` as numbers."""
    pairs = (part.partition("-") for part in ranges.split(",") if part)
    return {number for first, _, last in pairs for number in range(int(first), int(last or first) + 1)}
