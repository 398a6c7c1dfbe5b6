"""A batch's end is told to the URL that it names: OpenAI's webhook, signed as Standard Webhooks are.

Only public addresses are called, whatever a name resolves to at the time; redirects and proxies are not followed, and
answers are not read. See docs/decisions/0028-callbacks-are-openai-webhooks.md.
"""

import asyncio
import errno
import hmac
import re
import socket
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver
from yarl import URL

from bookwheel import __version__
from bookwheel.errors import BookwheelError, InvalidRequest, SettingsError
from bookwheel.logs import log
from bookwheel.settings import AccountSettings, Settings

Address = IPv4Address | IPv6Address

PARAM = "metadata.ds_batch_finish_callback"
PAUSES_SECONDS = (5.0, 30.0, 120.0, 600.0, 3_600.0, 10_800.0)
"""Between one try and the next: a restart of the receiver is waited for, and an outage of some hours."""
TIMEOUT_SECONDS = 10.0
"""For one try, from its name's look-up to the answer's head."""
AT_ONCE = 4
"""Tries at once. Names are looked up in threads that uploads need, too: slow name servers must not hold all of them."""

GLOBAL_UNICAST = ip_network("2000::/3")
NAT64 = ip_network("64:ff9b::/96")
"""What networks without IPv4 resolve names to that have no IPv6: an IPv4 address in the last four bytes."""
NOT_PUBLIC_EITHER = tuple(
    map(
        ip_network,
        (
            "168.63.129.16/32",  # Azure's own services for the machine that asks
            "192.0.0.0/24",  # protocol assignments; older Pythons know a part of it
            "192.88.99.0/24",  # relays of 6to4
            "2002::/16",  # 6to4: leads to the IPv4 address inside
            "3fff::/20",  # documentation; too new for some Pythons
        ),
    )
)
"""Addresses that `is_global` lets pass, in some versions of Python at least."""

PUBLIC_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]", re.ASCII)
"""Its last label begins with a letter: 127.1, 2130706433 and 0x7f.0x1 are addresses to some resolvers."""
LOCAL_ENDINGS = (".localhost", ".localdomain", ".local", ".internal", ".intranet", ".lan", ".home.arpa")

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class FinishEvent:
    """How a batch ended. `status` is the batch's, `ended_at` in Unix seconds."""

    batch_id: str
    status: str
    ended_at: int
    request_counts: dict[str, int]
    output_file_id: str | None
    error_file_id: str | None


class NotTaken(Exception):
    """The receiver answered, and not with a 2xx."""


def is_public(address: Address) -> bool:
    """Whether an address is one of the Internet at large: nothing that stands for a private one is."""
    if isinstance(address, IPv6Address) and address in NAT64:
        address = IPv4Address(int(address) & 0xFFFF_FFFF)
    if isinstance(address, IPv6Address) and (address.scope_id or address not in GLOBAL_UNICAST):
        return False
    return address.is_global and not address.is_multicast and not any(address in net for net in NOT_PUBLIC_EITHER)


