"""A client names or gives its documents in any of the forms that Qwen-Long's clients use."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.answering.conversation import (
    Conversation,
    FileReference,
    InlineDocument,
    Message,
    read_conversation,
    text_of,
    with_last_documents,
)
from bookwheel.errors import InvalidRequest

A, B, C = FileReference("file-fe-a"), FileReference("file-fe-b"), FileReference("file-fe-c")


def system(content: Any) -> Message:
    return {"role": "system", "content": content}


def user(content: Any) -> Message:
    return {"role": "user", "content": content}


def assistant(content: str) -> Message:
    return {"role": "assistant", "content": content}


ROLE = system("You are a helpful assistant.")
QUESTION = user("What is it about?")
ABC = "fileid://file-fe-a,fileid://file-fe-b,fileid://file-fe-c"

FORMS: dict[str, tuple[list[Message], list[FileReference | InlineDocument]]] = {
    "no documents": ([ROLE, QUESTION], []),
    "one file": ([ROLE, system("fileid://file-fe-a"), QUESTION], [A]),
    "several files with commas": ([ROLE, system(ABC), QUESTION], [A, B, C]),
    "spaces around the commas": ([ROLE, system(" fileid://file-fe-a , fileid://file-fe-b "), QUESTION], [A, B]),
    "full-width commas": ([ROLE, system("fileid://file-fe-a，fileid://file-fe-b、fileid://file-fe-c"), QUESTION], [A, B, C]),
    "line ends": ([ROLE, system("fileid://file-fe-a\nfileid://file-fe-b\n"), QUESTION], [A, B]),
    "a comma at the end": ([ROLE, system("fileid://file-fe-a,"), QUESTION], [A]),
    "a message a file": ([ROLE, system("fileid://file-fe-a"), system("fileid://file-fe-b"), QUESTION], [A, B]),
    "a file named twice": ([ROLE, system(ABC), system("fileid://file-fe-a"), QUESTION], [A, B, C]),
    "files in the first system message": ([system("fileid://file-fe-a,fileid://file-fe-b"), QUESTION], [A, B]),
    "files in lines under the role": ([system("Be brief.\nfileid://file-fe-a\nfileid://file-fe-b"), QUESTION], [A, B]),
    "developer for system": (
        [{"role": "developer", "content": "Be brief."}, {"role": "developer", "content": "fileid://file-fe-a"}, QUESTION],
        [A],
    ),
    "plain text": ([ROLE, system("First chapter. It rained."), QUESTION], [InlineDocument(1, "First chapter. It rained.")]),
    "a JSON string": ([ROLE, system('{"a": ["b", 1]}'), QUESTION], [InlineDocument(1, '{"a": ["b", 1]}')]),
    "several texts": ([ROLE, system("One."), system("Two."), QUESTION], [InlineDocument(1, "One."), InlineDocument(2, "Two.")]),
    "text and files": ([ROLE, system("One."), system("fileid://file-fe-a"), QUESTION], [InlineDocument(1, "One."), A]),
    "text that speaks of a file id": ([ROLE, system("See fileid://file-fe-a."), QUESTION], [InlineDocument(1, "See fileid://file-fe-a.")]),
    "parts for a string": ([ROLE, system([{"type": "text", "text": "fileid://file-fe-a"}]), QUESTION], [A]),
    "a file as a part of the question": (
        [ROLE, user([{"type": "file", "file": {"file_id": "file-fe-a"}}, {"type": "text", "text": "What is it about?"}])],
        [A],
    ),
    "a file part of the role's message": (
        [system([{"type": "text", "text": "Be brief."}, {"type": "file", "file": {"file_id": "file-fe-a"}}]), QUESTION],
        [A],
    ),
    "an empty system message": ([ROLE, system(""), system(" \n"), system(None), QUESTION], []),
    "a file appended in mid-conversation": (
        [ROLE, system("fileid://file-fe-a"), QUESTION, assistant("A."), system("fileid://file-fe-b"), user("And this?")],
        [A, B],
    ),
    "a text appended in mid-conversation": (
        [ROLE, QUESTION, assistant("A."), system("One."), user("And this?")],
        [InlineDocument(1, "One.")],
    ),
    "a file after the last question": ([ROLE, QUESTION, system("fileid://file-fe-a")], [A]),
    "an id that is none": ([ROLE, system("fileid://"), QUESTION], [FileReference("")]),
}  # fmt: skip


@pytest.mark.parametrize(("messages", "documents"), FORMS.values(), ids=FORMS)
def test_documents_are_found_in_every_form(
    messages: list[Message], documents: list[FileReference | InlineDocument]
) -> None:
    conversation = read_conversation(messages)
    assert conversation.documents() == documents
    assert conversation.files() == [source for source in documents if isinstance(source, FileReference)]
    assert with_last_documents(conversation).documents() == documents


ROLES: list[tuple[list[Message], str | None]] = [
    ([ROLE, QUESTION], "You are a helpful assistant."),
    ([system("fileid://file-fe-a"), QUESTION], None),
    ([system("Be brief.\nfileid://file-fe-a\n"), QUESTION], "Be brief."),
    ([system("fileid://file-fe-a\n\nBe brief.\nBe kind.\n"), QUESTION], "Be brief.\nBe kind."),
    ([system("Be brief.\n"), QUESTION], "Be brief.\n"),
    ([system([{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]), QUESTION], "Be brief.\nBe kind."),
    ([{"role": "developer", "content": "Be brief."}, QUESTION], "Be brief."),
    ([system(""), QUESTION], ""),
    ([QUESTION], None),
    ([QUESTION, assistant("A."), system("One."), user("And?")], None),
]  # fmt: skip


@pytest.mark.parametrize(("messages", "role"), ROLES)
def test_the_first_system_message_is_the_role(messages: list[Message], role: str | None) -> None:
    assert read_conversation(messages).role == role


def test_documents_stand_before_the_question_that_follows_them() -> None:
    later = [assistant("A."), system("fileid://file-fe-b"), user("Second?"), assistant("B."), user("Third?")]
    conversation = read_conversation([ROLE, system("fileid://file-fe-a"), user("First?"), *later])
    assert placed(conversation) == [("First?", (A,)), ("A.", ()), ("Second?", (B,)), ("B.", ()), ("Third?", ())]


def test_documents_before_an_answer_wait_for_the_next_question() -> None:
    conversation = read_conversation([user("First?"), system("fileid://file-fe-a"), assistant("A."), user("Second?")])
    assert placed(conversation) == [("First?", ()), ("A.", ()), ("Second?", (A,))]


def test_documents_after_the_last_question_stand_before_it_in_the_end() -> None:
    conversation = read_conversation(
        [ROLE, user("First?"), assistant("A."), user("Second?"), system("fileid://file-fe-a")]
    )
    assert conversation.trailing == (A,)
    assert placed(with_last_documents(conversation)) == [("First?", ()), ("A.", ()), ("Second?", (A,))]
    assert with_last_documents(conversation).trailing == ()


def test_the_question_is_the_last_user_message() -> None:
    conversation = read_conversation([user("First?"), assistant("A."), user("Second?"), assistant("Well,")])
    assert conversation.question == "Second?"


def test_messages_that_are_not_documents_stay_as_they_came() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages: list[Message] = [
        user([{"type": "text", "text": "Look:"}, {"type": "image_url", "image_url": {"url": "data:,"}}]),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "42", "extra": True},
        {"role": "assistant", "content": "Begun", "partial": True},
    ]
    assert [turn.message for turn in read_conversation(messages).turns] == messages


def test_a_file_part_is_taken_out_of_its_message_and_the_rest_stays() -> None:
    text = {"type": "text", "text": "What is it about?"}
    parts = [
        {"type": "file", "file": {"file_id": "file-fe-a"}},
        text,
        {"type": "input_file", "file_id": "file-fe-b", "filename": "b.txt"},
    ]
    message = user(parts)
    conversation = read_conversation([message])
    assert conversation.turns[0].message == user([text])
    assert conversation.turns[0].documents == (A, B)
    assert message == user(parts)  # the request itself is not changed


@pytest.mark.parametrize("file", [None, {}, {"file_id": None}, {"file_id": 7}, {"file_id": ""}, "file-fe-a"])
def test_a_file_part_without_an_id_is_refused(file: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"needs file_id, .* or file_data") as raised:
        read_conversation([ROLE, user([{"type": "text", "text": "?"}, {"type": "file", "file": file}])])
    assert raised.value.param == "messages[1].content[1].file"


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"type": "file", "file": {"file_url": "https://example.org/a.pdf"}}, "messages[0].content[0].file.file_url"),
        ({"type": "input_file", "file_url": "https://example.org/a.pdf"}, "messages[0].content[0].file_url"),
    ],
)
def test_a_file_s_url_is_not_fetched(part: Message, place: str) -> None:
    with pytest.raises(InvalidRequest, match=r"not fetched from URLs here: .* file_data, .* file_id") as raised:
        read_conversation([user([part])])
    assert raised.value.param == place


def test_a_file_knows_where_it_is_named_first() -> None:
    part = {"type": "file", "file": {"file_id": "file-fe-a"}}
    parts = user([{"type": "text", "text": "?"}, part, {"type": "input_file", "file_id": "file-fe-b"}])
    messages = [ROLE, system("fileid://file-fe-c"), parts, user([part])]
    places = {file.file_id: file.place for file in read_conversation(messages).files()}
    first = {"file-fe-c": "messages", "file-fe-a": "messages[2].content[1].file", "file-fe-b": "messages[2].content[2]"}
    assert places == first


ONLY_A, ONLY_B = (user([{"type": "input_file", "file_id": file.file_id}]) for file in (A, B))
ONLY_FILES: dict[str, tuple[list[Message], list[tuple[str, tuple[FileReference, ...]]]]] = {
    "before the question": ([ONLY_A, ONLY_B, QUESTION], [("What is it about?", (A, B))]),
    "after the question": ([QUESTION, ONLY_A], [("What is it about?", (A,))]),
    "between two questions": ([QUESTION, ONLY_A, user("And?")], [("What is it about?", ()), ("And?", (A,))]),
    "with an answer": ([ONLY_A, assistant("Got it."), QUESTION], [("", (A,)), ("Got it.", ()), ("What is it about?", ())]),
    "after an answer": ([QUESTION, assistant("Where?"), ONLY_A], [("What is it about?", ()), ("Where?", ()), ("", (A,))]),
    "and nothing else": ([ROLE, ONLY_A, ONLY_B], [("", (A, B))]),
    "under the system's": ([ROLE, system("fileid://file-fe-c"), ONLY_A, QUESTION], [("What is it about?", (C, A))]),
}  # fmt: skip


@pytest.mark.parametrize(("messages", "turns"), ONLY_FILES.values(), ids=ONLY_FILES)
def test_a_message_of_files_alone_goes_with_the_words_beside_it(
    messages: list[Message], turns: list[tuple[str, tuple[FileReference, ...]]]
) -> None:
    conversation = with_last_documents(read_conversation(messages))
    assert placed(conversation) == turns
    assert all(turn.message["content"] != [] for turn in conversation.turns)  # some engines refuse a list of nothing


def test_the_question_is_the_last_that_the_user_said_in_words() -> None:
    conversation = read_conversation([user("First?"), assistant("A."), user("Second?"), assistant("Which?"), ONLY_A])
    assert conversation.question == "Second?"
    assert conversation.earlier_questions == ("First?",)


@pytest.mark.parametrize("messages", [[ROLE], [ROLE, assistant("A.")], [system("fileid://file-fe-a")], []])
def test_a_request_without_a_user_message_is_refused(messages: list[Message]) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_conversation(messages)
    assert raised.value.message == "The input messages do not contain elements with the role of user."


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain", "plain"),
        (None, ""),
        ([], ""),
        (
            [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text"}, {"type": "text", "text": "b"}],
            "a\n\nb",
        ),
    ],
)
def test_the_text_of_a_message_is_that_of_its_text_parts(content: Any, text: str) -> None:
    assert text_of(user(content)) == text


@given(
    st.lists(st.text("ab7_-", min_size=1, max_size=8), min_size=1, max_size=9),
    st.text(" ,，、;；\n\t", min_size=1, max_size=3),
)
def test_any_separators_part_the_references(names: list[str], separator: str) -> None:
    message = system(separator.join(f"fileid://{name}" for name in names) + separator)
    assert read_conversation([ROLE, message, QUESTION]).files() == [
        FileReference(name) for name in dict.fromkeys(names)
    ]


@given(st.text(alphabet="fileid:/ab,， \n", max_size=60))
def test_a_system_message_is_references_or_a_document_and_nothing_is_lost(text: str) -> None:
    documents = read_conversation([ROLE, system(text), QUESTION]).documents()
    if any(isinstance(source, InlineDocument) for source in documents):
        assert documents == [InlineDocument(1, text)]
    else:
        assert bool(documents) == bool(text.strip())
        assert all(f"fileid://{source.file_id}" in text for source in documents if isinstance(source, FileReference))


ALMOST_REFERENCES = ["fileid://a " * 1000 + "and words", "fileid://a" + " " * 20_000 + "x", "fileid://" * 2000 + " x"]


@pytest.mark.parametrize("number", range(len(ALMOST_REFERENCES)))
def test_a_text_that_only_begins_like_references_is_read_at_once(number: int) -> None:
    """In a process of its own, which can be ended: the time must not grow with every way to part the text."""
    code = (
        "import sys; from bookwheel.answering.conversation import read_conversation;"
        "message = {'role': 'system', 'content': sys.stdin.read()};"
        "read_conversation([message, message, {'role': 'user', 'content': '?'}])"
    )
    subprocess.run([sys.executable, "-c", code], input=ALMOST_REFERENCES[number], text=True, check=True, timeout=20)


def placed(conversation: Conversation) -> list[tuple[str, tuple[FileReference | InlineDocument, ...]]]:
    return [(text_of(turn.message), turn.documents) for turn in conversation.turns]
