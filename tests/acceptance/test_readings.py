"""A reader asks about documents that an engine cannot be shown whole, and chooses how they are read.

What the engine is shown is looked at from the engine's side. It serves under several names, with wide and narrow windows.
"""

import http.client
import json
import re
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from openai import BadRequestError

from bookwheel.answering.layout import INSTRUCTION
from bookwheel.tokens import count_tokens
from support.engine import Behaviour, Desk, answer_words, content_of, hold_until, open_desk
from support.pdf_parts import Sheet, lines, pdf

ROLE = "You are a helpful assistant."
COOPER = "The cooper of Lindisfarne charged eleven florins for the green barrel."
GLAZIER = "The glazier of Lindisfarne took nine ducats and a goose."
TRADES = ("baker", "smith", "weaver", "miller", "tanner", "potter", "mason", "thatcher", "fletcher", "dyer")
TOWNS = ("Whitby", "Ely", "Ripon", "Wells", "Truro", "Lichfield", "Selby")
FRAMES = 1.03
"""Tokens on the joins between pieces that are counted apart."""


def ledger(entries: int, *said: str, name: str = "a") -> str:
    """A text of so many entries, some 40 tokens each, with given sentences spread evenly among them."""
    lines = [
        f"Entry {number} of ledger {name}: the {TRADES[number % 10]} of {TOWNS[number % 7]} paid {number * 37 % 911} pence in "
        f"rent, and {number * 53 % 97} loaves were given to the poor."
        for number in range(entries)
    ]
    for number, sentence in enumerate(said, 1):
        lines.insert(number * entries // (len(said) + 1), sentence)
    return "\n\n".join(lines) + "\n"


CALLS_AT_ONCE = 2
"""As `reading.thorough_calls` has it unless it is set."""


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("desk")) as opened:
        yield opened


@pytest.fixture(scope="module")
def long_file(shared_desk: Desk) -> str:
    """A file of some 16,000 tokens, with one sentence about the cooper in its middle."""
    return shared_desk.upload("ledger.txt", ledger(400, COOPER))


@pytest.fixture(scope="module")
def files(shared_desk: Desk) -> list[str]:
    """30 files of some 1,600 tokens; number 17 tells of the glazier."""
    return [
        shared_desk.upload(f"ledger-{n:02}.txt", ledger(40, *([GLAZIER] if n == 17 else []), name=f"n{n}"))
        for n in range(30)
    ]


@pytest.fixture
def desk(shared_desk: Desk) -> Desk:
    shared_desk.engine.reset()
    return shared_desk


def system(content: str) -> dict[str, Any]:
    return {"role": "system", "content": content}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def about(*file_ids: str, question: str = "What did the cooper of Lindisfarne charge?") -> list[dict[str, Any]]:
    return [system(ROLE), system(",".join(f"fileid://{file_id}" for file_id in file_ids)), user(question)]


def ask(desk: Desk, messages: list[dict[str, Any]], model: str = "qwen-long", **wanted: Any) -> Any:
    return desk.client.chat.completions.create(model=model, messages=messages, extra_body={"bookwheel": wanted})  # type: ignore[arg-type]


def last_chunk(desk: Desk, messages: list[dict[str, Any]], model: str = "qwen-long", **wanted: Any) -> Any:
    *_, last = desk.client.chat.completions.create(  # type: ignore[call-overload]
        model=model, messages=messages, stream=True, extra_body={"bookwheel": wanted}
    )
    return last


def refusal(desk: Desk, messages: list[dict[str, Any]], model: str = "qwen-long", **wanted: Any) -> str:
    with pytest.raises(BadRequestError) as caught:
        ask(desk, messages, model, **wanted)
    return str(caught.value.body["message"])  # type: ignore[index]


def sent(desk: Desk) -> list[dict[str, Any]]:
    """The messages that the engine was sent last."""
    return desk.engine.requests[-1]["messages"]


def shown(desk: Desk) -> str:
    """What the engine was shown of the documents, with their frames."""
    opening = content_of(sent(desk)[0])
    assert opening.startswith(f"{ROLE}\n\n{INSTRUCTION}\n\n")
    return opening.removeprefix(f"{ROLE}\n\n{INSTRUCTION}\n\n")


def context_of(answer: Any) -> dict[str, Any]:
    context: dict[str, Any] = answer.bookwheel["context"]
    return context


