"""The lines of a batch are answered as the same requests would be, each by itself, however the engine behaves."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from aiohttp import web
from openai import APIStatusError
from openai.types import Batch

from support.batches import (
    EMBEDDINGS,
    BatchDesk,
    LateEngine,
    Line,
    Outcome,
    ask,
    asked,
    by_question,
    counts,
    create,
    jsonl,
    line,
    one_after_another,
    open_batch_desk,
    outcome,
    run,
    submit,
    upload,
    wait_for_counts,
    wait_for_end,
)
from support.embedder import RecordingEmbedder, vector_of
from support.engine import answer_object, answer_words, content_of, hold_until, wait_until

TIDES = "The tide at Dover rises 6.7 metres in spring.\nNeap tides rise only 3.2 metres there.\n"
KEEPER = "灯塔看守人名叫林默。\n他在岛上住了三十年。\n"
ROPE = '{"item": "rope", "price": 14}'
LARGE = "The heron stands in the reeds and waits for the tide to turn.\n\n" * 60_000
"""More than a second of reading: enough to be in the middle of it when a batch is made."""
QUESTION = "How high do neap tides rise?"
EMBEDDER = "text-embedding-v4"
DOWN = "The engine late is not able to answer"
MB = 1024 * 1024
NEW_EACH_TIME = ("id", "created", "milliseconds")


@pytest.fixture(scope="module")
def embedder() -> Iterator[RecordingEmbedder]:
    engine = RecordingEmbedder().start()
    assert isinstance(engine, RecordingEmbedder)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory, embedder: RecordingEmbedder) -> Iterator[BatchDesk]:
    engines = {EMBEDDER: embedder.settings(model="bge-m3", retries=0)}
    settings = {"ingest": {"upload_wait_seconds": 0, "chat_wait_seconds": 300}}
    with open_batch_desk(tmp_path_factory.mktemp("desk"), settings, engines) as opened:
        yield opened


@pytest.fixture
def desk(shared_desk: BatchDesk) -> BatchDesk:
    shared_desk.engine.reset()
    return shared_desk


@pytest.fixture(scope="module")
def tides(shared_desk: BatchDesk) -> str:
    return read_upload(shared_desk, "tides.txt", TIDES)


@pytest.fixture(scope="module")
def keeper(shared_desk: BatchDesk) -> str:
    return read_upload(shared_desk, "keeper.txt", KEEPER)


def read_upload(desk: BatchDesk, filename: str, text: str) -> str:
    """The id of a document that has been read."""
    file_id = desk.upload(filename, text)
    desk.client.files.wait_for_processing(file_id, poll_interval=0.02)
    return file_id


def body_of(desk: BatchDesk, request: dict[str, Any]) -> Any:
    """What a chat request is answered."""
    return desk.client.post("/chat/completions", cast_to=object, body=request)


def error_of(desk: BatchDesk, request: dict[str, Any]) -> APIStatusError:
    """How a chat request is refused."""
    with pytest.raises(APIStatusError) as caught:
        body_of(desk, request)
    return caught.value


def without_the_new(value: Any) -> Any:
    """An answer without what is another each time."""
    if isinstance(value, dict):
        return {name: without_the_new(one) for name, one in value.items() if name not in NEW_EACH_TIME}
    return [without_the_new(one) for one in value] if isinstance(value, list) else value


def what_it_waits_for(desk: BatchDesk, batch: Batch) -> str:
    """What keeps its lines from being answered, as its progress says."""
    told: Any = desk.client.batches.retrieve(batch.id).to_dict()
    return (told.get("bookwheel") or {}).get("waiting") or ""


def content(results: Outcome, custom_id: str) -> str:
    return str(results.answer(custom_id)["choices"][0]["message"]["content"])


def with_parts(*parts: dict[str, Any], **options: Any) -> dict[str, Any]:
    """A request whose question comes with files."""
    message = {"role": "user", "content": [*parts, {"type": "text", "text": QUESTION}]}
    return {"model": "qwen-long", "messages": [message]} | options


class TestTheSameAsAChatRequest:
    @pytest.fixture
    def requests(self, tides: str, keeper: str) -> dict[str, dict[str, Any]]:
        file_data = base64.b64encode(TIDES.encode()).decode()
        cited = {"bookwheel": {"citations": True, "show_context": True}}
        appended = ask("First?", f"fileid://{tides}")
        appended["messages"] += [
            {"role": "assistant", "content": "Yes."},
            {"role": "system", "content": f"fileid://{keeper}"},
            {"role": "user", "content": QUESTION},
        ]
        return {
            "plain": ask("Hello?"),
            "file": ask(QUESTION, f"fileid://{tides}"),
            "files": ask(QUESTION, f"fileid://{tides}, fileid://{keeper}"),
            "files in two messages": ask(QUESTION, f"fileid://{tides}", f"fileid://{keeper}"),
            "text": ask(QUESTION, TIDES),
            "json": ask("What is the price of a rope?", ROPE),
            "file and text": ask(QUESTION, f"fileid://{keeper}", TIDES),
            "later": appended,
            "file_id": with_parts({"type": "file", "file": {"file_id": tides}}),
            "file_data": with_parts({"type": "file", "file": {"file_data": file_data, "filename": "tides.txt"}}),
            "citations": ask(QUESTION, f"fileid://{tides}") | cited,
            "options": ask(QUESTION, f"fileid://{tides}", max_tokens=9, stop=["."], temperature=0.3, seed=7, top_p=0.5),
            "passed on": ask("Odd?", response_format={"type": "text"}, enable_thinking=False, unknown_to_us={"a": [1]}),
        }

    @pytest.mark.parametrize("model", ["qwen-long", "quotes", "fake"])
    def test_is_every_answer(self, desk: BatchDesk, requests: dict[str, dict[str, Any]], model: str) -> None:
        wanted = {name: request | {"model": model} for name, request in requests.items()}
        results = run(desk.client, [line(name, request) for name, request in wanted.items()])
        assert results.failures == {}
        sent = sorted(desk.engine.requests, key=str)
        desk.engine.reset()
        for name, request in wanted.items():
            assert without_the_new(results.answer(name)) == without_the_new(body_of(desk, request)), name
        assert sorted(desk.engine.requests, key=str) == sent

    def test_is_what_the_engine_is_shown(self, desk: BatchDesk, tides: str, keeper: str) -> None:
        named = f"fileid://{tides},fileid://{keeper}"
        run(desk.client, [line("a", ask(QUESTION, named, ROPE, max_tokens=9, stop="."))])
        (request,) = desk.engine.requests
        shown = "\n".join(content_of(message) for message in request["messages"])
        assert all(document in shown for document in (TIDES, KEEPER, ROPE))
        assert (request["max_tokens"], request["stop"], content_of(request["messages"][-1])) == (9, ".", QUESTION)

    def test_but_a_line_that_asks_for_a_stream_is_answered_in_one_piece(self, desk: BatchDesk) -> None:
        streamed = ask("Streamed?", stream=True, stream_options={"include_usage": True})
        results = run(desk.client, [line("streamed", streamed)])
        expected = without_the_new(body_of(desk, ask("Streamed?")))
        assert without_the_new(results.answer("streamed")) == expected
        assert expected["object"] == "chat.completion"
        as_line, as_chat = desk.engine.requests
        assert as_line == as_chat

    def test_is_a_line_of_six_megabytes(self, desk: BatchDesk) -> None:
        request = ask("How long?", "tide " * ((6 * MB - 400) // 5), model="fake")
        results = run(desk.client, [line("long", request), line("short", ask("How short?", model="fake"))])
        assert without_the_new(results.answer("long")) == without_the_new(body_of(desk, request))


class TestVectors:
    def test_come_for_each_text_of_each_line(self, desk: BatchDesk, embedder: RecordingEmbedder) -> None:
        embedder.reset()
        lines: list[Line] = [
            line("one", {"model": EMBEDDER, "input": "The tide"}, EMBEDDINGS),
            line("three", {"model": EMBEDDER, "input": ["a", "b", "c"], "dimensions": 3}, EMBEDDINGS),
            line("base64", {"model": EMBEDDER, "input": ["a"], "encoding_format": "base64"}, EMBEDDINGS),
        ]
        results = run(desk.client, lines, EMBEDDINGS)
        three = results.answer("three")
        assert (three["model"], three["usage"]["total_tokens"]) == (EMBEDDER, 7)
        assert [vector["embedding"] for vector in three["data"]] == [vector_of(number) for number in range(3)]
        for custom_id, request in ((one["custom_id"], one["body"]) for one in lines if isinstance(one, dict)):
            direct = desk.client.post("/embeddings", cast_to=object, body=request)
            assert results.answer(custom_id) == direct
        assert any(request.get("dimensions") == 3 for request in embedder.requests)

    def test_fail_line_by_line(self, desk: BatchDesk) -> None:
        lines: list[Line] = [
            line("empty", {"model": EMBEDDER, "input": ""}, EMBEDDINGS),
            line("right", {"model": EMBEDDER, "input": "The tide"}, EMBEDDINGS),
            line("mixed", {"model": EMBEDDER, "input": ["a", 1]}, EMBEDDINGS),
        ]
        results = run(desk.client, lines, EMBEDDINGS)
        assert results.answers.keys() == {"right"}
        assert {one["response"]["status_code"] for one in results.failures.values()} == {400}


class TestALineThatIsWrong:
    @pytest.fixture
    def wrong(self, desk: BatchDesk, tides: str) -> dict[str, dict[str, Any]]:
        deleted = read_upload(desk, "gone.txt", "gone")
        desk.client.files.delete(deleted)
        bobs = desk.new_client(api_key="key-of-bob").files.create(file=("b.txt", b"Bob's"), purpose="user_data").id
        blank = desk.upload("blank.txt", "")
        many = ",".join(f"fileid://file-fe-{number:024}" for number in range(101))
        return {
            "unknown file": ask(QUESTION, f"fileid://file-fe-{'u' * 24}"),
            "malformed file": ask(QUESTION, "fileid://file-fe-unknown"),
            "deleted file": ask(QUESTION, f"fileid://{deleted}"),
            "another's file": ask(QUESTION, f"fileid://{bobs}"),
            "blank file": ask(QUESTION, f"fileid://{blank}"),
            "too many files": ask(QUESTION, many),
            "temperature": ask(QUESTION, temperature=2),
            "top_p": ask(QUESTION, top_p=0),
            "presence_penalty": ask(QUESTION, presence_penalty=3),
            "max_tokens": ask(QUESTION, max_tokens=0),
            "no user": {"model": "qwen-long", "messages": [{"role": "system", "content": "Role."}]},
            "no messages": {"model": "qwen-long", "messages": []},
            "messages missing": {"model": "qwen-long"},
            "messages of a kind": {"model": "qwen-long", "messages": "text"},
            "no json": ask("What?", response_format={"type": "json_object"}),
            "our options": ask(QUESTION, bookwheel={"citation": True}),
            "the engine's word": ask("Refuse?"),
        }

    def test_fails_alone_with_the_answer_of_the_chat(
        self, desk: BatchDesk, wrong: dict[str, dict[str, Any]], tides: str
    ) -> None:
        words = {"message": "Not I.", "type": "refusal", "param": None, "code": "engine_says_no"}
        desk.engine.behave = by_question({"Refuse?": answer_object({"error": words}, 422)})
        right: dict[str, dict[str, Any]] = {"first": ask(QUESTION, f"fileid://{tides}"), "last": ask("Right?")}
        requests = {"first": right["first"]} | wrong | {"last": right["last"]}
        results = run(desk.client, [line(name, request) for name, request in requests.items()])
        assert results.answers.keys() == right.keys()
        assert results.failures.keys() == wrong.keys()
        for name, request in wrong.items():
            refused, result = error_of(desk, request), results.failures[name]
            response = result["response"]
            assert (response["status_code"], response["body"]["error"]) == (refused.status_code, refused.body), name
            assert response["body"]["request_id"] == response["request_id"]
            assert result["error"] == {"code": response["body"]["error"]["code"], "message": refused.body["message"]}  # type: ignore[index]

    @pytest.mark.parametrize(
        ("name", "status", "message"),
        [
            ("unknown file", 400, f"Invalid file [id:file-fe-{'u' * 24}]."),
            ("too many files", 400, "Too many files provided."),
            ("temperature", 400, "Temperature should be in [0.0, 2.0)"),
            ("no user", 400, "The input messages do not contain elements with the role of user."),
            ("no messages", 400, "[] is too short - 'messages'"),
        ],
    )
    def test_has_the_contracts_message(
        self, desk: BatchDesk, wrong: dict[str, dict[str, Any]], name: str, status: int, message: str
    ) -> None:
        result = run(desk.client, [line("wrong", wrong[name])]).failures["wrong"]
        assert (result["response"]["status_code"], result["error"]["message"]) == (status, message)

    def test_fails_alone_also_where_it_has_a_number_that_is_none(self, desk: BatchDesk) -> None:
        """JSON's grammar allows it, so that validation does not see it."""
        odd = jsonl([line("odd", ask("Odd?", temperature="?"))]).strip().replace(b'"?"', b"1e999")
        results = run(desk.client, [line("first", ask("First?")), odd, line("last", ask("Last?"))])
        assert results.answers.keys() == {"first", "last"}
        assert results.failures["odd"]["response"]["status_code"] == 400

    def test_fails_alone_where_the_engines_error_has_no_code(self, desk: BatchDesk) -> None:
        desk.engine.behave = answer_object({"error": {"message": "Not I.", "type": None, "code": None}}, 422)
        error = run(desk.client, [line("a", ask("Refuse?"))]).failures["a"]["error"]
        assert error["message"] == "Not I."
        assert error["code"] not in ("None", "null", "")


