"""The end of a batch is told to the URL that it names: signed, again until it is taken, and to public addresses only."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from openai import InvalidWebhookSignatureError, OpenAI
from pydantic import SecretStr
from structlog.testing import capture_logs

from bookwheel.batches.callbacks import (
    AT_ONCE,
    PARAM,
    PAUSES_SECONDS,
    Address,
    Callbacks,
    FinishEvent,
    event_id,
    is_public,
)
from bookwheel.errors import InvalidRequest
from bookwheel.settings import AccountSettings, Settings

SECRET = "whsec_" + "c2VjcmV0" * 4
OTHER_SECRET = "whsec_" + "b3RoZXIh" * 4
LONG_SECONDS = 3_600.0
DEADLINE_SECONDS = 30.0

COUNTS = {"total": 3, "completed": 2, "failed": 1}
EVENT = FinishEvent("batch_1", "completed", 1_790_000_000, COUNTS, "file-batch_output-a", "file-batch_output-b")

Answer = Callable[[web.Request], Any]

NOT_PUBLIC = [
    *("0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.9.9.9", "169.254.169.254"),
    *("172.16.0.1", "172.31.255.255", "192.168.1.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16", "192.88.99.1"),
    *("::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "ff0e::1", "2001:db8::1", "3fff::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "2002:7f00:1::", "2002:a00:1::1"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "64:ff9b::224.0.0.1"),
    *("2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2606:4700::1111%eth0", "100::1", "5f00::1"),
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "192.167.0.1", "2606:4700:4700::1111", "64:ff9b::1.1.1.1"]

NEVER_CALLED = [
    *("", "hooks.example.com/x", "//hooks.example.com/", "/done", "ftp://hooks.example.com/", "file:///etc/passwd"),
    *("http://", "http:///done", "https://:443/", "http://hooks.example.com:0/", "http://hooks.example.com:70000/"),
    *("http://ada@hooks.example.com/", "https://ada:secret@hooks.example.com/", "https://:secret@hooks.example.com/"),
    *("http://localhost/", "http://LOCALHOST:8080/", "http://localhost./", "http://a.localhost/", "http://printer/"),
    *("http://router.local/", "http://metadata.google.internal/", "http://nas.lan/", "http://box.home.arpa/"),
    *("http://2130706433/", "http://0x7f000001/", "http://0x7f.1/", "http://0177.0.0.1/", "http://127.1/"),
    *("http://017700000001/", "http://127.0.0.1./", "http://1.2.3.0x4/", "http://%31%32%37.0.0.1/", "http://1.1/"),
    *("http://①②⑦.⓪.⓪.①/", "http://127。0。0。1/", "http://[::1/", "http://[fe80::1%25eth0]/", "http://a..example/"),
    *("http://hooks.example.com\\@127.0.0.1/", "http://exam ple.com/", f"http://{64 * 'a'}.example.com/"),
    f"http://{130 * 'a.'}com/",
]
MAY_BE_CALLED = [
    *("https://hooks.example.com/done?token=t", "http://example.com", "HTTPS://Hooks.Example.COM:8443/a/b"),
    *("https://bücher.example.com/", "https://hooks.example.com./", "http://1.1.1.1/", "http://1.1.1.1:8080/x"),
    *(
        "http://[2606:4700:4700::1111]/",
        "http://3com.example.com/",
        "http://xn--bcher-kva.example/",
        "http://a_b.example.com",
    ),
]


class Receiver:
    """A server on loopback that keeps what it is sent and answers in turn; the last answer is given again and again."""

    def __init__(self, answers: Iterable[Answer]) -> None:
        self._answers = list(answers)
        self.url = ""
        self.port = 0
        self.received: list[tuple[str, dict[str, str], bytes]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.received.append((request.path_qs, dict(request.headers), await request.read()))
        behave = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        answer: web.StreamResponse = await behave(request)
        return answer

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.received]

    def ids(self) -> set[str]:
        return {headers["webhook-id"] for _, headers, _ in self.received}


class Names(AbstractResolver):
    """Knows one name: each look-up has the next of the lists of (address, port); the last comes again and again."""

    def __init__(self, *look_ups: list[tuple[str, int]]) -> None:
        self._look_ups = list(look_ups)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        found = self._look_ups.pop(0) if len(self._look_ups) > 1 else self._look_ups[0]
        return [self._result(host, *place) for place in found]

    def _result(self, name: str, address: str, port: int) -> ResolveResult:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return ResolveResult(hostname=name, host=address, port=port, family=family, proto=0, flags=0)

    async def close(self) -> None:
        pass


def status(code: int, **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=code, headers=headers)

    return answer


@asynccontextmanager
async def receiving(*answers: Answer) -> AsyncIterator[Receiver]:
    receiver = Receiver(answers or [status(204)])
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.port = runner.addresses[0][1]
    receiver.url = f"http://127.0.0.1:{receiver.port}/done"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@asynccontextmanager
async def listening(address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[tuple[int, list[str]]]:
    """A port that notes each connection, and answers nothing."""
    seen: list[str] = []

    def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(str(writer.get_extra_info("peername")))
        writer.close()

    server = await asyncio.start_server(note, address, port)
    async with server:
        yield server.sockets[0].getsockname()[1], seen


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def anywhere(_: Address) -> bool:
    return True


def callbacks(
    resolver: AbstractResolver | None = None, *, tables: dict[str, Any] | None = None, **more: Any
) -> Callbacks:
    """Callbacks to any address, if the test says nothing else, with pauses that nobody notices."""
    options = {"may_call": anywhere, "pauses_seconds": (0.01, 0.02), "timeout_seconds": DEADLINE_SECONDS} | more
    return Callbacks(Settings(**(tables or allowing())), resolver, **options)


def allowing(secret: str | None = SECRET, **accounts: str) -> dict[str, Any]:
    """Settings under which callbacks are made, with the secrets of accounts."""
    keyed = {name: {"keys": [f"key-of-{name}"], "callback_secret": own} for name, own in accounts.items()}
    return {"batches": {"callbacks": True, "callback_secret": secret}, "accounts": keyed}


def unwrap(received: tuple[str, dict[str, str], bytes], secret: str = SECRET) -> Any:
    """What the stock SDK makes of a message."""
    _, headers, body = received
    return OpenAI(api_key="any").webhooks.unwrap(body, headers, secret=secret)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not holds():
            await asyncio.sleep(0.005)


# The message


@pytest.mark.parametrize("ending", ["completed", "failed", "expired", "cancelled"])
async def test_the_stock_sdk_verifies_and_reads_each_kind_of_end(ending: str) -> None:
    event = FinishEvent("batch_7", ending, 1_790_000_000, COUNTS, "file-batch_output-a", None)
    async with receiving() as receiver:
        assert await callbacks().deliver("default", receiver.url, event)
    told = unwrap(receiver.received[0])
    assert type(told).__name__ == f"Batch{ending.title()}WebhookEvent"
    assert (told.type, told.object, told.created_at) == (f"batch.{ending}", "event", 1_790_000_000)
    assert (told.data.id, told.data.status, told.data.request_counts) == ("batch_7", ending, COUNTS)
    assert (told.data.output_file_id, told.data.error_file_id) == ("file-batch_output-a", None)
    assert receiver.received[0][1]["webhook-id"] == told.id


async def test_it_is_posted_as_json_with_the_path_and_query_of_the_url() -> None:
    async with receiving() as receiver:
        assert await callbacks().deliver("default", f"{receiver.url}/here?token=a+b%26c", EVENT)
    path, headers, _ = receiver.received[0]
    assert path == "/done/here?token=a+b%26c"
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("bookwheel/")


async def test_another_secret_does_not_verify_it() -> None:
    async with receiving() as receiver:
        assert await callbacks().deliver("default", receiver.url, EVENT)
    with pytest.raises(InvalidWebhookSignatureError):
        unwrap(receiver.received[0], OTHER_SECRET)


async def test_a_changed_body_does_not_verify() -> None:
    async with receiving() as receiver:
        assert await callbacks().deliver("default", receiver.url, EVENT)
    path, headers, body = receiver.received[0]
    with pytest.raises(InvalidWebhookSignatureError):
        unwrap((path, headers, body.replace(b'"failed":1', b'"failed":0')))


async def test_an_account_with_a_secret_signs_with_it_and_others_with_the_servers() -> None:
    both = callbacks(tables=allowing(SECRET, ada=OTHER_SECRET))
    async with receiving() as receiver:
        assert await both.deliver("ada", receiver.url, EVENT)
        assert await both.deliver("grace", receiver.url, EVENT)
    assert unwrap(receiver.received[0], OTHER_SECRET).data.id == "batch_1"
    assert unwrap(receiver.received[1], SECRET).data.id == "batch_1"


async def test_a_secret_that_was_replaced_signs_from_then_on() -> None:
    changed = callbacks(tables=allowing(SECRET, ada=SECRET))
    changed.replace({"ada": AccountSettings(keys=[SecretStr("key-of-ada")], callback_secret=SecretStr(OTHER_SECRET))})
    async with receiving() as receiver:
        assert await changed.deliver("ada", receiver.url, EVENT)
    assert unwrap(receiver.received[0], OTHER_SECRET).data.id == "batch_1"


def test_the_events_id_is_that_of_the_batch_and_its_end() -> None:
    later = FinishEvent("batch_1", "completed", 1_800_000_000, {}, None, None)
    ids = [event_id(FinishEvent(*end, 0, {}, None, None)) for end in (("batch_1", "failed"), ("batch_2", "completed"))]
    assert event_id(EVENT) == event_id(later)
    assert len({event_id(EVENT), *ids}) == 3
    assert event_id(EVENT).startswith("evt_")


# Again until it is taken


@pytest.mark.parametrize("code", [301, 400, 404, 410, 429, 500, 503])
async def test_what_is_not_taken_is_sent_again_with_the_same_id_and_body(code: int) -> None:
    async with receiving(status(code), status(code), status(202)) as receiver:
        assert await callbacks().deliver("default", receiver.url, EVENT)
    assert len(receiver.received) == 3
    assert receiver.ids() == {event_id(EVENT)}
    assert all(unwrap(received).data.id == "batch_1" for received in receiver.received)
    assert receiver.bodies[0] == receiver.bodies[2]


@pytest.mark.parametrize("code", [200, 201, 204, 299])
async def test_any_2xx_takes_it(code: int) -> None:
    async with receiving(status(code)) as receiver:
        assert await callbacks().deliver("default", receiver.url, EVENT)
    assert len(receiver.received) == 1


async def test_a_refused_connection_is_tried_again() -> None:
    async with receiving() as receiver:
        names = Names([("127.0.0.1", closed_port())], [("127.0.0.1", receiver.port)])
        assert await callbacks(names).deliver("default", "http://hooks.example.com/", EVENT)
    assert (names.asked, len(receiver.received)) == (2, 1)


async def test_it_is_given_up_after_the_last_pause_and_each_failure_is_a_line_of_the_log() -> None:
    with capture_logs() as lines:
        async with receiving(status(500)) as receiver:
            assert not await callbacks().deliver("default", receiver.url, EVENT)
    assert len(receiver.received) == 3
    assert [(line["event"], line["tries"], line["pause_seconds"]) for line in lines] == [
        ("callback failed", 1, 0.01),
        ("callback failed", 2, 0.02),
        ("callback failed", 3, None),
    ]
    assert {(line["batch_id"], line["host"], line["why"]) for line in lines} == {
        ("batch_1", "127.0.0.1", "answered 500")
    }


def test_pauses_grow_to_hours() -> None:
    assert list(PAUSES_SECONDS) == sorted(set(PAUSES_SECONDS))
    assert 3_600 < sum(PAUSES_SECONDS) < 86_400


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_log_shows_neither_path_nor_query_nor_secret(scheme: str) -> None:
    """Whether it answers an error, does not speak TLS, or is not there."""
    with capture_logs() as lines:
        async with receiving(status(500)) as receiver:
            for port in (receiver.port, closed_port()):
                url = f"{scheme}://127.0.0.1:{port}/hidden-path?token=hidden-query#hidden-mark"
                assert not await callbacks().deliver("default", url, EVENT)
    assert len(lines) == 6
    assert "hidden" not in repr(lines)
    assert SECRET.removeprefix("whsec_") not in repr(lines)


async def test_a_receiver_that_hangs_up_or_sends_nonsense_has_not_taken_it() -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/9.9 yes\r\n\r\n")
        writer.close()

    with capture_logs() as lines:
        async with listening() as (port, seen):
            assert not await callbacks().deliver("default", f"http://127.0.0.1:{port}/hidden", EVENT)
        async with await asyncio.start_server(nonsense, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            assert not await callbacks().deliver("default", f"http://127.0.0.1:{port}/hidden", EVENT)
    assert (len(seen), len(lines)) == (3, 6)
    assert "hidden" not in repr(lines)


async def test_a_silent_receiver_is_given_up_after_the_time_out() -> None:
    silence = asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        await silence.wait()
        return web.Response()

    with capture_logs() as lines:
        async with receiving(wait) as receiver:
            quick = callbacks(timeout_seconds=0.2, pauses_seconds=())
            assert not await quick.deliver("default", receiver.url, EVENT)
    assert [line["why"] for line in lines] == ["no answer in time"]


async def test_an_answer_without_end_is_not_read() -> None:
    ended = asyncio.Event()
    sent_bytes = 0

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal sent_bytes
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(65_536))
                sent_bytes += 65_536
        finally:
            ended.set()

    async with receiving(pour) as receiver:
        assert await callbacks().deliver("default", receiver.url, EVENT)
        await asyncio.wait_for(ended.wait(), DEADLINE_SECONDS)
    assert sent_bytes < 64 * 1024 * 1024


async def test_a_delivery_can_be_cancelled_in_its_pause() -> None:
    async with receiving(status(500)) as receiver:
        patient = callbacks(pauses_seconds=(LONG_SECONDS,))
        delivery = asyncio.create_task(patient.deliver("default", receiver.url, EVENT))
        await until(lambda: len(receiver.received) == 1)
        delivery.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivery


async def test_only_so_many_tries_are_made_at_once_and_none_is_lost() -> None:
    gate = asyncio.Event()
    now: list[int] = []
    under_way = 0

    async def hold(request: web.Request) -> web.Response:
        nonlocal under_way
        under_way += 1
        now.append(under_way)
        await gate.wait()
        under_way -= 1
        return web.Response()

    async with receiving(hold) as receiver:
        told = callbacks()
        events = [FinishEvent(f"batch_{n}", "completed", 0, {}, None, None) for n in range(3 * AT_ONCE)]
        deliveries = [asyncio.create_task(told.deliver("default", receiver.url, event)) for event in events]
        await until(lambda: under_way == AT_ONCE)
        gate.set()
        assert all(await asyncio.gather(*deliveries))
    assert max(now) == AT_ONCE
    assert len(receiver.ids()) == 3 * AT_ONCE


# Never elsewhere


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_or_stands_for_one_is_told(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_told(address: str) -> None:
    assert is_public(ip_address(address))


async def test_a_redirect_is_a_failure_and_not_followed() -> None:
    async with receiving() as elsewhere, receiving(status(307, Location=elsewhere.url)) as receiver:
        with capture_logs() as lines:
            assert not await callbacks().deliver("default", receiver.url, EVENT)
    assert (len(receiver.received), elsewhere.received) == (3, [])
    assert {line["why"] for line in lines} == {"answered 307"}


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening() as (port, seen), receiving() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        names = Names([("127.0.0.1", receiver.port)])
        assert await callbacks(names).deliver("default", "http://hooks.example.com/", EVENT)
    assert seen == []


async def test_a_name_of_a_private_address_is_never_connected_to() -> None:
    async with listening() as (port, seen):
        names = Names([("127.0.0.1", port)])
        url = f"http://hooks.example.com:{port}/"
        with capture_logs() as lines:
            assert not await callbacks(names, may_call=is_public).deliver("default", url, EVENT)
        assert (names.asked, seen) == (3, [])
        assert {line["why"] for line in lines} == {"127.0.0.1 is not a public address"}
        assert not await callbacks(names).deliver("default", url, EVENT)
        assert len(seen) == 3, "the port is there, and a rule that lets it pass reaches it"


@pytest.mark.parametrize("address", ["::ffff:127.0.0.1", "::1", "0.0.0.0", "::"])
async def test_a_name_of_another_form_of_this_machine_is_never_connected_to(address: str) -> None:
    async with listening() as (port, seen):
        names = Names([(address, port)])
        refused = callbacks(names, may_call=is_public)
        with capture_logs() as lines:
            assert not await refused.deliver("default", "http://hooks.example.com/", EVENT)
    assert (names.asked, seen) == (3, [])
    assert {line["why"] for line in lines} == {f"{address} is not a public address"}


async def test_a_name_that_was_public_and_turns_private_is_not_followed() -> None:
    """127.0.0.1 counts as public here, 127.0.0.2 does not."""
    async with receiving(status(500)) as receiver, second_loopback(receiver.port) as seen:
        names = Names([("127.0.0.1", receiver.port)], [("127.0.0.2", receiver.port)])
        only = callbacks(names, may_call=lambda address: str(address) == "127.0.0.1")
        assert not await only.deliver("default", f"http://hooks.example.com:{receiver.port}/", EVENT)
        assert (names.asked, len(receiver.received), seen) == (3, 1, [])


async def test_of_the_addresses_of_a_name_only_the_public_ones_are_called() -> None:
    async with receiving() as receiver, second_loopback(receiver.port) as seen:
        names = Names([("127.0.0.2", receiver.port), ("127.0.0.1", receiver.port), ("127.0.0.2", receiver.port)])
        only = callbacks(names, may_call=lambda address: str(address) == "127.0.0.1")
        assert await only.deliver("default", f"http://hooks.example.com:{receiver.port}/", EVENT)
        assert (len(receiver.received), seen) == (1, [])


async def test_a_literal_private_address_is_never_connected_to_even_if_it_was_let_in() -> None:
    """The address that is connected to is looked at, also where the URL was not."""

    class Unchecked(Callbacks):
        def check(self, url: str) -> None:
            pass

    async with listening() as (port, seen):
        unchecked = Unchecked(Settings(**allowing()), pauses_seconds=(0.01,))
        for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "127.1", "0x7f.1", "localhost", "0"):
            assert not await unchecked.deliver("default", f"http://{host}:{port}/", EVENT)
    assert seen == []


async def test_nothing_the_settings_say_lets_a_private_address_be_called() -> None:
    async with listening() as (port, seen):
        strict = Callbacks(Settings(**allowing()), pauses_seconds=(0.01,))
        assert not await strict.deliver("default", f"http://127.0.0.1:{port}/", EVENT)
    assert seen == []


async def test_a_name_that_nobody_knows_or_that_cannot_be_looked_up_is_a_failure() -> None:
    class Unknown(Names):
        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
            self.asked += 1
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    names = Unknown()
    with capture_logs() as lines:
        assert not await callbacks(names).deliver("default", "http://hooks.example.com/", EVENT)
    assert names.asked == 3
    assert {line["why"] for line in lines} == {"Name or service not known"}


@asynccontextmanager
async def second_loopback(port: int) -> AsyncIterator[list[str]]:
    """The same port of 127.0.0.2, where there is one."""
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.2", 0))
    except OSError:
        pytest.skip("this system has one address of loopback only")
    async with listening("127.0.0.2", port) as (_, seen):
        yield seen


# What a batch may name


@pytest.mark.parametrize("url", NEVER_CALLED)
def test_a_url_that_can_never_be_called_is_refused_with_what_is_allowed(url: str) -> None:
    with pytest.raises(InvalidRequest, match=r"http:// or https:// URL of a public host") as refused:
        callbacks(may_call=is_public).check(url)
    assert refused.value.param == PARAM == "metadata.ds_batch_finish_callback"


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_a_literal_address_that_is_not_public_is_refused(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(InvalidRequest, match="private and local addresses are never called"):
        callbacks(may_call=is_public).check(f"https://{host}/done")


@pytest.mark.parametrize("url", MAY_BE_CALLED)
def test_a_url_that_may_be_called_is_let_pass(url: str) -> None:
    callbacks(may_call=is_public).check(url)


@pytest.mark.parametrize("batches", [{}, {"callbacks": False, "callback_secret": SECRET}])
async def test_where_callbacks_are_off_a_url_is_refused_and_none_is_called(batches: dict[str, Any]) -> None:
    async with listening() as (port, seen):
        off = callbacks(tables={"batches": batches})
        with pytest.raises(InvalidRequest, match=r"Callbacks are off on this server.*batches\.callbacks") as refused:
            off.check("https://hooks.example.com/")
        with capture_logs() as lines:
            assert not await off.deliver("default", f"http://127.0.0.1:{port}/", EVENT)
    assert refused.value.param == PARAM
    assert [(line["event"], line["batch_id"]) for line in lines] == [("callback not sent", "batch_1")]
    assert seen == []


async def test_an_account_that_lost_its_secret_is_not_told() -> None:
    async with listening() as (port, seen):
        with capture_logs() as lines:
            known = callbacks(tables=allowing(None, ada=SECRET))
            assert not await known.deliver("grace", f"http://127.0.0.1:{port}/", EVENT)
    assert ["accounts.grace.callback_secret" in line["why"] for line in lines] == [True]
    assert seen == []