def post(desk: Desk, messages: list[dict[str, Any]], wanted: dict[str, Any], **more: Any) -> http.client.HTTPConnection:
    """Send a question over a connection of its own, which the test may read from or close at any time."""
    connection = http.client.HTTPConnection(urlsplit(desk.server.url).netloc, timeout=60)
    body = {"model": "narrow", "messages": messages, "bookwheel": wanted} | more
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    return connection


# Which reading


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("reading", ["full", "relevant", "overview", "thorough"])
def test_a_request_is_read_as_it_asks_streamed_or_not(desk: Desk, long_file: str, reading: str, streamed: bool) -> None:
    answer = (last_chunk if streamed else ask)(desk, about(long_file), reading=reading, budget_tokens=2_000)
    context = context_of(answer)
    assert (context["reading"], context["reason"]) == (reading, "asked for")
    (read,) = context["files"]
    assert (read["file_id"], read["filename"]) == (long_file, "ledger.txt")
    if reading == "full":
        assert context["coverage"] == 1.0
        assert (read["selected_tokens"], read["anchors"]) == (read["tokens"], [])


@pytest.mark.parametrize(
    ("model", "question", "reading", "reason"),
    [
        ("qwen-long", "What did the cooper charge?", "full", "fit"),
        ("qwen-long", "Summarise this.", "full", "fit"),
        ("narrow", "What did the cooper charge?", "relevant", "the budget is"),
        ("narrow", "箍桶匠收了多少钱？", "relevant", "the budget is"),
        ("narrow", "Summarise this.", "overview", "about the whole"),
        ("narrow", "请总结这份文件。", "overview", "about the whole"),
        ("thrifty", "What did the cooper charge?", "relevant", "the budget is 1500"),
    ],
)
def test_auto_reads_all_that_fits_and_else_what_the_question_is_about(
    desk: Desk, long_file: str, model: str, question: str, reading: str, reason: str
) -> None:
    messages = about(long_file, question=question)
    for answer in (ask(desk, messages, model), ask(desk, messages, model, reading="auto")):
        context = context_of(answer)
        assert context["reading"] == reading
        assert reason in context["reason"]


def test_auto_keeps_to_a_budget_that_the_documents_do_not_fit(desk: Desk, long_file: str) -> None:
    assert context_of(ask(desk, about(long_file), budget_tokens=1_000))["reading"] == "relevant"
    assert context_of(ask(desk, about(long_file), budget_tokens=100_000))["reading"] == "full"


def test_a_request_s_budget_wins_over_the_engine_s_and_the_window_over_both(desk: Desk, long_file: str) -> None:
    assert context_of(ask(desk, about(long_file), "thrifty"))["budget_tokens"] == 1_500
    assert context_of(ask(desk, about(long_file), "thrifty", budget_tokens=3_000))["budget_tokens"] == 3_000
    assert context_of(ask(desk, about(long_file), "narrow", budget_tokens=100_000))["budget_tokens"] < 6_000


@pytest.mark.parametrize(
    "wanted", [{"reading": "quick"}, {"budget_tokens": 63}, {"budget_tokens": "all"}, {"depth": 2}]
)
def test_an_option_that_is_not_one_is_refused_by_its_name(desk: Desk, long_file: str, wanted: dict[str, Any]) -> None:
    assert "bookwheel" in refusal(desk, about(long_file), **wanted)
    assert desk.engine.requests == []


def test_full_is_refused_where_it_does_not_fit_with_what_to_do_instead(desk: Desk, long_file: str) -> None:
    tokens = context_of(ask(desk, about(long_file)))["document_tokens"]
    message = refusal(desk, about(long_file), "narrow", reading="full")
    assert message.startswith("Total message token length exceed model limit (6000 tokens): ")
    assert "reading relevant, overview or thorough" in message
    (whole,) = re.findall(r"the documents take (\d+) tokens", message)
    assert tokens < int(whole) < tokens + 50


def test_a_conversation_that_leaves_no_room_for_documents_is_refused(desk: Desk, long_file: str) -> None:
    message = refusal(desk, about(long_file, question="word " * 5_600), "narrow")
    assert message.startswith("Total message token length exceed model limit (6000 tokens): ")
    assert "no room for documents" in message


# Relevant


