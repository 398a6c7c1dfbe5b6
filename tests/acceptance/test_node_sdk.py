"""The same API from JavaScript: the stock Node SDK, driven by `node/client.mjs`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.engine import Desk, content_of, open_desk

NODE = Path(__file__).parent / "node"
READY = NODE / "node_modules" / ".ready"
KEY = "key-of-the-client"
TIDES = "The tide at Dover rises 6.7 metres in spring.\nNeap tides rise only 3.2 metres there.\n"
KEEPER = "灯塔看守人名叫林默。\n他在岛上住了三十年。\n"


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    if not READY.exists():
        pytest.fail("The Node SDK is not installed: run `make tests/acceptance/node/node_modules/.ready`")


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    accounts = {"accounts": {"node": {"keys": [KEY]}}}
    with open_desk(tmp_path_factory.mktemp("desk"), accounts) as opened:
        yield opened


@pytest.fixture
def desk(shared_desk: Desk) -> Desk:
    shared_desk.engine.reset()
    return shared_desk


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    documents = tmp_path_factory.mktemp("documents")
    (documents / "tides.txt").write_text(TIDES, "utf-8")
    (documents / "keeper.txt").write_text(KEEPER, "utf-8")
    return documents


def tell(desk: Desk, story: str, folder: Path, prefix: str = "/compatible-mode/v1") -> Any:
    """What one story of client.mjs comes to."""
    node = Path(sys.executable).parent / "node"
    command = [str(node), str(NODE / "client.mjs"), f"{desk.server.url}{prefix}", KEY, story, str(folder)]
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=kept)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def shown(desk: Desk, question: str) -> str:
    """All that the engine was sent with a question."""
    sent = [r["messages"] for r in desk.engine.requests if content_of(r["messages"][-1]).endswith(question)]
    return "\n".join(content_of(message) for message in sent[-1])


@pytest.mark.parametrize("prefix", ["/compatible-mode/v1", "/v1"])
def test_a_file_is_uploaded_found_read_and_deleted(desk: Desk, folder: Path, prefix: str) -> None:
    told = tell(desk, "files", folder, prefix)
    created = told["created"]
    assert created["id"].startswith("file-fe-")
    expected = {"object": "file", "bytes": len(TIDES), "filename": "tides.txt", "purpose": "file-extract"}
    assert expected.items() <= created.items()
    assert told["retrieved"] == told["processed"] == created | {"status": "processed"}
    assert told["content"] == TIDES
    assert told["deleted"] == {"id": created["id"], "object": "file", "deleted": True}
    assert (told["gone"]["name"], told["gone"]["status"]) == ("NotFoundError", 404)


def test_files_are_listed_page_by_page_and_all_at_once(desk: Desk, folder: Path) -> None:
    for file in desk.new_client(api_key=KEY).files.list():
        desk.new_client(api_key=KEY).files.delete(file.id)
    told = tell(desk, "listing", folder)
    created = told["created"]
    assert told["first"] == {"ids": created[:2], "has_more": True}
    assert told["second"] == created[2:4]
    assert told["all"] == created
    assert told["newest"] == created[-1:]


def test_a_question_is_answered_whole_and_streamed(desk: Desk, folder: Path) -> None:
    told = tell(desk, "chat", folder)
    whole = told["whole"]
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": "Hello world"}
    assert whole["bookwheel"]["context"]["files"][0]["file_id"] == told["id"]
    assert TIDES in shown(desk, "How high?")
    for chunks, last in ((told["plain"], None), (told["withUsage"], whole["usage"])):
        said, ending = (chunks, []) if last is None else (chunks[:-1], chunks[-1:])
        deltas = [came["choices"][0]["delta"] for came in said]
        assert deltas == [{"role": "assistant", "content": ""}, {"content": "Hello"}, {"content": " world"}, {}]
        assert [came["choices"][0]["finish_reason"] for came in said] == [None, None, None, "stop"]
        assert [(came["choices"], came["usage"]) for came in ending] == ([] if last is None else [([], last)])
        assert {(came["id"], came["object"], came["model"]) for came in chunks} == {
            (chunks[0]["id"], "chat.completion.chunk", "qwen-long")
        }
        assert chunks[-1]["bookwheel"]["context"]["files"][0]["file_id"] == told["id"]


def test_several_documents_plain_text_json_and_an_appended_document_are_read(desk: Desk, folder: Path) -> None:
    told = tell(desk, "documents", folder)
    assert shown(desk, "Several?").index(TIDES) < shown(desk, "Several?").index(KEEPER)
    assert KEEPER in shown(desk, "Text?")
    assert '{"item":"rope","price":14}' in shown(desk, "JSON?")
    assert shown(desk, "And then?").index("First?") < shown(desk, "And then?").index(KEEPER)
    assert [reading["file_id"] for reading in told["several"]["bookwheel"]["context"]["files"]] == told["ids"]
    (annotation, *_) = told["cited"]["choices"][0]["message"]["annotations"]
    assert annotation["file_id"] == told["ids"][0]
    assert TIDES[annotation["start"] : annotation["end"]] == annotation["quote"]


def test_the_stream_helper_puts_the_answer_together(desk: Desk, folder: Path) -> None:
    told = tell(desk, "helper", folder)
    expected = f"You asked: How high? I was shown: tides.txt ({len(TIDES)} characters)."
    assert told["text"] == told["completion"]["choices"][0]["message"]["content"] == expected
    assert told["completion"]["usage"]["total_tokens"] > 0


def test_models_are_listed_and_found(desk: Desk, folder: Path) -> None:
    told = tell(desk, "models", folder)
    assert [model["id"] for model in told["listed"]][:2] == ["qwen-long", "qwen-long-latest"]
    assert (told["retrieved"]["id"], told["retrieved"]["object"]) == ("qwen-long", "model")


@pytest.fixture(scope="module")
def errors(shared_desk: Desk, folder: Path) -> Any:
    return tell(shared_desk, "errors", folder)


@pytest.mark.parametrize(
    ("case", "name", "status", "code", "message"),
    [
        ("unknownFile", "BadRequestError", 400, "invalid_parameter_error", "Invalid file [id:file-fe-unknown]."),
        (
            "unknownFileStreamed",
            "BadRequestError",
            400,
            "invalid_parameter_error",
            "Invalid file [id:file-fe-unknown].",
        ),
        (
            "noUser",
            "BadRequestError",
            400,
            "invalid_parameter_error",
            "The input messages do not contain elements with the role of user.",
        ),
        (
            "unknownModel",
            "NotFoundError",
            404,
            "model_not_found",
            "The model gpt-9 does not exist or you do not have access to it.",
        ),
        ("wrongKey", "AuthenticationError", 401, "invalid_api_key", "Incorrect API key provided."),
    ],
)
def test_errors_have_the_class_and_the_fields_that_the_sdk_knows(
    errors: Any, case: str, name: str, status: int, code: str, message: str
) -> None:
    told = errors[case]
    assert told["isApiError"]
    assert (told["name"], told["status"], told["code"]) == (name, status, code)
    assert told["type"] == "invalid_request_error"
    assert told["error"]["message"] == message
    assert told["requestId"]


def test_a_wrong_purpose_is_named(errors: Any) -> None:
    told = errors["wrongPurpose"]
    assert (told["name"], told["status"], told["param"]) == ("BadRequestError", 400, "purpose")
