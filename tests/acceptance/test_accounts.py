"""Keys and accounts: with keys configured, nobody sees anything without one, and nobody sees another account's files.

Without keys the server is for the programs of its own machine, and web pages of other sites are kept out.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from openai import APIStatusError, AuthenticationError, BadRequestError, NotFoundError, OpenAI

from support.server import Server

ANN, BEN, CYD = "key-of-ann", "second-key-of-ann", "key-of-cyd, held as its hash"
ACCOUNTS = {
    "ann": {"keys": [ANN, BEN]},
    "cyd": {"keys": [f"sha256:{sha256(CYD.encode()).hexdigest().upper()}"]},
    "dan": {"keys": ["key-of-dan"]},
}
UNKNOWN_ID = "file-fe-" + "x" * 24


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str

    @property
    def error(self) -> dict[str, Any]:
        return dict(json.loads(self.text)["error"])


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for keys."""
    running = Server(
        tmp_path_factory.mktemp("locked"), {"accounts": ACCOUNTS, "ingest": {"upload_wait_seconds": 30}}
    ).start()
    yield running
    running.stop()


class TestKeys:
    @pytest.mark.parametrize("key", [ANN, BEN, CYD])
    @pytest.mark.parametrize("prefix", ["/v1", "/compatible-mode/v1"])
    def test_in_force_let_in(self, locked: Server, key: str, prefix: str) -> None:
        assert "qwen-long" in [model.id for model in _client(locked, key, prefix).models.list()]

    @pytest.mark.parametrize(
        "key", ["wrong-key-of-ann", ANN.upper(), ANN[:-1], ANN + "x", f"sha256:{sha256(CYD.encode()).hexdigest()}"]
    )
    def test_that_are_wrong_are_refused_by_every_call(self, locked: Server, key: str) -> None:
        client = _client(locked, key)
        chat = [{"role": "user", "content": "Hello"}]
        calls: list[Callable[[], object]] = [
            client.models.list,
            lambda: client.models.retrieve("qwen-long"),
            client.files.list,
            lambda: client.files.create(file=("a.txt", b"x"), purpose="user_data"),
            lambda: client.files.retrieve(UNKNOWN_ID),
            lambda: client.files.content(UNKNOWN_ID),
            lambda: client.files.delete(UNKNOWN_ID),
            lambda: client.chat.completions.create(model="qwen-long", messages=chat),  # type: ignore[arg-type]
        ]
        for call in calls:
            with pytest.raises(AuthenticationError) as refused:
                call()
            assert refused.value.code == "invalid_api_key"

    @pytest.mark.parametrize(
        "authorization", [None, "", "Bearer", "Bearer ", ANN, f"Basic {ANN}", f"Bearer {ANN} {ANN}", "Bearer \xff\xfe"]
    )
    @pytest.mark.parametrize("path", ["/v1/models", "/v1/files", "/compatible-mode/v1/files", "/v1/nothing"])
    def test_that_are_missing_or_malformed_are_refused(
        self, locked: Server, authorization: str | None, path: str
    ) -> None:
        answer = _get(locked, path, {} if authorization is None else {"authorization": authorization})
        assert answer.status == 401
        request_id = answer.headers["x-request-id"]
        assert json.loads(answer.text) == {
            "error": {
                "message": "Incorrect API key provided.",
                "type": "invalid_request_error",
                "param": None,
                "code": "invalid_api_key",
            },
            "request_id": request_id,
        }

    def test_may_stand_behind_bearer_in_any_case(self, locked: Server) -> None:
        for scheme in ("Bearer", "bearer", "BEARER"):
            assert _get(locked, "/v1/models", {"authorization": f"{scheme} {ANN}"}).status == 200

    @pytest.mark.parametrize("path", ["/health", "/docs", "/openapi.json"])
    def test_are_not_needed_to_look_at_health_and_documentation(self, locked: Server, path: str) -> None:
        assert _get(locked, path).status == 200

    def test_are_in_no_log(self, locked: Server) -> None:
        _client(locked, ANN).models.list()
        log = locked.log_path.read_text("utf-8")
        assert "GET" in log
        assert [key for key in (ANN, BEN, CYD) if key in log] == []


class TestRequestId:
    def test_is_new_for_each_answer(self, locked: Server) -> None:
        first, second = (_get(locked, "/health").headers["x-request-id"] for _ in range(2))
        assert first != second

    def test_of_the_client_is_kept_where_it_is_one(self, locked: Server) -> None:
        sent = "my-request_1.2"
        assert _get(locked, "/health", {"x-request-id": sent}).headers["x-request-id"] == sent

    @pytest.mark.parametrize("sent", ["short", "x" * 65, "with space in it", '"quoted-id"'])
    def test_of_the_client_is_replaced_where_it_could_harm(self, locked: Server, sent: str) -> None:
        assert _get(locked, "/health", {"x-request-id": sent}).headers["x-request-id"] != sent