@pytest.mark.parametrize("model", ["qwen-long", "narrow"])
def test_the_sentence_that_a_question_is_about_is_found_in_a_long_document(
    desk: Desk, long_file: str, model: str
) -> None:
    answer = ask(desk, about(long_file), model, reading="relevant", budget_tokens=600)
    assert COOPER in shown(desk)
    assert "Entry 0 of ledger a" not in shown(desk)
    context = context_of(answer)
    assert 0 < context["coverage"] < 0.1
    assert 0 <= context["support"] <= 1


@pytest.mark.parametrize("reading", ["relevant", "overview"])
@pytest.mark.parametrize("budget_tokens", [500, 2_000, 4_000])
@pytest.mark.parametrize("count", [1, 5, 30])
def test_what_is_shown_keeps_to_the_budget(
    desk: Desk, long_file: str, files: list[str], reading: str, budget_tokens: int, count: int
) -> None:
    named = [long_file] if count == 1 else files[:count]
    question = "How many loaves were given to the poor?"
    answer = ask(desk, about(*named, question=question), reading=reading, budget_tokens=budget_tokens)
    spent = count_tokens(shown(desk))
    assert spent <= FRAMES * budget_tokens + 16
    assert spent >= budget_tokens / 2
    context = context_of(answer)
    assert context["budget_tokens"] == budget_tokens
    assert context["selected_tokens"] == sum(read["selected_tokens"] for read in context["files"]) <= spent


@pytest.mark.parametrize("reading", ["relevant", "overview"])
def test_every_file_is_shown_named_or_counted(desk: Desk, files: list[str], reading: str) -> None:
    messages = about(*files, question="What did the glazier of Lindisfarne take?")
    answer = ask(desk, messages, reading=reading, budget_tokens=2_000)
    text = shown(desk)
    framed = set(re.findall(r'<document name="(ledger-\d\d\.txt)">', text))
    assert framed == {read["filename"] for read in context_of(answer)["files"] if read["selected_tokens"]}
    listed = re.search(r"\(Nothing is shown of: (.*)\.\)", text)
    names = set(listed[1].split(", ")) if listed else set()
    counted = sum(int(name.split()[0]) for name in names if re.fullmatch(r"\d+ (more|documents?)", name))
    assert len(framed) + len({name for name in names if name.startswith("ledger-")} - framed) + counted == 30
    assert [read["file_id"] for read in context_of(answer)["files"]] == files


def test_the_file_that_holds_the_answer_is_found_among_thirty(desk: Desk, files: list[str]) -> None:
    messages = about(*files, question="What did the glazier of Lindisfarne take?")
    answer = ask(desk, messages, reading="relevant", budget_tokens=1_000)
    assert GLAZIER in shown(desk)
    (best,) = [read for read in context_of(answer)["files"] if read["filename"] == "ledger-17.txt"]
    assert best["selected_tokens"] > 0
    assert best["anchors"]


@pytest.mark.parametrize("reading", ["full", "relevant", "overview"])
def test_the_same_request_is_laid_out_the_same_way_again(desk: Desk, files: list[str], reading: str) -> None:
    for _ in range(2):
        ask(desk, about(*files[:5]), reading=reading, budget_tokens=2_000)
    first, second = (request["messages"] for request in desk.engine.requests)
    assert first == second


def test_excerpts_stand_in_the_document_s_order_as_they_are_there(desk: Desk, long_file: str) -> None:
    ask(desk, about(long_file, question="Which miller of Wells paid rent?"), reading="relevant", budget_tokens=2_000)
    numbers = [int(number) for number in re.findall(r"Entry (\d+) of", shown(desk))]
    assert numbers == sorted(set(numbers))
    text = desk.client.files.content(long_file).text
    body = re.sub(r"</?document.*?>", "", shown(desk))
    pieces = [piece.strip() for piece in re.split(r"^(?:…|\[.*\])$", body, flags=re.MULTILINE)]
    assert all(piece in text for piece in pieces)


# Documents given in the request


def test_text_and_json_in_the_request_are_searched_like_files(desk: Desk, long_file: str) -> None:
    rows = [{"lot": n, "keeper": f"{TRADES[n % 10]} {n}", "fee": n * 37 % 911} for n in range(400)]
    rows[222]["keeper"] = "Aldhelm the ropemaker of Jarrow"
    messages = [
        system(ROLE),
        system(f"fileid://{long_file}"),
        system(ledger(400, GLAZIER, name="b")),
        system(json.dumps({"rows": rows}, indent=1)),
        user(
            "What did the glazier and the cooper of Lindisfarne take, and which lot has Aldhelm the ropemaker of Jarrow?"
        ),
    ]
    answer = ask(desk, messages, reading="relevant", budget_tokens=1_500)
    assert all(sentence in shown(desk) for sentence in (COOPER, GLAZIER, "Aldhelm the ropemaker"))
    names = [(read["file_id"], read["filename"]) for read in context_of(answer)["files"]]
    assert names == [(long_file, "ledger.txt"), (None, "text 1"), (None, "JSON 2")]
    assert count_tokens(shown(desk)) <= FRAMES * 1_500


