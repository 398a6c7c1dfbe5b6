"""Whatever a client sends, it gets the contract's answer: the words, the code, the status, a request id; never a 500."""

import http.client
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import pytest

from support.engine import Desk, open_desk

CHAT = "/v1/chat/completions"
USER = {"role": "user", "content": "Hello"}
INVALID = ("invalid_request_error", "invalid_parameter_error")
LIMITS = {"tokens_per_request": 2000, "file_calls_per_second": 0, "file_deletes_per_second": 0}
MINE, OTHERS = "key-of-mine", "key-of-others"


class Answer(NamedTuple):
    """An answer in full: `error` is the envelope's object."""

    status: int
    headers: http.client.HTTPMessage
    body: Any

    @property
    def error(self) -> dict[str, Any]:
        """The error object; the envelope around it is checked on the way."""
        assert set(self.body) == {"error", "request_id"}
        assert self.body["request_id"] == self.headers["x-request-id"]
        assert set(self.body["error"]) == {"message", "type", "param", "code"}
        error: dict[str, Any] = self.body["error"]
        return error


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    accounts = {"mine": {"keys": [MINE]}, "others": {"keys": [OTHERS]}}
    settings = {"accounts": accounts, "server": {"max_body_mb": 2}, "limits": LIMITS}
    with open_desk(tmp_path_factory.mktemp("desk"), settings) as opened:
        opened.client = opened.new_client(api_key=MINE)
        yield opened


def call(
    desk: Desk, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """One call, byte for byte."""
    connection = http.client.HTTPConnection(urlsplit(desk.server.url).netloc, timeout=60)
    data = body.encode() if isinstance(body, str) else body
    sent = {"authorization": f"Bearer {MINE}", "content-type": "application/json"} | (headers or {})
    connection.request(method, path, data, sent)
    response = connection.getresponse()
    raw = response.read()
    connection.close()
    return Answer(response.status, response.headers, json.loads(raw) if raw else None)


def chat(desk: Desk, **fields: Any) -> Answer:
    body = {"model": "fake", "messages": [USER]} | fields
    return call(desk, "POST", CHAT, json.dumps({name: value for name, value in body.items() if value is not ...}))


def about(*file_ids: str) -> list[dict[str, Any]]:
    names = ",".join(f"fileid://{file_id}" for file_id in file_ids)
    return [{"role": "system", "content": "You help."}, {"role": "system", "content": names}, USER]


def is_invalid(answer: Answer, message: str, param: str | None) -> None:
    assert answer.status == 400
    expected = {"message": message, "type": INVALID[0], "param": param, "code": INVALID[1]}
    assert answer.error == expected


# The body as a whole


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "nonsense",
        '{"model": "fake",}',
        '{"model": "fake"} {"model": "fake"}',
        b'{"model": "fake", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"messages": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"model": NaN}',
        '{"model": 1e999}',
        '{"temperature": ' + "9" * 5000 + "e}",
        b"\x00",
        b"\x1f\x8b\x08\x00gzip?",
        '{"model": "fake", "messages": [{"role": "user", "content": "\\ud800"}]}',
    ],
    ids=lambda body: repr(body[:30]),
)
def test_a_body_that_is_not_json_is_refused(desk: Desk, body: bytes | str) -> None:
    answer = call(desk, "POST", CHAT, body)
    assert answer.status == 400
    assert answer.error["message"].startswith("The request body is not valid JSON: ")
    assert (answer.error["type"], answer.error["code"]) == INVALID


@pytest.mark.parametrize("body", ["[]", "null", "1", '"text"', "true", '[{"model": "fake"}]'])
def test_json_that_is_not_an_object_is_refused(desk: Desk, body: str) -> None:
    is_invalid(call(desk, "POST", CHAT, body), "The request body must be a JSON object.", None)


