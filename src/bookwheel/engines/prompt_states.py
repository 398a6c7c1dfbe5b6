"""Keeps on disk what an embedded engine has read: the state of a slot after a prompt's beginning, so that no restart has it
read again.

    data_dir/prompts/ENGINE/KEY.state    as the engine wrote it
                            KEY.json     what it is: the tokens, the files that it rests on, its size and checksum

A state is there when its JSON is: that is written last, and both get their names when they are whole. A state that is not as
it was written is never given back: with a cut one llama.cpp aborts, and with other bytes in it it answers nonsense. States
hold the text of documents: the folder is its owner's alone, and a state goes with any of its files.
"""

import asyncio
import importlib.metadata
import os
import secrets
import shutil
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import msgspec
from cachetools import LRUCache

from bookwheel.logs import log

MB = 1024 * 1024
FREE_MB = 1024
"""What is left free on the disk: uploads need it more."""
REMEMBERED_DELETIONS = 4_096
PIECE_BYTES = 4 * MB
SAMPLES, SAMPLE_BYTES = 64, 64 * 1024
STATE, LABEL, UNFINISHED = ".state", ".json", ".tmp"


class Label(msgspec.Struct, frozen=True):
    """What a state is. `engine` tells whose: the weights, the program that wrote it and how."""

    engine: str
    tokens: int
    file_ids: list[str]
    size_bytes: int
    crc32: int


@dataclass(frozen=True, slots=True)
class PromptState:
    """A state that is kept. `filename` is its name in the folder."""

    filename: str
    tokens: int