def test_a_text_of_two_megabytes_in_the_request_is_searched_and_cited(desk: Desk) -> None:
    text = ledger(19_500, COOPER)
    assert len(text) > 2_000_000
    desk.engine.behave = answer_words(["The cooper of Lindisfarne charged eleven florins."])
    messages = [system(ROLE), system(text), user("What did the cooper of Lindisfarne charge?")]
    answer = ask(desk, messages, citations=True, budget_tokens=1_000)
    assert context_of(answer)["reading"] == "relevant"
    assert COOPER in shown(desk)
    (citation,) = answer.bookwheel["citations"]
    assert text[citation["start"] : citation["end"]] == citation["quote"] == COOPER
    assert citation["anchor"] == f"line {1 + text[: citation['start']].count(chr(10))}"
    assert list((desk.server.data_dir / "incoming").iterdir()) == []


# Overview


def test_an_overview_covers_the_beginning_the_middle_and_the_end(desk: Desk, long_file: str) -> None:
    ask(desk, about(long_file, question="What is this about?"), reading="overview", budget_tokens=1_500)
    numbers = [int(number) for number in re.findall(r"Entry (\d+) of", shown(desk))]
    assert 0 in numbers
    assert all(any(start <= number < start + 100 for number in numbers) for start in range(0, 400, 100))
    assert len(desk.engine.requests) == 1


# Thorough