class TestAccounts:
    def test_see_their_own_files_with_any_of_their_keys(self, locked: Server) -> None:
        file = _client(locked, ANN).files.create(file=("ann.txt", b"of ann"), purpose="user_data")
        assert _client(locked, BEN).files.retrieve(file.id) == file
        assert _client(locked, BEN).files.content(file.id).text == "of ann"

    def test_never_list_another_s_files(self, locked: Server) -> None:
        for key in (ANN, CYD, "key-of-dan"):
            _client(locked, key).files.create(file=(f"{key}.txt", b"x"), purpose="assistants")
        for key in (ANN, CYD, "key-of-dan"):
            listed = _client(locked, key).files.list(purpose="assistants", limit=1)
            assert {file.filename for file in listed} == {f"{key}.txt"}

    @pytest.mark.parametrize(
        "call",
        [
            lambda client, file_id: client.files.retrieve(file_id),
            lambda client, file_id: client.files.content(file_id),
            lambda client, file_id: client.files.content(file_id, extra_query={"original": "true"}),
            lambda client, file_id: client.files.delete(file_id),
            lambda client, file_id: client.files.list(after=file_id),
            lambda client, file_id: _ask(client, file_id, stream=False),
            lambda client, file_id: _ask(client, file_id, stream=True),
        ],
        ids=["retrieve", "content", "original", "delete", "list", "chat", "streamed chat"],
    )
    def test_are_told_the_same_of_another_s_file_as_of_none(
        self, locked: Server, call: Callable[[OpenAI, str], object]
    ) -> None:
        owner, stranger = _client(locked, ANN), _client(locked, CYD)
        file = owner.files.create(file=("secret.txt", b"the secret"), purpose="user_data")
        foreign, unknown = _refusal(stranger, call, file.id), _refusal(stranger, call, UNKNOWN_ID)
        assert foreign == unknown
        assert foreign["status"] in (400, 404)
        assert owner.files.content(file.id).text == "the secret"

    def test_ask_about_their_own_files_only(self, locked: Server) -> None:
        file = _client(locked, ANN).files.create(file=("secret.txt", b"the secret"), purpose="user_data")
        assert "secret.txt (10 characters)" in str(_ask(_client(locked, BEN), file.id, stream=False))
        with pytest.raises(BadRequestError, match=rf"Invalid file \[id:{file.id}\]\."):
            _ask(_client(locked, CYD), file.id, stream=False)


class TestWithoutKeys:
    @pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer anything"}, {"authorization": "nonsense"}])
    def test_any_key_and_none_will_do(self, server: Server, headers: dict[str, str]) -> None:
        assert _get(server, "/v1/models", headers).status == 200

    def test_every_caller_has_the_same_files(self, server: Server) -> None:
        file = _client(server, "one").files.create(file=("a.txt", b"x"), purpose="user_data")
        assert _client(server, "another").files.retrieve(file.id).id == file.id

    @pytest.mark.parametrize(
        "headers",
        [
            {"host": "evil.example"},
            {"host": "evil.example:8700"},
            {"host": "127.0.0.1.evil.example"},
            {"host": "10.0.0.1"},
            {"host": ""},
            {"host": "[not an address"},
            {"origin": "https://evil.example"},
            {"origin": "http://127.0.0.1:1"},
            {"origin": "null"},
            {"origin": "http://[not an address"},
            {"sec-fetch-site": "cross-site"},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("path", ["/v1/models", "/health", "/openapi.json"])
    def test_other_sites_are_refused(self, server: Server, headers: dict[str, str], path: str) -> None:
        answer = _get(server, path, headers)
        assert (answer.status, answer.error["code"]) == (403, "cross_site_refused")

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
    def test_pages_of_the_server_itself_are_let_in(self, server: Server, host: str) -> None:
        named = f"{host}:{urlsplit(server.url).port}"
        headers = {"host": named, "origin": f"http://{named}", "sec-fetch-site": "same-origin"}
        assert _get(server, "/v1/models", headers).status == 200

    def test_with_keys_other_sites_need_one_too(self, locked: Server) -> None:
        site = {"origin": "https://chat.example", "sec-fetch-site": "cross-site", "host": "bookwheel.example"}
        assert _get(locked, "/v1/models", site).status == 401
        assert _get(locked, "/v1/models", site | {"authorization": f"Bearer {ANN}"}).status == 200


def _client(server: Server, key: str, prefix: str = "/v1") -> OpenAI:
    return OpenAI(base_url=server.url + prefix, api_key=key)


def _get(server: Server, path: str, headers: dict[str, str] | None = None) -> Answer:
    """A request with these headers and no others."""
    address = urlsplit(server.url).netloc
    with closing(HTTPConnection(address, timeout=60)) as connection:
        connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
        for name, value in ({"host": address} | (headers or {})).items():
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders()
        response = connection.getresponse()
        return Answer(response.status, dict(response.headers), response.read().decode())


def _ask(client: OpenAI, file_id: str, *, stream: bool) -> object:
    messages: list[Any] = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "system", "content": f"fileid://{file_id}"},
        {"role": "user", "content": "What is in it?"},
    ]
    answer = client.chat.completions.create(model="qwen-long", messages=messages, stream=stream)
    return answer if stream else answer.choices[0].message.content  # type: ignore[union-attr]


def _refusal(client: OpenAI, call: Callable[[OpenAI, str], object], file_id: str) -> dict[str, Any]:
    """What a refused call says, but for the id that it was asked about."""
    with pytest.raises((NotFoundError, BadRequestError)) as refused:
        call(client, file_id)
    error: APIStatusError = refused.value
    said = json.loads(error.response.text.replace(file_id, "ID"))
    return {"status": error.status_code, "error": said["error"], "headers": sorted(error.response.headers)}