class PromptStates:
    """See the module. To be called from one event loop. States of another `engine` than this are removed at the start.

    `most_bytes` bounds what is on the disk: the least recently used go first.
    """

    def __init__(self, folder: Path, engine: str, most_bytes: int) -> None:
        self._folder = folder
        self._engine = engine
        self._most_bytes = most_bytes
        self._labels: dict[str, Label] = {}
        """By key, the least recently used first."""
        self._deleted: LRUCache[str, bool] = LRUCache(REMEMBERED_DELETIONS)

    async def open(self, is_there: Callable[[str], bool]) -> None:
        """Find what was kept. What is not whole is removed, and what rests on a file that `is_there` says is gone.

        Raises OSError where the folder cannot be had.
        """
        self._labels = await asyncio.to_thread(self._sweep, is_there)
        await self._make_room(0)
        log.info("prompt states", folder=str(self._folder), states=len(self._labels), mb=self._size_bytes() // MB)

    def holds(self, key: str) -> bool:
        return key in self._labels

    async def find(self, key: str) -> PromptState | None:
        """A state that is as it was written; None where there is none. A quarter of a second for a GB."""
        label = self._labels.get(key)
        if label is None:
            return None
        path = self._folder / f"{key}{STATE}"
        is_as_written = await asyncio.to_thread(_is_as_written, path, label)
        if self._labels.get(key) is not label:  # it went meanwhile, or another took its place
            return None
        if not is_as_written:
            log.warning("prompt state damaged", state=key)
            await self.drop(key)
            return None
        self._labels[key] = self._labels.pop(key)
        with suppress(OSError):
            os.utime(self._folder / f"{key}{LABEL}")
        return PromptState(path.name, label.tokens)

    async def begin(self, size_bytes: int) -> str | None:
        """A name in the folder for a state of up to that size, to be written and then kept; None where there is no room."""
        if size_bytes > self._most_bytes:
            return None
        await self._make_room(size_bytes)
        try:
            free_bytes = (await asyncio.to_thread(shutil.disk_usage, self._folder)).free
        except OSError as error:
            log.warning("prompt state not kept", reason=str(error))
            return None
        return f"{secrets.token_hex(16)}{UNFINISHED}" if free_bytes > size_bytes + FREE_MB * MB else None

    async def keep(self, written: str, key: str, tokens: int, file_ids: Collection[str]) -> None:
        """Keep what was written under a name of `begin`; unless one of its files is gone, or the disk does not take it."""
        try:
            label = await asyncio.to_thread(self._commit, written, key, tokens, sorted(file_ids))
        except OSError as error:
            log.warning("prompt state not kept", reason=str(error))
            await self.discard(written)
            await self.drop(key)
            return
        self._labels.pop(key, None)
        self._labels[key] = label
        if any(file_id in self._deleted for file_id in file_ids):
            await self.drop(key)
        await self._make_room(0)

    async def discard(self, written: str) -> None:
        """Remove what was written under a name of `begin`."""
        await asyncio.to_thread(self._remove, written)

    async def drop(self, key: str) -> None:
        """Remove a state."""
        self._labels.pop(key, None)
        await asyncio.to_thread(self._remove, f"{key}{LABEL}", f"{key}{STATE}")

    async def forget(self, file_id: str) -> None:
        """Remove the states that rest on a file, and keep no more of them: not even one that is being written."""
        self._deleted[file_id] = True
        for key in [key for key, label in self._labels.items() if file_id in label.file_ids]:
            await self.drop(key)

    def _size_bytes(self) -> int:
        return sum(label.size_bytes for label in self._labels.values())

    async def _make_room(self, size_bytes: int) -> None:
        while self._labels and self._size_bytes() + size_bytes > self._most_bytes:
            await self.drop(next(iter(self._labels)))

    def _sweep(self, is_there: Callable[[str], bool]) -> dict[str, Label]:
        """What is good, the least recently used first. What else we wrote is removed."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        found = sorted(self._whole(), key=lambda used_and_key: used_and_key[:2])
        labels = {key: label for _, key, label in found if all(map(is_there, label.file_ids))}
        kept = {f"{key}{ending}" for key in labels for ending in (STATE, LABEL)}
        ours = (path for ending in (STATE, LABEL, UNFINISHED) for path in self._folder.glob(f"*{ending}"))
        self._remove(*(path.name for path in list(ours) if path.name not in kept))
        return labels

    def _whole(self) -> Iterator[tuple[int, str, Label]]:
        """The time of last use, the key and the label of each state of this engine that is as large as it was."""
        for path in self._folder.glob(f"*{LABEL}"):
            with suppress(OSError, msgspec.MsgspecError):
                label = msgspec.json.decode(path.read_bytes(), type=Label)
                has_its_size = path.with_suffix(STATE).stat().st_size == label.size_bytes
                if has_its_size and label.engine == self._engine:
                    yield path.stat().st_mtime_ns, path.stem, label

    def _commit(self, written: str, key: str, tokens: int, file_ids: list[str]) -> Label:
        state = self._folder / written
        state.chmod(0o600)
        label = Label(self._engine, tokens, file_ids, state.stat().st_size, _crc32(state))
        state.replace(self._folder / f"{key}{STATE}")
        unfinished = self._folder / f"{secrets.token_hex(16)}{UNFINISHED}"
        unfinished.write_bytes(msgspec.json.encode(label))
        unfinished.replace(self._folder / f"{key}{LABEL}")
        return label

    def _remove(self, *names: str) -> None:
        for name in names:
            with suppress(OSError):
                (self._folder / name).unlink()


async def identify_engine(weights: Path) -> str:
    """What tells an engine's states from another's: its weights and the version of llama.cpp.

    Of the weights 64 stretches of 64 KB, the size, and when they were written: reading half a GB whole would take a second at
    every start. Raises OSError.
    """
    version = importlib.metadata.version("xllamacpp")
    return f"xllamacpp {version} {await asyncio.to_thread(_sampled_hash, weights)}"


def _sampled_hash(path: Path) -> str:
    size_bytes = path.stat().st_size
    hashed = blake2b(f"{size_bytes} {path.stat().st_mtime_ns}".encode(), digest_size=16)
    step_bytes = max(SAMPLE_BYTES, (size_bytes - SAMPLE_BYTES) // (SAMPLES - 1))
    with path.open("rb") as file:
        for start in range(0, size_bytes, step_bytes):
            file.seek(start)
            hashed.update(file.read(SAMPLE_BYTES))
    return hashed.hexdigest()


def _is_as_written(path: Path, label: Label) -> bool:
    try:
        return path.stat().st_size == label.size_bytes and _crc32(path) == label.crc32
    except OSError:
        return False


def _crc32(path: Path) -> int:
    crc32 = 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            crc32 = zlib.crc32(piece, crc32)
    return crc32