def take_notes(answer: str, keep: str = "Lindisfarne") -> Behaviour:
    """Note every line about Lindisfarne; answer the question at the end."""

    async def behave(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        opening, asked = content_of(body["messages"][0]), content_of(body["messages"][-1])
        if not opening.startswith("You take notes"):
            return await answer_words([answer])(request, body)
        noted = [line for line in asked.splitlines() if keep in line and not line.startswith("Question: ")]
        return await answer_words(["\n".join(noted) or "NONE"])(request, body)

    return behave


def calls_for_notes(desk: Desk) -> list[str]:
    """What the engine was shown when it was asked for notes."""
    asked = [request["messages"] for request in desk.engine.requests]
    return [content_of(messages[-1]) for messages in asked if content_of(messages[0]).startswith("You take notes")]


def test_thorough_shows_the_engine_every_part_and_then_its_notes(desk: Desk) -> None:
    file_id = desk.upload("ledger.txt", ledger(400, COOPER, GLAZIER, name="thorough"))
    desk.engine.behave = take_notes("The cooper of Lindisfarne charged eleven florins.")
    answer = ask(desk, about(file_id), "narrow", reading="thorough", citations=True)
    read = "\n".join(calls_for_notes(desk))
    assert len(calls_for_notes(desk)) > 1
    assert sorted(int(number) for number in re.findall(r"Entry (\d+) of", read)) == list(range(400))
    assert COOPER in shown(desk)
    assert GLAZIER in shown(desk)
    assert "Entry" not in shown(desk)
    context = context_of(answer)
    assert (context["reading"], context["coverage"]) == ("thorough", 1.0)
    told = context["thorough"]
    assert (told["calls"], told["reused"], told["unread"]) == (len(calls_for_notes(desk)), 0, 0)
    assert told["parts"] > 1
    (citation,) = answer.bookwheel["citations"]
    content = desk.client.files.content(file_id).text
    assert content[citation["start"] : citation["end"]] == citation["quote"] == COOPER


def test_notes_that_are_longer_than_the_budget_are_shortened_to_it(desk: Desk) -> None:
    file_id = desk.upload("ledger.txt", ledger(200, COOPER, name="shortened"))
    desk.engine.behave = take_notes("Eleven florins.", keep="florins")
    ask(desk, about(file_id), "narrow", reading="thorough", budget_tokens=1_000)
    few = shown(desk)
    desk.engine.behave = take_notes("Eleven florins.", keep="pence")
    question = "What did the cooper of Lindisfarne charge, and what the others?"
    ask(desk, about(file_id, question=question), "narrow", reading="thorough", budget_tokens=1_000)
    assert count_tokens(few) < count_tokens(shown(desk)) <= 1_050


def test_notes_are_reused_when_the_same_is_asked_again(desk: Desk) -> None:
    file_id = desk.upload("ledger.txt", ledger(300, COOPER, name="again"))
    desk.engine.behave = take_notes("Eleven florins.")
    first = ask(desk, about(file_id), "narrow", reading="thorough")
    made = sent(desk)
    desk.engine.requests.clear()
    second = ask(desk, about(file_id), "narrow", reading="thorough")
    assert [request["messages"] for request in desk.engine.requests] == [made]
    told = context_of(second)["thorough"]
    assert (told["calls"], told["reused"]) == (0, context_of(first)["thorough"]["calls"])


def comments_of(desk: Desk, messages: list[dict[str, Any]]) -> list[str]:
    """What the stream says of its progress before the first chunk."""
    connection = post(desk, messages, {"reading": "thorough"}, stream=True)
    raw = connection.getresponse().read().decode()
    connection.close()
    before, data = raw.split("data: ", 1)
    assert raw.endswith("data: [DONE]\n\n")
    assert ": reading" not in data
    return [line for line in before.split("\n\n") if line.startswith(": reading ")]


def test_progress_comes_as_comments_before_the_first_chunk_also_where_notes_are_reused(desk: Desk) -> None:
    file_id = desk.upload("ledger.txt", ledger(300, COOPER, name="progress"))
    desk.engine.behave = take_notes("Eleven florins.")
    comments = comments_of(desk, about(file_id))
    total = len(calls_for_notes(desk))
    assert comments == [f": reading {done} of {total}" for done in range(total + 1)]
    assert comments_of(desk, about(file_id)) == comments
    assert len(calls_for_notes(desk)) == total


def test_the_stock_client_reads_past_the_comments(desk: Desk) -> None:
    file_id = desk.upload("ledger.txt", ledger(200, COOPER, name="stock"))
    desk.engine.behave = take_notes("Eleven florins.")
    last = last_chunk(desk, about(file_id), "narrow", reading="thorough", citations=True)
    assert context_of(last)["thorough"]["parts"] > 1


@pytest.mark.parametrize("streamed", [False, True])
def test_leaving_while_the_engine_reads_ends_its_calls(desk: Desk, streamed: bool) -> None:
    file_id = desk.upload("ledger.txt", ledger(300, COOPER, name=f"leaving-{streamed}"))
    desk.engine.behave = hold_until(threading.Event(), answer_words([]))
    connection = post(desk, about(file_id), {"reading": "thorough"}, stream=streamed)
    assert desk.engine.started.wait(30)
    connection.close()
    assert desk.engine.cancelled.wait(30)
    desk.engine.behave = answer_words(["Done"])
    ask(desk, about(file_id), reading="full")
    calls = [request for request in desk.engine.requests if "notes" in content_of(request["messages"][0])]
    assert len(calls) <= CALLS_AT_ONCE, "calls went on"


def test_an_engine_that_quotes_cannot_read_thoroughly_and_the_report_says_so(desk: Desk, long_file: str) -> None:
    answer = ask(desk, about(long_file), "quotes", reading="thorough")
    context = context_of(answer)
    assert (context["reading"], context["reason"]) == ("relevant", "the engine quotes quotes and takes no notes")
    assert "eleven florins" in answer.choices[0].message.content


# Follow-up questions


def test_a_follow_up_question_is_searched_with_what_was_asked_before(desk: Desk, long_file: str) -> None:
    messages = [*about(long_file), {"role": "assistant", "content": "Eleven florins."}, user("And for which thing?")]
    ask(desk, messages, reading="relevant", budget_tokens=600)
    assert COOPER in shown(desk)
    assert sent(desk)[-1] == user("And for which thing?")


# Citations


@pytest.mark.parametrize("reading", ["full", "relevant"])
def test_citations_come_with_the_last_chunk_and_as_annotations(desk: Desk, long_file: str, reading: str) -> None:
    desk.engine.behave = answer_words(["The cooper of Lindisfarne charged eleven florins. ", "Bananas ripen indoors."])
    wanted: dict[str, Any] = {"reading": reading, "citations": True, "budget_tokens": 1_000}
    whole, last = ask(desk, about(long_file), **wanted), last_chunk(desk, about(long_file), **wanted)
    assert whole.bookwheel["citations"] == last.bookwheel["citations"]
    (citation,) = whole.bookwheel["citations"]
    content = desk.client.files.content(long_file).text
    assert content[citation["start"] : citation["end"]] == citation["quote"] == COOPER
    assert citation["anchor"] == f"line {content.splitlines().index(COOPER) + 1}"
    (annotation,) = (noted.model_dump() for noted in whole.choices[0].message.annotations)
    assert (annotation["type"], annotation["file_id"], annotation["quote"]) == ("file_citation", long_file, COOPER)
    assert annotation["index"] == citation["answer_end"]


@pytest.mark.parametrize("reading", ["full", "relevant"])
def test_a_citation_of_a_pdf_names_the_page(desk: Desk, reading: str) -> None:
    told = [COOPER, "The weaver of Selby owed a bolt of scarlet cloth.", GLAZIER]
    pages = pdf([Sheet(lines(60, 700, [sentence])) for sentence in told])
    file_id = desk.client.files.create(file=("trades.pdf", pages), purpose="user_data").id
    desk.engine.behave = answer_words(
        ["The glazier of Lindisfarne took nine ducats. ", "The weaver owed scarlet cloth."]
    )
    messages = about(
        file_id, question="What did the glazier of Lindisfarne take, and what did the weaver of Selby owe?"
    )
    answer = ask(desk, messages, reading=reading, citations=True, budget_tokens=1_000)
    cited = [(citation["quote"], citation["anchor"]) for citation in answer.bookwheel["citations"]]
    assert cited == [(told[2], "page 3"), (told[1], "page 2")]
    content = desk.client.files.content(file_id).text
    assert all(content[c["start"] : c["end"]] == c["quote"] for c in answer.bookwheel["citations"])
    if reading == "relevant":
        assert set(context_of(answer)["files"][0]["anchors"]) <= {"page 1", "page 2", "page 3"}
        assert "[page 3]" in shown(desk)


# What the answer says of it


@pytest.mark.parametrize("reading", ["full", "relevant", "overview", "thorough"])
def test_show_context_gives_the_very_messages_that_the_engine_got(desk: Desk, long_file: str, reading: str) -> None:
    wanted: dict[str, Any] = {"reading": reading, "show_context": True, "budget_tokens": 2_000}
    whole = ask(desk, about(long_file), **wanted)
    assert whole.bookwheel["messages"] == sent(desk)
    last = last_chunk(desk, about(long_file), **wanted)
    assert last.bookwheel["messages"] == sent(desk)


def test_the_report_says_what_was_shown_of_each_file_and_what_that_took(desk: Desk, files: list[str]) -> None:
    answer = ask(
        desk, about(*files[:3], question="How many loaves did Ely give?"), reading="relevant", budget_tokens=900
    )
    context = context_of(answer)
    assert set(context) == {
        "reading", "engine", "reason", "window_tokens", "budget_tokens", "document_tokens", "selected_tokens", "coverage",
        "files",
        "milliseconds", "support",
    }  # fmt: skip
    assert context["document_tokens"] == sum(read["tokens"] for read in context["files"])
    assert context["coverage"] == pytest.approx(context["selected_tokens"] / context["document_tokens"], abs=1e-4)
    assert set(context["milliseconds"]) == {"waiting", "searching", "assembling", "counting"}
    lines = {read["file_id"]: desk.client.files.content(read["file_id"]).text.splitlines() for read in context["files"]}
    for read in context["files"]:
        starts = [lines[read["file_id"]][int(anchor.removeprefix("line ")) - 1] for anchor in read["anchors"]]
        assert all(start.split(",")[0] in shown(desk) for start in starts)
        assert bool(starts) == bool(read["selected_tokens"])
    assert "messages" not in answer.bookwheel
    assert "citations" not in answer.bookwheel


def test_questions_side_by_side_each_get_their_own_excerpts(desk: Desk, files: list[str]) -> None:
    found: dict[int, bool] = {}

    def read(number: int) -> None:
        messages = about(*files, question=f"What does entry 7 of ledger n{number} say?")
        answer = ask(desk, messages, reading="relevant", budget_tokens=1_000, show_context=True)
        found[number] = f"n{number}" in content_of(answer.bookwheel["messages"][0])

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(8), True)