def test_a_body_over_the_limit_is_refused_with_413(desk: Desk) -> None:
    answer = chat(desk, messages=[{"role": "user", "content": "x" * (2 * 1024 * 1024)}])
    assert answer.status == 413
    assert (answer.error["message"], answer.error["code"]) == ("Request body too large.", "request_too_large")


def test_a_body_over_the_limit_without_a_declared_length_is_refused_with_413(desk: Desk) -> None:
    connection = http.client.HTTPConnection(urlsplit(desk.server.url).netloc, timeout=60)
    headers = {"authorization": f"Bearer {MINE}", "content-type": "application/json"}
    pieces = (b" " * 64 * 1024 for _ in range(33))
    connection.request("POST", CHAT, pieces, headers, encode_chunked=True)
    response = connection.getresponse()
    assert response.status == 413
    assert json.loads(response.read())["error"]["message"] == "Request body too large."
    connection.close()


def test_a_body_at_the_limit_is_taken(desk: Desk) -> None:
    empty = len(json.dumps({"model": "fake", "messages": [{"role": "user", "content": ""}]}))
    answer = chat(desk, messages=[{"role": "user", "content": "x" * (2 * 1024 * 1024 - empty)}])
    assert answer.status == 200


def test_the_content_type_does_not_matter_to_a_chat(desk: Desk) -> None:
    body = json.dumps({"model": "fake", "messages": [USER]})
    for content_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "nonsense",
        "application/json; charset=latin-1",
    ):
        assert call(desk, "POST", CHAT, body, {"content-type": content_type}).status == 200


# The fields


