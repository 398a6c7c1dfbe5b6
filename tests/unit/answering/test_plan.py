"""How documents are read follows from what was asked for, what the question is about, and what there is room for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.answering.plan import LEAST_BUDGET_TOKENS, Room, asks_about_whole, plan_reading
from bookwheel.errors import InvalidRequest
from bookwheel.wire.chat import ReadingChoice

ROOM = Room(window_tokens=10_000, said_tokens=400, reserve_tokens=1_500, set_tokens=None)
MOST = 8_000
WHOLE = "Summarise this."
POINTED = "Who built the mill?"


@pytest.mark.parametrize(
    ("question", "whole_tokens", "reading"),
    [
        (POINTED, MOST, "full"),
        (WHOLE, MOST, "full"),
        (POINTED, MOST + 1, "relevant"),
        (WHOLE, MOST + 1, "overview"),
        ("", MOST + 1, "relevant"),
    ],
)
def test_auto_takes_all_that_fits_else_what_the_question_is_about(
    question: str, whole_tokens: int, reading: str
) -> None:
    plan = plan_reading("auto", question, whole_tokens, ROOM)
    assert (plan.reading, plan.budget_tokens) == (reading, MOST)
    assert plan.reason


@pytest.mark.parametrize("choice", ["relevant", "overview", "thorough"])
@pytest.mark.parametrize("whole_tokens", [10, 1_000_000])
def test_a_reading_that_was_asked_for_is_taken_whatever_the_size(choice: ReadingChoice, whole_tokens: int) -> None:
    plan = plan_reading(choice, WHOLE, whole_tokens, ROOM)
    assert (plan.reading, plan.reason) == (choice, "asked for")


@given(st.sampled_from([POINTED, WHOLE, ""]), st.integers(0, 10**7))
def test_auto_never_takes_the_reading_that_takes_many_calls(question: str, whole_tokens: int) -> None:
    assert plan_reading("auto", question, whole_tokens, ROOM).reading != "thorough"


def test_full_fits_the_window_to_the_last_token_or_is_refused_with_the_sizes() -> None:
    assert plan_reading("full", POINTED, MOST, ROOM).reading == "full"
    with pytest.raises(InvalidRequest) as refused:
        plan_reading("full", POINTED, MOST + 1, ROOM)
    assert all(size in refused.value.message for size in ("(10000 tokens)", "8001", "400", "1500"))


def test_full_is_bound_by_the_window_and_not_by_a_budget() -> None:
    room = Room(10_000, 400, 1_500, set_tokens=100)
    assert plan_reading("full", POINTED, MOST, room).reading == "full"
    assert plan_reading("auto", POINTED, MOST, room).reading == "relevant"


@pytest.mark.parametrize(("set_tokens", "budget"), [(None, MOST), (500, 500), (50_000, MOST)])
def test_the_budget_is_what_was_set_but_never_more_than_there_is_room_for(set_tokens: int | None, budget: int) -> None:
    assert plan_reading("relevant", POINTED, 10**6, Room(10_000, 400, 1_500, set_tokens)).budget_tokens == budget


@pytest.mark.parametrize("choice", ["auto", "full", "relevant", "overview", "thorough"])
def test_a_conversation_that_leaves_no_room_is_refused_whatever_the_reading(choice: ReadingChoice) -> None:
    room = Room(10_000, 8_400 - LEAST_BUDGET_TOKENS + 1, 1_500, None)
    with pytest.raises(InvalidRequest, match="leaves no room for documents"):
        plan_reading(choice, POINTED, 5, room)
    assert plan_reading(choice, POINTED, 5, Room(10_000, 8_400 - LEAST_BUDGET_TOKENS, 1_500, None))


@pytest.mark.parametrize(("budget", "listed"), [(64, 0), (1_999, 0), (2_000, 40), (8_000, 160)])
def test_a_small_part_of_a_budget_may_name_what_is_not_shown_and_none_of_a_small_one(budget: int, listed: int) -> None:
    assert plan_reading("relevant", POINTED, 10**6, Room(10_000, 400, 1_500, budget)).listed_tokens == listed


@pytest.mark.parametrize(
    "question",
    [
        "Summarise this.",
        "Please summarize the document in 5 bullet points",
        "What is this document about?",
        "What is the attached contract about?",
        "What does this report cover?",
        "What are the main points of these papers?",
        "Compare the two reports.",
        "Give me an overview of all files",
        "TL;DR",
        "请总结一下这份文件",
        "這篇文章的主要內容是什麼？",
        "概括全文",
        "这本书讲了什么？",
        "两份合同有什么异同？",
        "写一份会议纪要",
    ],
)
def test_a_question_about_the_whole_is_told(question: str) -> None:
    assert asks_about_whole(question)


@pytest.mark.parametrize(
    "question",
    [
        "Who built the mill?",
        "Summarise what Dr. Okonkwo said about the remote control's price",
        "What is the main reason that Elizabeth refused Mr. Collins?",
        "Compare Adobe's revenue in 2021 and 2022",
        "总结林默在灯塔上的三十年里做过的修理",
        "软枝黄蝉的别名是什么？",
        "",
    ],
)
def test_a_question_that_names_something_is_not_about_the_whole(question: str) -> None:
    assert not asks_about_whole(question)


def test_documents_that_an_engine_keeps_are_shown_whole_beyond_the_set_budget() -> None:
    room = Room(10_000, 400, 1_500, set_tokens=2_000, whole_tokens=6_000)
    whole = plan_reading("auto", POINTED, 6_000, room)
    assert (whole.reading, whole.budget_tokens) == ("full", 6_000)
    excerpts = plan_reading("auto", POINTED, 6_001, room)
    assert (excerpts.reading, excerpts.budget_tokens) == ("relevant", 2_000)
    asked = plan_reading("relevant", POINTED, 5_000, room)
    assert (asked.reading, asked.budget_tokens) == ("relevant", 2_000)


def test_documents_that_an_engine_keeps_must_fit_its_window() -> None:
    room = Room(4_000, 400, 1_500, set_tokens=1_000, whole_tokens=6_000)
    assert plan_reading("auto", POINTED, room.most_tokens, room).reading == "full"
    assert plan_reading("auto", POINTED, room.most_tokens + 1, room).reading == "relevant"
