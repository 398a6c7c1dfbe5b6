"""A passage leads to what it names: where else that stands, and to the section that is headed by it."""

import pytest

from bookwheel.indexing.shelf import IndexedDocument
from bookwheel.retrieval import links as links_module
from bookwheel.retrieval.collection import Collection
from bookwheel.retrieval.links import Link, Links
from bookwheel.retrieval.scoring import NEAR_WINDOWS, Scorer
from bookwheel.terms import terms_of
from support.made_documents import document_of

OTHERS = [f"Nothing of note happened on the {n} mile of the road to the sea." for n in range(100, 120)]
LAST = len(OTHERS) + 1
"""The passage after one, and those."""


def links_of(*documents: IndexedDocument, asked: str = "") -> Links:
    collection = Collection([document.index for document in documents])
    return Links(Scorer(collection, NEAR_WINDOWS), documents, terms_of(asked))


def led_to(links: list[Link]) -> set[int]:
    return {place for link in links for place in link.places.tolist()}


def names(links: list[Link]) -> set[str]:
    """What was followed, a heading in brackets."""
    shown = (link.name.replace("\x1f", " ") for link in links)
    return {f"[{name[1:]}]" if name.startswith("\x1e") else name for name in shown}


def test_a_name_leads_to_where_else_it_stands() -> None:
    document = document_of("The mill was built by Ada Holm.", *OTHERS, "In Delft lived old Ada Holm then.")
    links = links_of(document).of(0)
    assert "ada holm" in names(links)
    assert led_to(links) == {0, LAST}


def test_a_name_leads_to_other_documents_too() -> None:
    documents = document_of("The mill was built by Ada Holm.", *OTHERS), document_of("Ada Holm lived in Delft.")
    links = links_of(*documents)
    second = int(Collection([document.index for document in documents]).first[1])
    assert led_to(links.of(0)) == led_to(links.of(second)) == {0, second}


def test_all_words_of_a_name_must_stand_together() -> None:
    document = document_of("The mill was built by Ada Holm.", *OTHERS, "Ada Young came.", "so did a Holm")
    assert links_of(document).of(0) == []


def test_the_words_of_a_name_may_stand_in_the_headings_above() -> None:
    parts = [
        "The mill was built by Ada Holm.",
        *OTHERS,
        "# Letters of Ada",
        "They are few.",
        "A certain Holm wrote them.",
    ]
    assert LAST + 1 in led_to(links_of(document_of(*parts)).of(0))


@pytest.mark.parametrize("heading", ["Marsh herons", "The Marsh Herons", "Marsh herons (birds)"])
def test_a_section_is_found_by_its_heading(heading: str) -> None:
    parts = ["He studied marsh herons there.", *OTHERS, f"# {heading}", "They nest in reeds.", "Some do not."]
    links = links_of(document_of(*parts)).of(0)
    assert "[marsh heron]" in names(links)
    assert led_to(links) >= {LAST, LAST + 1}


@pytest.mark.parametrize(
    ("text", "heading"),
    [("他写了《潮水之书》。", "潮水之书"), ("他写了潮水之书。", "潮水之书"), ("他寫了《潮水之書》。", "潮水之书")],
)
def test_a_chinese_section_is_found_by_its_heading(text: str, heading: str) -> None:
    parts = [text, *(f"第{n}页没有什么。" for n in range(20)), f"# {heading}", "印于一九二〇年。"]
    assert LAST in led_to(links_of(document_of(*parts)).of(0))


def test_a_chinese_title_leads_to_where_else_it_stands() -> None:
    parts = ["他写了《潮水之书》。", *(f"第{n}页没有什么。" for n in range(20)), "《潮水之书》印于一九二〇年。"]
    links = links_of(document_of(*parts)).of(0)
    assert led_to(links) == {0, LAST}
    assert all(link.weight > 0 for link in links)


def test_the_longest_heading_from_a_word_on_is_the_one_meant() -> None:
    parts = ["He saw marsh herons.", *OTHERS, "# Marsh", "It is wet.", "# Marsh herons", "They stand."]
    assert names(links_of(document_of(*parts)).of(0)) == {"[marsh heron]"}


def test_what_the_question_names_already_is_no_news() -> None:
    document = document_of("The mill was built by Ada Holm.", *OTHERS, "In Delft lived old Ada Holm then.")
    assert "ada holm" not in names(links_of(document, asked="What did Ada Holm build?").of(0))
    assert "ada holm" in names(links_of(document, asked="Who is Ada?").of(0))


def test_a_passage_does_not_lead_to_the_heading_it_stands_under() -> None:
    parts = ["# Marsh herons", "The marsh herons nest in reeds.", *OTHERS]
    assert "[marsh heron]" not in names(links_of(document_of(*parts)).of(0))


@pytest.mark.parametrize("heading", ["The", "Most of it", "Was"])
def test_small_words_name_nothing(heading: str) -> None:
    parts = ["he was the most of it there", *OTHERS, f"# {heading}", "they stand."]
    assert links_of(document_of(*parts)).of(0) == []


def test_a_name_that_stands_everywhere_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = ["The mill was built by Holm.", *OTHERS[:8], *["Then Holm said no."] * 2]
    assert names(links_of(document_of(*parts)).of(0)) == set()  # too common to tell
    parts += [f"still {line}" for line in OTHERS * 2]
    assert names(links_of(document_of(*parts)).of(0)) == {"holm"}
    monkeypatch.setattr(links_module, "MOST_PLACES", 2)
    assert links_of(document_of(*parts)).of(0) == []


def test_a_name_whose_words_are_all_too_common_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    document = document_of("The mill was built by Ada Holm.", *OTHERS, "In Delft lived old Ada Holm then.")
    monkeypatch.setattr(links_module, "MOST_OF_RAREST", 1)
    assert links_of(document).of(0) == []


def test_the_question_leads_to_the_sections_that_it_names() -> None:
    document = document_of(*OTHERS, "# Marsh herons", "They nest in reeds.", "# 潮水之书", "印于一九二〇年。")
    links = links_of(document)
    assert led_to(links.named_in_question("Where do marsh herons nest?")) == {len(OTHERS)}
    assert led_to(links.named_in_question("潮水之書印於何年？")) == {len(OTHERS) + 1}
    assert links.named_in_question("What is wet?") == links.named_in_question("") == []


def test_the_terms_named_are_those_of_names_and_headings_that_were_not_asked() -> None:
    document = document_of("# Keepers of Delft", "In 1912 Ada Holm fed the herons of Gouda.")
    named = set(links_of(document, asked="Who fed the herons of Gouda?").terms_named(0))
    assert {"keeper", "delft", "1912", "ada", "holm"} <= set(named)
    assert not {"gouda", "heron", "fed"} & set(named)