@pytest.mark.parametrize(
    ("fields", "message", "param"),
    [
        ({"model": ...}, "you must provide a model parameter.", "model"),
        ({"model": ""}, "you must provide a model parameter.", "model"),
        ({"model": None}, "you must provide a model parameter.", "model"),
        ({"messages": ...}, "[] is too short - 'messages'", "messages"),
        ({"messages": []}, "[] is too short - 'messages'", "messages"),
        (
            {"messages": [{"role": "system", "content": "x"}, {"role": "assistant", "content": "y"}]},
            "The input messages do not contain elements with the role of user.",
            "messages",
        ),
        ({"temperature": 2}, "Temperature should be in [0.0, 2.0)", "temperature"),
        ({"temperature": -0.1}, "Temperature should be in [0.0, 2.0)", "temperature"),
        ({"temperature": 1e308}, "Temperature should be in [0.0, 2.0)", "temperature"),
        ({"top_p": 0}, "Range of top_p should be (0.0, 1.0]", "top_p"),
        ({"top_p": 1.01}, "Range of top_p should be (0.0, 1.0]", "top_p"),
        ({"presence_penalty": 2.01}, "Presence_penalty should be in [-2.0, 2.0]", "presence_penalty"),
        ({"presence_penalty": -2.01}, "Presence_penalty should be in [-2.0, 2.0]", "presence_penalty"),
        (
            {"response_format": {"type": "json_object"}},
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            "messages",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_the_contracts_words_for_a_field_that_is_wrong(
    desk: Desk, fields: dict[str, Any], message: str, param: str, stream: bool
) -> None:
    is_invalid(chat(desk, stream=stream, **fields), message, param)


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0},
        {"temperature": 1.99},
        {"top_p": 1},
        {"top_p": 0.0001},
        {"presence_penalty": 2},
        {"presence_penalty": -2},
        {"temperature": None, "top_p": None, "stream": None, "max_tokens": None, "bookwheel": None},
        {"response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": "As JSON please"}]},
        {"response_format": {"type": "text"}},
        {"messages": [{"role": "user", "content": "null character: \x00"}]},
        {"messages": [{"role": "user", "content": ""}]},
        {"messages": [{"role": "user", "content": None}]},
        {"messages": [{"role": "user", "content": []}]},
    ],
)
def test_a_field_at_the_edge_of_what_is_allowed_is_taken(desk: Desk, fields: dict[str, Any]) -> None:
    assert chat(desk, **fields).status == 200


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("model", [1, ["fake"], {"a": 1}, True]),
        ("messages", [None, 1, "text", {"role": "user"}, [1], ["text"], [None], [[]]]),
        ("stream", ["yes", 1, [], {}]),
        ("stream_options", [True, "x", [], {"include_usage": "yes"}, {"include_usage": 1}]),
        ("temperature", ["hot", [], {}, True]),
        ("top_p", ["x", [], {}]),
        ("presence_penalty", ["x", [], {}]),
        ("max_tokens", ["x", -1, 0, 1.5, []]),
        ("max_completion_tokens", ["x", -1, 0, 1.5, []]),
        ("n", ["x", 0, -1, 1.5, 129, []]),
        ("response_format", ["json_object", 1, []]),
        ("bookwheel", [True, "x", [], {"reading": "sideways"}, {"citations": "yes"}, {"unknown": 1}]),
    ],
)
def test_a_field_of_the_wrong_type_is_named(desk: Desk, field: str, values: list[Any]) -> None:
    for value in values:
        answer = chat(desk, **{field: value})
        assert (answer.status, value) == (400, value)
        assert (answer.error["type"], answer.error["code"]) == INVALID
        assert field in answer.error["message"]
        assert (answer.error["param"] or "").startswith(field)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"content": "no role"},
        {"role": None, "content": "x"},
        {"role": "narrator", "content": "x"},
        {"role": 1, "content": "x"},
        {"role": "user", "content": 1},
        {"role": "user", "content": True},
        {"role": "user", "content": {"type": "text", "text": "x"}},
        {"role": "user", "content": ["x"]},
        {"role": "user", "content": [None]},
        {"role": "user", "content": [{"type": "file"}]},
        {"role": "user", "content": [{"type": "file", "file": None}]},
        {"role": "user", "content": [{"type": "file", "file": "file-fe-x"}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_id": 1}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_id": []}}]},
    ],
)
def test_a_message_of_the_wrong_shape_is_refused(desk: Desk, message: dict[str, Any]) -> None:
    answer = chat(desk, messages=[USER, message])
    assert answer.status == 400
    assert (answer.error["type"], answer.error["code"]) == INVALID
    assert answer.error["param"].startswith("messages")


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"type": None},
        {"type": 1},
        {"type": []},
        {"type": "text"},
        {"type": "text", "text": None},
        {"type": "text", "text": 1},
        {"type": "text", "text": {"a": []}},
        {"type": "image_url", "image_url": None},
        {"type": "unheard_of", "x": [1]},
    ],
)
@pytest.mark.parametrize("role", ["user", "system", "assistant"])
@pytest.mark.parametrize("model", ["fake", "quotes"])
def test_a_strange_part_never_breaks_the_server(desk: Desk, part: dict[str, Any], role: str, model: str) -> None:
    for documents in ([], [{"role": "system", "content": "Role."}, {"role": "system", "content": "A document."}]):
        answer = chat(desk, model=model, messages=[*documents, {"role": role, "content": [part]}, USER])
        assert answer.status in (200, 400)


@pytest.mark.parametrize("stop", [1, [1], [None], {}, [[]], "", [""], True])
@pytest.mark.parametrize("stream", [False, True])
def test_a_strange_stop_never_breaks_the_server(desk: Desk, stop: Any, stream: bool) -> None:
    body = json.dumps({"model": "fake", "messages": [USER], "stop": stop, "stream": stream})
    connection = http.client.HTTPConnection(urlsplit(desk.server.url).netloc, timeout=60)
    connection.request("POST", CHAT, body, {"authorization": f"Bearer {MINE}"})
    response = connection.getresponse()
    assert response.status in (200, 400)
    assert b"Internal error" not in response.read()
    connection.close()


