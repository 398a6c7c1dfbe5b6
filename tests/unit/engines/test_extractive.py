"""Without any weights a question is answered with the sentences that hold the answer, or with a plain no."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.engines.engine import EngineRequest, ShownDocument, whole_document
from bookwheel.engines.extractive import (
    LEAST_SUPPORT,
    QUOTES,
    QUOTES_OF_WHOLE,
    ExtractiveEngine,
    best_quotes,
    quotes_of_whole,
)

DOCUMENTS = Path(__file__).parents[3] / "demo" / "documents"
CHINESE = whole_document("孔乙己.txt", (DOCUMENTS / "kong-yiji.txt").read_text("utf-8"), 1)
ENGLISH = whole_document("magi.txt", (DOCUMENTS / "the-gift-of-the-magi.txt").read_text("utf-8"), 1)

NOT_THERE = {CHINESE.title: "文档中没有提到。", ENGLISH.title: "The documents do not say."}

ANSWERED = [
    (CHINESE, "“我”从几岁起在咸亨酒店当伙计？", "我从十二岁起"),
    (CHINESE, "一碟茴香豆和两碗酒，孔乙己排出了几文大钱？", "便排出九文大钱"),
    (CHINESE, "孔乙己还欠酒店多少钱？", "还欠十九个钱"),
    (CHINESE, "孔乙己的绰号是怎么来的？", "替他取下一个绰号"),
    (CHINESE, "回字有几样写法？", "回字有四样写法"),
    (CHINESE, "孔乙己的胡子是什么样子的？", "一部乱蓬蓬的花白的胡子"),
    (CHINESE, "谁是站着喝酒而穿长衫的唯一的人？", "孔乙己是站着喝酒而穿长衫的唯一的人"),
    (CHINESE, "盐煮笋要多花几文钱？", "便可以买一碟盐煮笋"),
    (CHINESE, "掌柜把欠账暂时记在哪里？", "暂时记在粉板上"),
    (CHINESE, "“我”为什么被改为专管温酒？", "专管温酒"),
    (ENGLISH, "What did Jim sell to buy the combs?", "I sold the watch"),
    (ENGLISH, "What is the rent of the furnished flat?", "A furnished flat at $8 per week"),
    (ENGLISH, "What was the fob chain made of?", "platinum fob chain"),
    (ENGLISH, "What is the name on the card in the vestibule?", "James Dillingham Young.”"),
    (ENGLISH, "What were the combs made of?", "pure tortoise shell"),
    (ENGLISH, "Who owned the gold watch before Jim?", "his father’s and his grandfather’s"),
    (ENGLISH, "Why did Jim need gloves and an overcoat?", "He needed a new overcoat"),
    (ENGLISH, "Who invented the art of giving Christmas presents?", "They invented the art"),
    (ENGLISH, "At what time was the coffee made?", "At 7 o’clock the coffee was made"),
]

NOT_HELD = [
    (CHINESE, "量子计算机的纠错码怎样实现？"),
    (CHINESE, "公司二〇二三年的营业收入是多少？"),
    (CHINESE, "光合作用需要哪些条件？"),
    (CHINESE, "今年的世界杯冠军是哪支球队？"),
    (ENGLISH, "What is the boiling point of tungsten?"),
    (ENGLISH, "How does photosynthesis convert sunlight?"),
    (ENGLISH, "What is the capital of France?"),
    (ENGLISH, "What is the population of Tokyo?"),
]


@pytest.mark.parametrize(("document", "question", "held"), ANSWERED)
def test_the_sentence_that_holds_the_answer_is_quoted(document: ShownDocument, question: str, held: str) -> None:
    assert held in best_quotes(question, (document,))


@pytest.mark.parametrize(("document", "question", "held"), ANSWERED)
def test_the_right_document_is_quoted_out_of_two(document: ShownDocument, question: str, held: str) -> None:
    quotes = best_quotes(question, (CHINESE, ENGLISH))
    assert held in quotes
    assert f"{document.title}:" in quotes.splitlines()


@pytest.mark.parametrize(("document", "question", "held"), ANSWERED)
def test_quotes_are_sentences_of_the_document_in_its_order(document: ShownDocument, question: str, held: str) -> None:
    quotes = best_quotes(question, (document,)).split("\n")
    places = [document.excerpts[0].text.find(quote) for quote in quotes]
    assert 0 < len(quotes) <= QUOTES
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize(("document", "question"), NOT_HELD)
def test_it_says_so_when_the_document_does_not_hold_the_answer(document: ShownDocument, question: str) -> None:
    assert best_quotes(question, (document,)) == NOT_THERE[document.title]


@pytest.mark.parametrize(
    ("question", "told"),
    [("Who is Jim?", "Name a document"), ("吉姆是谁？", "请在问题中附上文档。"), ("", "Name a document")],
)
def test_it_asks_for_a_document_where_there_is_none(question: str, told: str) -> None:
    assert told in best_quotes(question, ())


@pytest.mark.parametrize("text", ["", " \n\n"])
def test_a_document_without_text_does_not_say(text: str) -> None:
    assert best_quotes("Who is Jim?", (whole_document("empty.txt", text, 0),)) == "The documents do not say."


@given(st.text(alphabet="ab .。?！字\n", max_size=80), st.text(alphabet="ab字 ?", max_size=20))
def test_it_never_invents(text: str, question: str) -> None:
    for line in best_quotes(question, (whole_document("t", text, 1),)).split("\n"):
        assert line in text or line in (*NOT_THERE.values(), "文档中没有提到。")


async def test_the_engine_answers_whole_and_streamed_alike() -> None:
    engine = ExtractiveEngine("quotes", window_tokens=1000, max_output_tokens=100)
    question = "What were the combs made of?"
    request = EngineRequest([{"role": "user", "content": question}], {}, question, (ENGLISH,))
    completion = await engine.complete(request)
    chunks = [chunk async for chunks in engine.stream(request) for chunk in chunks]
    content = completion["choices"][0]["message"]["content"]
    assert content == best_quotes(question, (ENGLISH,))
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == content


@pytest.mark.parametrize(("document", "question", "held"), ANSWERED[:2] + ANSWERED[-2:])
def test_it_abstains_where_the_files_hold_too_little_of_the_question(
    document: ShownDocument, question: str, held: str
) -> None:
    assert best_quotes(question, (document,), LEAST_SUPPORT - 0.01) == NOT_THERE[document.title]
    assert held in best_quotes(question, (document,), LEAST_SUPPORT)


def test_where_the_files_hold_the_question_it_quotes_however_little_one_sentence_has_of_it() -> None:
    question = "Which tungsten filaments of the lamps of Edison did Jim sell?"
    assert best_quotes(question, (ENGLISH,)) == NOT_THERE[ENGLISH.title]
    assert "Jim" in best_quotes(question, (ENGLISH,), 0.9)


@pytest.mark.parametrize("text", ["", "The reed bends."])
def test_support_alone_is_nothing_to_quote(text: str) -> None:
    assert best_quotes("Where is the heron?", (whole_document("a", text, 1),), 1.0) == "The documents do not say."


@pytest.mark.parametrize("document", [CHINESE, ENGLISH])
def test_the_whole_is_answered_with_quotes_from_each_stretch_of_it(document: ShownDocument) -> None:
    text = document.excerpts[0].text
    quotes = quotes_of_whole((document,)).split("\n")
    places = [text.find(quote) for quote in quotes]
    assert -1 not in places
    assert places == sorted(places)
    assert len(quotes) >= QUOTES_OF_WHOLE
    assert places[0] < len(text) / 3
    assert places[-1] > len(text) / 2


def test_the_whole_of_several_documents_is_quoted_under_their_names() -> None:
    quotes = quotes_of_whole((CHINESE, ENGLISH)).splitlines()
    assert quotes.index(f"{CHINESE.title}:") < quotes.index(f"{ENGLISH.title}:")


def test_what_comes_again_stands_for_the_whole() -> None:
    lines = ["A heron waits by the mill.", "So it goes.", "Oh well.", "The heron left the mill.", "Who knows?"]
    text = "\n\n".join([*lines, *("Still the heron and the mill.", "Be it so.", "Again a mill and a heron.", "Oh no.")])
    quotes = quotes_of_whole((whole_document("a", text, 1),)).splitlines()
    assert sum("heron" in quote for quote in quotes) >= 4


@pytest.mark.parametrize(("text", "expected"), [("", ""), (" \n", ""), ("One.", "One."), ("One. Two.", "One.\nTwo.")])
def test_the_whole_of_little_is_all_of_it(text: str, expected: str) -> None:
    assert quotes_of_whole((whole_document("a", text, 1),)) == expected


@pytest.mark.parametrize(
    ("is_about_whole", "support", "expected"),
    [
        (True, 0.0, quotes_of_whole((ENGLISH,))),
        (False, 0.0, "The documents do not say."),
        (False, 1.0, best_quotes("What were the combs made of?", (ENGLISH,))),
    ],
)
async def test_the_engine_answers_by_what_it_is_told_of_the_question(
    is_about_whole: bool, support: float, expected: str
) -> None:
    engine = ExtractiveEngine("quotes", window_tokens=1000, max_output_tokens=100)
    question = "What were the combs made of?"
    messages = [{"role": "user", "content": question}]
    request = EngineRequest(messages, {}, question, (ENGLISH,), support=support, is_about_whole=is_about_whole)
    assert (await engine.complete(request))["choices"][0]["message"]["content"] == expected


async def test_the_whole_of_no_documents_is_asked_for() -> None:
    engine = ExtractiveEngine("quotes", window_tokens=1000, max_output_tokens=100)
    request = EngineRequest([{"role": "user", "content": "Sum it up"}], {}, "Sum it up", is_about_whole=True)
    assert "Name a document" in (await engine.complete(request))["choices"][0]["message"]["content"]


async def test_it_is_always_ready() -> None:
    engine = ExtractiveEngine("quotes", window_tokens=1000, max_output_tokens=100)
    await engine.start()
    assert (await engine.health()).ready
    await engine.close()
