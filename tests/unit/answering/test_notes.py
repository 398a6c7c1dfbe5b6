"""Notes are laid out under their documents, and cut to a budget so that each has its share."""

from hypothesis import given
from hypothesis import strategies as st

from bookwheel.answering.notes import Note, Notes, fit_notes, name_unread, render_notes, tell_apart
from bookwheel.answering.parts import Part
from bookwheel.tokens import count_tokens


def part(document: int = 0, first: str = "page 1", last: str = "page 2", tokens: int = 100) -> Part:
    return Part(document, f"file {document}.pdf", 0, 1, 0, 10, tokens, first, last)


def note(text: str, document: int = 0, first: str = "page 1", last: str = "page 2") -> Note:
    return Note((part(document, first, last),), text)


def test_notes_stand_under_the_titles_and_anchors_of_their_documents() -> None:
    notes = [note("- a", 0), note("- b", 0, "page 3", "page 3"), note("- c", 1, "", "")]
    assert render_notes(notes) == ("## file 0.pdf\n(page 1 to page 2)\n- a\n(page 3)\n- b\n\n## file 1.pdf\n- c")


def test_a_note_on_several_parts_of_a_document_spans_them() -> None:
    merged = Note((part(0, "page 1", "page 2"), part(0, "page 3", "page 9")), "- a")
    assert (merged.title, merged.anchors) == ("file 0.pdf", "page 1 to page 9")


def test_a_note_on_several_documents_names_them() -> None:
    merged = Note(tuple(part(number) for number in range(10)), "- a")
    assert merged.title.startswith("file 0.pdf; file 1.pdf; ")
    assert merged.title.endswith("file 7.pdf …")
    assert merged.anchors == ""


def test_notes_within_the_budget_are_left_alone() -> None:
    notes = [note("- a"), note("- b", 1)]
    assert fit_notes(notes, "What?", count_tokens(render_notes(notes))) == notes


def test_short_notes_stay_whole_where_long_ones_are_cut() -> None:
    long = "\n".join(f"- In the year {1900 + n} the ship sailed to harbour {n}." for n in range(80))
    fitted = fit_notes([note(long), note("- The captain was Ida.", 1), note(long, 2)], "What?", 400)
    texts = [kept.text for kept in fitted]
    assert texts[1] == "- The captain was Ida."
    assert texts[0] == texts[2]
    assert texts[0].endswith("…")
    assert long.startswith(texts[0].removesuffix(" …"))
    assert 300 < count_tokens(render_notes(fitted)) <= 400


def test_where_not_all_can_stay_those_that_bear_on_the_question_do() -> None:
    notes = [note(f"- Harbour {n} was built of stone and of wood, and later it was painted red.", n) for n in range(50)]
    notes[31] = note("- The lighthouse keeper was called Ida, and the lighthouse was lit in 1871.", 31)
    fitted = fit_notes(notes, "When was the lighthouse lit?", 200)
    assert any(kept.parts[0].document == 31 for kept in fitted)
    assert 2 <= len(fitted) < 50


def test_a_budget_of_nothing_keeps_nothing() -> None:
    assert fit_notes([note("- a")], "What?", 0) == []
    assert fit_notes([], "What?", 0) == []


@given(st.lists(st.text(min_size=1, max_size=300), max_size=12), st.integers(0, 500))
def test_notes_always_come_within_the_budget(texts: list[str], budget: int) -> None:
    notes = [note(text, number // 2) for number, text in enumerate(texts)]
    fitted = fit_notes(notes, "What was said?", budget)
    assert count_tokens(render_notes(fitted)) <= budget
    places = [kept.parts[0].document for kept in fitted]
    assert places == sorted(places)


def test_lines_are_told_apart_by_what_they_share_with_their_documents() -> None:
    sources = ["The ship Ida carried 12 barrels of wine.", "The ship Eva carried coal to Kiel.", "船上有十二桶酒。"]
    text = "- Ida had wine on board\n- A ship carried something\n- Coal went to Kiel\n- 十二桶酒\n- Nothing known"
    assert tell_apart(text, sources) == [0, None, 1, 2, None]


def test_what_was_not_read_is_named_in_the_language_of_the_question() -> None:
    unread = [part(0), part(1, "", "")]
    assert name_unread(unread, "What?", 100) == "Could not be read: file 0.pdf (page 1 to page 2); file 1.pdf"
    assert name_unread(unread, "是什么？", 100).startswith("未能读到：file 0.pdf")
    assert name_unread([], "What?", 100) == ""


def test_fewer_unread_parts_are_named_where_there_is_little_room() -> None:
    unread = [part(number) for number in range(30)]
    named = [name_unread(unread, "What?", most_tokens).count("file ") for most_tokens in (1_000, 100, 30, 5)]
    assert named == [20, 5, 1, 0]
    assert name_unread(unread, "What?", 30).endswith("…")


def test_coverage_is_the_share_of_tokens_that_was_read() -> None:
    parts = (part(0, tokens=900), part(1, tokens=100))
    notes = Notes("", 0, (), parts, parts[1:], calls=2, reused=0, is_trimmed=False)
    assert notes.coverage == 0.9
    assert Notes("", 0, (), (), (), calls=0, reused=0, is_trimmed=False).coverage == 1.0