@pytest.mark.parametrize("model", ["gpt-9", "QWEN-LONG", "qwen-long ", "../qwen-long", "通义", "x" * 5000, "a\x00b"])
def test_an_unknown_model_is_not_found(desk: Desk, model: str) -> None:
    answer = chat(desk, model=model)
    assert answer.status == 404
    assert answer.error == {
        "message": f"The model {model} does not exist or you do not have access to it.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


# The files of a question


@pytest.mark.parametrize(
    "file_id",
    [
        "file-fe-" + "x" * 24,
        "file-fe-short",
        "nonsense",
        "../../etc/passwd",
        "file-fe-%00",
        "文件",
        "'drop-table--",
        "x" * 80,
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_or_malformed_file_id_is_invalid(desk: Desk, file_id: str, stream: bool) -> None:
    is_invalid(chat(desk, messages=about(file_id), stream=stream), f"Invalid file [id:{file_id}].", "messages")


def test_an_endless_file_id_is_invalid_and_shown_in_short(desk: Desk) -> None:
    is_invalid(chat(desk, messages=about("x" * 100_000)), f"Invalid file [id:{'x' * 80}].", "messages")


def test_an_empty_file_id_is_invalid(desk: Desk) -> None:
    is_invalid(chat(desk, messages=about("")), "Invalid file [id:].", "messages")


def test_another_accounts_file_gets_the_same_answer_as_an_unknown_one(desk: Desk) -> None:
    others = desk.new_client(api_key=OTHERS).files.create(file=("a.txt", b"Secret."), purpose="file-extract")
    is_invalid(chat(desk, messages=about(others.id)), f"Invalid file [id:{others.id}].", "messages")
    unknown = f"/v1/files/{others.id}"
    for method, path in (("GET", unknown), ("DELETE", unknown), ("GET", f"{unknown}/content")):
        answer = call(desk, method, path)
        assert (answer.status, answer.error["message"]) == (404, f"No such File object: {others.id}")
    listed = call(desk, "GET", f"/v1/files?after={others.id}")
    assert (listed.status, listed.error["param"]) == (400, "after")


def test_one_wrong_id_among_good_ones_is_named(desk: Desk) -> None:
    good = desk.upload("good.txt", "Good.\n")
    is_invalid(chat(desk, messages=about(good, "file-fe-bad", good)), "Invalid file [id:file-fe-bad].", "messages")


def test_a_batch_file_is_no_document(desk: Desk) -> None:
    batch = desk.client.files.create(file=("a.jsonl", b'{"custom_id": "1"}\n'), purpose="batch")
    is_invalid(chat(desk, messages=about(batch.id)), f"Invalid file [id:{batch.id}].", "messages")


@pytest.mark.parametrize(("filename", "content"), [("blank.txt", b" \n\t\n"), ("empty.txt", b"")])
def test_a_file_that_could_not_be_read_answers_with_its_reason(desk: Desk, filename: str, content: bytes) -> None:
    file = desk.client.files.create(file=(filename, content), purpose="file-extract")
    file = desk.client.files.wait_for_processing(file.id, poll_interval=0.05)
    assert (file.status, file.status_details) == ("error", f"File [id:{file.id}] content blank.")
    is_invalid(chat(desk, messages=about(file.id)), f"File [id:{file.id}] content blank.", "messages")
    answer = call(desk, "GET", f"/v1/files/{file.id}/content")
    assert (answer.status, answer.error["message"]) == (400, f"File [id:{file.id}] content blank.")


def test_a_hundred_and_one_files_are_too_many_and_a_hundred_are_not(desk: Desk) -> None:
    ids = [f"file-fe-{number:024d}" for number in range(101)]
    is_invalid(chat(desk, messages=about(*ids)), "Too many files provided.", "messages")
    is_invalid(chat(desk, messages=about(*ids[:100])), f"Invalid file [id:{ids[0]}].", "messages")
    spread = [{"role": "system", "content": f"fileid://{file_id}"} for file_id in ids]
    is_invalid(chat(desk, messages=[*about(ids[0]), *spread, USER]), "Too many files provided.", "messages")


def test_a_hundred_files_are_answered(desk: Desk) -> None:
    ids = [desk.upload(f"{number}.txt", f"Text {number}.\n") for number in range(100)]
    answer = chat(desk, messages=about(*ids))
    assert answer.status == 200
    assert len(answer.body["bookwheel"]["context"]["files"]) == 100


def test_a_request_over_the_limit_of_document_tokens_is_refused(desk: Desk) -> None:
    ids = [desk.upload(f"{number}.txt", "one two three four five\n" * 250) for number in range(2)]
    assert chat(desk, messages=about(ids[0])).status == 200
    message = "Total message token length exceed model limit (2000 tokens)."
    is_invalid(chat(desk, messages=about(*ids)), message, "messages")


# The calls on files


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=2001", "limit"),
        ("limit=99999999999999999999999999", "limit"),
        ("limit=ten", "limit"),
        ("limit=1.5", "limit"),
        ("limit=", "limit"),
        ("order=sideways", "order"),
        ("order=DESC", "order"),
        ("purpose=fun", "purpose"),
        ("after=file-fe-unknown", "after"),
        ("after=%00", "after"),
        ("after=", "after"),
    ],
)
def test_a_wrong_query_of_the_list_is_named(desk: Desk, query: str, param: str) -> None:
    answer = call(desk, "GET", f"/v1/files?{query}")
    assert answer.status == 400
    assert (answer.error["type"], answer.error["param"], answer.error["code"]) == (INVALID[0], param, INVALID[1])
    assert param in answer.error["message"]


@pytest.mark.parametrize("limit", [1, 2000])
def test_a_limit_at_the_edge_is_taken(desk: Desk, limit: int) -> None:
    assert call(desk, "GET", f"/v1/files?limit={limit}").status == 200


@pytest.mark.parametrize(
    "file_id", ["file-fe-unknown", "x" * 3000, quote("文件"), "%00", "%ff", "a%20b", "..%2f..%2fetc"]
)
@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("DELETE", ""), ("GET", "/content")])
def test_an_unknown_file_is_not_found(desk: Desk, file_id: str, method: str, suffix: str) -> None:
    answer = call(desk, method, f"/v1/files/{file_id}{suffix}")
    assert answer.status == 404
    assert (answer.error["type"], answer.error["code"]) == ("invalid_request_error", "not_found")


