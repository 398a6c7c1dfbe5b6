"""Where a prompt ends to be the same for the next question, under templates of all kinds."""

from collections.abc import Callable
from typing import Any

import pytest

from bookwheel.engines.engine import EngineRequest, Excerpt, Message, ShownDocument, whole_document
from bookwheel.engines.prompt_prefixes import conversation_path, find_prefixes, is_worth_keeping

DOCUMENTS = 'Read.\n\n<document name="a">\nThe tide.\n</document>'
LATER = '<document name="b">\nThe moon.\n</document>\n\nAnd now?'
SYSTEM: Message = {"role": "system", "content": DOCUMENTS}

Template = Callable[[dict[str, Any]], str]


def plain(body: dict[str, Any]) -> str:
    return "".join(f"<|{m['role']}|>{m['content']}<|end|>\n" for m in body["messages"]) + "<|assistant|>"


def with_tools_behind_the_system(body: dict[str, Any]) -> str:
    first, *others = body["messages"]
    tools = f"\n\n# Tools {body['tools']}" if body.get("tools") else ""
    return plain({"messages": [first | {"content": first["content"] + tools}, *others]})


def without_a_system_role(body: dict[str, Any]) -> str:
    first, second, *others = body["messages"]
    return plain({"messages": [second | {"content": f"{first['content']}\n\n{second['content']}"}, *others]})


def trimming(body: dict[str, Any]) -> str:
    return plain({"messages": [m | {"content": m["content"].strip()} for m in body["messages"]]})


async def prefixes(template: Template, messages: list[Message], *owners: str, **options: Any) -> list[str]:
    async def render(body: dict[str, Any]) -> str:
        return template(body)

    return [prefix.text for prefix in await find_prefixes(render, {"messages": messages} | options, *owners)]


def asking(question: str, *earlier: Message) -> list[Message]:
    return [SYSTEM, *earlier, {"role": "user", "content": question}]


@pytest.mark.parametrize("template", [plain, with_tools_behind_the_system, without_a_system_role, trimming])
async def test_the_prefix_ends_behind_the_documents_whatever_the_question(template: Template) -> None:
    first = await prefixes(template, asking("How high?"))
    assert first == await prefixes(template, asking("<|end|> 何时？"))
    assert len(first) == 1
    assert first[0].endswith("</document>")
    assert template({"messages": asking("How high?")}).startswith(first[0])


async def test_tools_behind_the_documents_do_not_change_the_prefix() -> None:
    bare = await prefixes(with_tools_behind_the_system, asking("How high?"))
    assert bare == await prefixes(with_tools_behind_the_system, asking("How high?"), tools=["f"])


async def test_documents_that_come_later_make_a_longer_prefix_beside_the_first() -> None:
    earlier: list[Message] = [{"role": "user", "content": "How high?"}, {"role": "assistant", "content": "High."}]
    found = await prefixes(plain, asking(LATER, *earlier))
    assert [text[-30:] for text in found] == [text[-30:] for text in (plain_until("moon"), plain_until("tide"))]
    assert found[0].startswith(found[1])


def plain_until(word: str) -> str:
    whole = plain({"messages": asking(LATER)})
    return whole[: whole.index("</document>", whole.index(word)) + len("</document>")]


async def test_documents_in_parts_are_found() -> None:
    def in_parts(body: dict[str, Any]) -> str:
        return plain(
            {"messages": [m | {"content": "".join(p["text"] for p in m["content"])} for m in body["messages"]]}
        )

    parts = [{"type": "text", "text": f"{DOCUMENTS}\n\n"}, {"type": "text", "text": "How high?"}]
    found = await prefixes(in_parts, [{"role": "user", "content": parts}])
    assert found == [f"<|user|>{DOCUMENTS}"]


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "user", "content": "How high?"}],
        [{"role": "user", "content": None}, {"role": "user", "content": [None, {"type": "image_url"}, {"text": 3}]}],
    ],
)
async def test_without_documents_the_template_is_not_asked(messages: list[Message]) -> None:
    def refuse(_: dict[str, Any]) -> str:
        raise AssertionError

    assert await prefixes(refuse, messages) == []