class TestDocumentsThatAreStillRead:
    def test_are_waited_for_while_other_lines_go_on(self, desk: BatchDesk) -> None:
        file_id = desk.upload("large.txt", LARGE)
        lines: list[Line] = [
            line("waits", ask("What stands in the reeds?", f"fileid://{file_id}", model="fake")),
            line("waits, too", ask("And then?", f"fileid://{file_id}", model="fake")),
            line("goes on", ask("Hello?", model="fake")),
        ]
        batch = submit(desk.client, lines)
        wait_until(lambda: what_it_waits_for(desk, batch) == "Documents are still being read.")
        wait_for_counts(desk.client, batch, completed=1)
        ended = wait_for_end(desk.client, batch)
        results = outcome(desk.client, ended)
        assert counts(ended) == (3, 3, 0)
        assert f"large.txt ({len(LARGE)} characters)" in content(results, "waits")


class TestAnEngineThatFails:
    def test_is_asked_again_and_what_it_never_answers_fails_alone(self, desk: BatchDesk) -> None:
        right = answer_words(["Right"])
        busy = answer_object({"error": {"message": "busy"}}, 429)
        broken = answer_object({"error": {"message": "broken"}}, 500)
        desk.engine.behave = by_question(
            {
                "Busy": one_after_another(busy, busy, right),
                "Recovering": one_after_another(broken, right),
                "Broken": broken,
            },
            right,
        )
        questions = {"busy": "Busy ?", "recovering": "Recovering ?", "broken": "Broken ?", "fine": "Fine ?"}
        results = run(desk.client, [line(name, ask(question)) for name, question in questions.items()])
        assert results.answers.keys() == {"busy", "recovering", "fine"}
        assert {content(results, name) for name in results.answers} == {"Right"}
        times = {question: asked(desk.engine).count(question) for question in questions.values()}
        assert times == {"Busy ?": 3, "Recovering ?": 2, "Broken ?": 2, "Fine ?": 1}
        failure = results.failures["broken"]
        assert failure["response"]["status_code"] == 502
        assert failure["error"]["code"] == "engine_unreachable"

    def test_is_given_the_pause_that_it_asks_for(self, desk: BatchDesk) -> None:
        came: list[float] = []
        busy = answer_object({"error": {"message": "busy"}}, 429, {"retry-after": "2"})

        async def behave(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            came.append(asyncio.get_running_loop().time())
            return await (busy if len(came) == 1 else answer_words(["Right"]))(request, body)

        desk.engine.behave = behave
        results = run(desk.client, [line("a", ask("Busy?"))])
        assert content(results, "a") == "Right"
        assert came[1] - came[0] > 1.9  # a pause of our own choice is at most a second

    def test_that_is_not_there_yet_is_waited_for_and_no_line_fails(self, tmp_path: Path) -> None:
        late = LateEngine()
        engines = {"late": late.settings(retries=0)}
        with open_batch_desk(tmp_path, {"batches": {"retries": 0}}, engines) as desk:
            lines: list[Line] = [line(f"line-{number}", ask(f"Number {number}?", model="late")) for number in range(40)]
            batch = submit(desk.client, lines)
            wait_until(lambda: what_it_waits_for(desk, batch).startswith(DOWN))
            assert counts(desk.client.batches.retrieve(batch.id)) == (40, 0, 0)
            late.start()
            ended = wait_for_end(desk.client, batch)
            assert counts(ended) == (40, 40, 0)
            outcome(desk.client, ended)
        late.close()

    def test_that_goes_away_in_the_middle_is_waited_for_too(self, tmp_path: Path) -> None:
        """As it is started anew: requests under way break off, and for a while nobody is there."""
        first = LateEngine()
        held = Event()
        first.behave = by_question({"Held": hold_until(held, answer_words(["Late"]))})
        first.start()
        engines = {"late": first.settings(retries=0)}
        with open_batch_desk(tmp_path, {"batches": {"retries": 0}}, engines) as desk:
            lines: list[Line] = [line(f"early-{number}", ask(f"Early {number}?", model="late")) for number in range(3)]
            lines += [line(f"held-{number}", ask(f"Held {number}?", model="late")) for number in range(30)]
            batch = wait_for_counts(desk.client, submit(desk.client, lines), completed=3)
            wait_until(lambda: any(question.startswith("Held") for question in asked(first)))
            first.close()
            wait_until(lambda: what_it_waits_for(desk, batch).startswith(DOWN))
            second = LateEngine(first.port).start()
            ended = wait_for_end(desk.client, batch)
            second.close()
            assert counts(ended) == (33, 33, 0)
            assert not any(question.startswith("Early") for question in asked(second))


class TestTheOrder:
    def test_lines_that_share_documents_come_one_after_another(self, desk: BatchDesk, tides: str, keeper: str) -> None:
        documents = {"A": f"fileid://{tides}", "B": f"fileid://{keeper}", "C": ROPE}
        lines: list[Line] = [
            line(f"{group}{number}", ask(f"{group}{number}", document, model="single"))
            for number in range(3)
            for group, document in documents.items()
        ]
        run(desk.client, [line("alone", ask("alone", model="single")), *lines])
        assert asked(desk.engine) == ["alone", *(f"{group}{number}" for group in "ABC" for number in range(3))]

    def test_the_first_that_shares_them_is_answered_before_the_others_are_asked(
        self, desk: BatchDesk, tides: str, keeper: str
    ) -> None:
        happened: list[str] = []

        async def behave(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            question = content_of(body["messages"][-1])
            happened.append(f"{question} asked")
            await asyncio.sleep(0.05)
            happened.append(f"{question} answered")
            return await answer_words(["Right"])(request, body)

        desk.engine.behave = behave
        documents = {"A": f"fileid://{tides}", "B": f"fileid://{keeper}", "C": ROPE}
        lines: list[Line] = [
            line(f"{group}{number}", ask(f"{group}{number}", document))
            for group, document in documents.items()
            for number in range(5)
        ]
        run(desk.client, lines)
        for group in documents:
            first_answered = happened.index(f"{group}0 answered")
            assert all(happened.index(f"{group}{number} asked") > first_answered for number in range(1, 5))

    def test_a_first_line_that_fails_does_not_keep_the_others_waiting(self, desk: BatchDesk, tides: str) -> None:
        desk.engine.behave = by_question({"0": answer_object({"error": {"message": "no"}}, 422)})
        shared = f"fileid://{tides}"
        results = run(desk.client, [line(str(number), ask(str(number), shared)) for number in range(5)])
        assert results.answers.keys() == {"1", "2", "3", "4"}


def test_two_batches_of_one_file_do_not_mix(desk: BatchDesk) -> None:
    file_id = upload(desk.client, jsonl([line(f"line-{n}", ask(f"Number {n}?", model="fake")) for n in range(30)]))
    ended = [wait_for_end(desk.client, batch) for batch in [create(desk.client, file_id) for _ in range(2)]]
    for batch in ended:
        results = outcome(desk.client, batch)
        assert content(results, "line-7") == "You asked: Number 7? I was shown: no documents."
        assert len(results.answers) == 30