BOUNDARY = "----b0undary"


def form(*parts: tuple[str, bytes], end: bool = True) -> bytes:
    """A multipart body: (the part's header, its content)."""
    pieces = [
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {header}\r\n\r\n".encode() + content + b"\r\n"
        for header, content in parts
    ]
    return b"".join(pieces) + (f"--{BOUNDARY}--\r\n".encode() if end else b"")


FILE = ('name="file"; filename="a.txt"', b"Some text.\n")
PURPOSE = ('name="purpose"', b"file-extract")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"nonsense", None),
        (form(FILE, PURPOSE, end=False), None),
        (form(FILE, PURPOSE)[:80], None),
        (form(PURPOSE), "file"),
        (form(FILE), "purpose"),
        (form(FILE, ('name="purpose"', b"fun")), "purpose"),
        (form(FILE, ('name="purpose"', b"")), "purpose"),
        (form(FILE, ('name="purpose"', b"\xff\xfe")), "purpose"),
        (form(FILE, FILE, PURPOSE), "file"),
        (form(FILE, PURPOSE, *[('name="x"', b"1")] * 40), None),
        (form(FILE, PURPOSE, ('name="x"', b"1" * 100_000)), "x"),
        (form(FILE, PURPOSE, ('name="expires_after[anchor]"', b"now")), "expires_after"),
        (
            form(
                FILE, PURPOSE, ('name="expires_after[anchor]"', b"created_at"), ('name="expires_after[seconds]"', b"1")
            ),
            "expires_after",
        ),
        (form(FILE, PURPOSE, ('name="expires_after"', b"soon")), "expires_after"),
        (form(('name="file"; filename="a.exe"', b"MZ\x90\x00\x03\x00" + b"\x00" * 100), PURPOSE), None),
    ],
)
def test_a_wrong_upload_is_refused(desk: Desk, body: bytes, param: str | None) -> None:
    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    answer = call(desk, "POST", "/v1/files", body, headers)
    assert answer.status == 400
    assert (answer.error["type"], answer.error["code"]) == INVALID
    assert param is None or answer.error["param"].startswith(param)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "multipart/form-data", "multipart/form-data; boundary=", "text/plain", "x" * 9000],
)
def test_an_upload_that_is_not_multipart_is_refused(desk: Desk, content_type: str) -> None:
    answer = call(desk, "POST", "/v1/files", form(FILE, PURPOSE), {"content-type": content_type})
    expected = "An upload is multipart/form-data with the parts 'file' and 'purpose'."
    is_invalid(answer, expected, None)