async def test_a_template_that_leaves_documents_out_or_says_them_otherwise_has_no_prefix() -> None:
    assert await prefixes(lambda _: "Hello", asking("How high?")) == []
    assert await prefixes(lambda body: str(len(body["messages"][0]["content"])), asking("How high?")) == []
    assert await prefixes(lambda body: str(hash(str(body))) + plain(body), asking("How high?")) == []


async def test_the_key_is_another_for_another_engine_account_or_text() -> None:
    async def key(messages: list[Message], *owners: str) -> str:
        async def render(body: dict[str, Any]) -> str:
            return plain(body)

        return (await find_prefixes(render, {"messages": messages}, *owners))[0].key

    question = asking("How high?")
    other = [{"role": "system", "content": DOCUMENTS.replace("tide", "wind")}, *question[1:]]
    keys = [
        await key(question, "engine", "ely"),
        await key(question, "engine", "york"),
        await key(question, "engine 2", "ely"),
        await key(question, "enginee", "ly"),
        await key(other, "engine", "ely"),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == await key(asking("When?"), "engine", "ely")
    assert set("".join(keys)) <= set("0123456789abcdef")


# What is worth keeping

FILE = whole_document("a.txt", "The tide.", 3_000, "file-1")
INLINE = whole_document("text 1", "The tide.", 3_000)
EXCERPTS = ShownDocument("a.txt", (Excerpt("tide", 5),), 90_000, 2_000, "file-1")


@pytest.mark.parametrize(
    ("documents", "fields", "is_worth"),
    [
        ([FILE], {}, True),
        ([FILE, FILE], {}, True),
        ([INLINE], {}, False),
        ([FILE, INLINE], {}, False),
        ([EXCERPTS], {}, False),
        ([FILE, EXCERPTS], {}, False),
        ([EXCERPTS], {"is_about_whole": True}, True),
        ([INLINE], {"is_about_whole": True}, False),
        ([], {}, False),
        ([whole_document("a.txt", "Short.", 255, "file-1")], {}, False),
        ([whole_document("a.txt", "Short.", 128, "file-1")] * 2, {}, True),
        ([FILE], {"options": {"cache_prompt": False}}, False),
        ([FILE], {"account_id": ""}, False),
    ],
)
def test_only_files_that_will_be_shown_in_the_same_words_are_worth_keeping(
    documents: list[ShownDocument], fields: dict[str, Any], is_worth: bool
) -> None:
    asked = {"options": {}, "question": "", "account_id": "ely"} | fields
    request = EngineRequest([], **asked, documents=tuple(documents))
    assert is_worth_keeping(request) is is_worth


# Conversations


def test_a_conversation_that_goes_on_has_the_steps_of_the_one_before() -> None:
    first = EngineRequest(asking("How high?"), {}, "", account_id="ely")
    answer: Message = {"role": "assistant", "content": "High."}
    second = EngineRequest([*first.messages, answer, {"role": "user", "content": "When?"}], {}, "", account_id="ely")
    steps = conversation_path(second)
    assert steps[:2] == conversation_path(first)
    assert [size for _, size in steps] == sorted(size for _, size in steps)
    assert len(steps) == 4


@pytest.mark.parametrize("change", [{"account_id": "york"}, {"options": {"tools": ["f"]}}])
def test_conversations_of_other_accounts_and_with_other_tools_share_no_step(change: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"options": {}, "question": "", "account_id": "ely"}
    first = conversation_path(EngineRequest(asking("How high?"), **fields))
    second = conversation_path(EngineRequest(asking("How high?"), **(fields | change)))
    assert not set(first) & set(second)