class Callbacks:
    """Tells URLs of the ends of batches. `may_call` is the rule for addresses; settings cannot change it."""

    def __init__(
        self,
        settings: Settings,
        resolver: AbstractResolver | None = None,
        *,
        may_call: Callable[[Address], bool] = is_public,
        pauses_seconds: Sequence[float] = PAUSES_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self._may_call = may_call
        self._pauses_seconds = pauses_seconds
        self._timeout_seconds = timeout_seconds
        self._turns = asyncio.Semaphore(AT_ONCE)

    def replace(self, accounts: Mapping[str, AccountSettings]) -> None:
        """Sign with other accounts' secrets from now on."""
        self._settings = self._settings.model_copy(update={"accounts": dict(accounts)})

    def check(self, url: str) -> None:
        """Raise InvalidRequest where callbacks are off, or where `url` is one that can never be called."""
        if not self._settings.batches.callbacks:
            raise InvalidRequest(
                "Callbacks are off on this server: its operator can allow them with batches.callbacks.", param=PARAM
            )
        if not self._may_ever_be_called(url):
            raise InvalidRequest(
                "A callback is an http:// or https:// URL of a public host, without user name and password; "
                "private and local addresses are never called.",
                param=PARAM,
            )

    async def deliver(self, account_id: str, url: str, event: FinishEvent) -> bool:
        """Tell `url` of the event, again after each of the pauses until it is taken. Whether it was.

        Each failure is a line of the log and none is raised. After a restart it may be called for the same event again: the
        receiver sees the same id.
        """
        try:
            self.check(url)
            secret = self._secret_of(account_id)
        except BookwheelError as error:  # settings have changed since the batch was made
            log.warning("callback not sent", batch_id=event.batch_id, why=str(error))
            return False
        body = _encode(_message(event))
        return await self._send_until_taken(URL(url), secret, event, body)

    def _may_ever_be_called(self, url: str) -> bool:
        try:
            parts = URL(url)
        except ValueError:
            return False
        if parts.scheme not in ("http", "https") or "@" in parts.raw_authority or not parts.port:
            return False
        host = parts.raw_host or ""
        try:
            return self._may_call(ip_address(host))
        except ValueError:
            return _is_public_name(host.removesuffix("."))

    def _secret_of(self, account_id: str) -> bytes:
        """What signs for an account: its own secret, else the server's. Raises SettingsError where there is neither."""
        account = self._settings.accounts.get(account_id)
        secret = (account and account.callback_secret) or self._settings.batches.callback_secret
        if secret is None:
            raise SettingsError(f"accounts.{account_id}.callback_secret: there is none, nor batches.callback_secret")
        return b64decode(secret.get_secret_value().removeprefix("whsec_"))

    async def _send_until_taken(self, url: URL, secret: bytes, event: FinishEvent, body: bytes) -> bool:
        about = {"batch_id": event.batch_id, "host": url.raw_host}  # paths and queries may hold secrets
        for tries, pause_seconds in enumerate((*self._pauses_seconds, None), 1):
            try:
                await self._send(url, secret, event_id(event), body)
            except (NotTaken, aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:  # the last: uvloop's
                log.warning("callback failed", **about, tries=tries, why=_reason(error), pause_seconds=pause_seconds)
            else:
                log.info("callback taken", **about, tries=tries)
                return True
            if pause_seconds is not None:
                await asyncio.sleep(pause_seconds)
        return False

    async def _send(self, url: URL, secret: bytes, event_id: str, body: bytes) -> None:
        """One try. Raises NotTaken, or what the network raises."""
        async with self._turns, asyncio.timeout(self._timeout_seconds), self._open_session() as session:
            headers = _headers(secret, event_id, body)
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                if not 200 <= response.status < 300:
                    raise NotTaken(f"answered {response.status}")

    def _open_session(self) -> aiohttp.ClientSession:
        """Nothing is kept from one try to the next: no connection, no address of a name, no cookie."""
        connector = aiohttp.TCPConnector(
            resolver=self._resolver or aiohttp.ThreadedResolver(),
            use_dns_cache=False,
            force_close=True,
            socket_factory=self._open_socket,
        )
        return aiohttp.ClientSession(connector=connector, trust_env=False, auto_decompress=False)

    def _open_socket(self, target: aiohttp.AddrInfoType) -> socket.socket:
        """A socket for the very address that is then connected to, be it resolved or literal. Raises PermissionError."""
        family, kind, protocol, _, place = target
        if not self._may_call(ip_address(place[0])):
            raise PermissionError(errno.EACCES, f"{place[0]} is not a public address")
        return socket.socket(family, kind, protocol)


def _is_public_name(name: str) -> bool:
    """Whether a name may be one of the public DNS."""
    return len(name) <= 253 and bool(PUBLIC_NAME.fullmatch(name)) and not name.endswith(LOCAL_ENDINGS)


def event_id(event: FinishEvent) -> str:
    """The same for the same end of a batch, whenever it is told."""
    return f"evt_{sha256(f'{event.batch_id} {event.status}'.encode()).hexdigest()[:32]}"


def _message(event: FinishEvent) -> dict[str, object]:
    """OpenAI's event; of its `data` OpenAI sends the id alone."""
    data = {
        "id": event.batch_id,
        "status": event.status,
        "request_counts": event.request_counts,
        "output_file_id": event.output_file_id,
        "error_file_id": event.error_file_id,
    }
    return {
        "id": event_id(event),
        "object": "event",
        "type": f"batch.{event.status}",
        "created_at": event.ended_at,
        "data": data,
    }


def _headers(secret: bytes, event_id: str, body: bytes) -> dict[str, str]:
    """Made anew for each try: receivers refuse a time that is more than five minutes off.

    Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    timestamp = str(int(time.time()))
    signature = hmac.digest(secret, f"{event_id}.{timestamp}.".encode() + body, sha256)
    return {
        "content-type": "application/json",
        "user-agent": f"bookwheel/{__version__}",
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{b64encode(signature).decode()}",
    }


def _reason(error: Exception) -> str:
    """Why a try failed, without the URL, which messages of aiohttp may have."""
    if isinstance(error, NotTaken):
        return str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or str(error.os_error)
    return type(error).__name__