# Routes, methods, headers


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/", "/nothing", "/v1/chat", "/v2/models", "/v1/files/a/b/c"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT"])
def test_an_unknown_route_is_not_found(desk: Desk, method: str, path: str) -> None:
    answer = call(desk, method, path)
    assert answer.status == 404
    assert answer.error["code"] == "not_found"
    assert path in answer.error["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", CHAT), ("PUT", "/v1/files"), ("DELETE", "/v1/files"), ("POST", "/v1/models"), ("PATCH", "/v1/files/x")],
)
def test_a_wrong_method_is_not_allowed(desk: Desk, method: str, path: str) -> None:
    answer = call(desk, method, path)
    assert answer.status == 405
    assert answer.error["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer wrong-key-of-nobody"},
        {"authorization": f"Basic {MINE}"},
        {"authorization": MINE},
        {"authorization": ""},
        {"authorization": "Bearer "},
        {"authorization": "Bearer \xff\xfe"},
        {"authorization": "Bearer " + "x" * 20_000},
    ],
    ids=lambda headers: headers["authorization"][:24],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", CHAT), ("GET", "/v1/models"), ("GET", "/compatible-mode/v1/files")]
)
def test_a_wrong_key_is_refused(desk: Desk, headers: dict[str, str], method: str, path: str) -> None:
    answer = call(desk, method, path, headers=headers)
    assert answer.status == 401
    assert answer.error == {
        "message": "Incorrect API key provided.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }


@pytest.mark.parametrize(
    "own_id", ["short", "x" * 65, "with space", "a/b/c/d/e/f", "<script>alert(1)</script>", "\xff" * 10]
)
def test_a_strange_request_id_is_replaced_and_a_plain_one_kept(desk: Desk, own_id: str) -> None:
    given = call(desk, "GET", "/v1/models", headers={"x-request-id": own_id}).headers["x-request-id"]
    assert given != own_id
    assert (
        call(desk, "GET", "/v1/models", headers={"x-request-id": "my-request-1"}).headers["x-request-id"]
        == "my-request-1"
    )


def test_huge_headers_do_not_stop_the_server(desk: Desk) -> None:
    connection = http.client.HTTPConnection(urlsplit(desk.server.url).netloc, timeout=60)
    connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {MINE}", "x-large": "x" * 1_000_000})
    with suppress(http.client.HTTPException, ConnectionError):  # it may close the connection
        assert connection.getresponse().status < 500
    connection.close()
    assert call(desk, "GET", "/v1/models").status == 200


def test_nothing_of_all_this_was_an_internal_error(desk: Desk) -> None:
    """Stands last: it looks through the log of the tests before."""
    events = desk.server.log_events()
    assert [e for e in events if e["level"] == "error"] == []
    assert [e for e in events if e.get("status", 0) >= 500] == []
