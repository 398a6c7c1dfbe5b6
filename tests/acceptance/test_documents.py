"""Users upload what they have, of any format that is read, and get its text with anchors, a report, or a clear reason."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from support.server import Server

DOCUMENTS = Path(__file__).parents[1] / "documents"
ENGLISH = "A bookwheel is a rotating reading desk of the Renaissance"
CHINESE = "书轮是文艺复兴时期的一种旋转书桌"
TABLE = (
    "| Place | Year | Shelves |",
    "| Wolfenbüttel | 1661 | 6 |",
    "| Puebla | 1773 | 14 |",
    "| 莱顿 Leiden | 1609 | 10 |",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"ingest": {"upload_wait_seconds": 120}, "limits": {"file_calls_per_second": 0}}
    running = Server(tmp_path_factory.mktemp("documents"), settings | {"engines": {"quotes": {"kind": "extractive"}}})
    yield running.start()
    running.stop()


@pytest.fixture(scope="module")
def client(server: Server) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key="any", timeout=300)


def read(client: OpenAI, name: str) -> tuple[str, dict[str, Any]]:
    """A document's text and its parse report."""
    file = client.files.create(file=DOCUMENTS / name, purpose="user_data")
    assert (file.status, file.filename) == ("processed", name), file.status_details
    report = file.to_dict()["bookwheel"]
    assert isinstance(report, dict)
    return client.files.content(file.id).text, report


def folded(text: str) -> str:
    """Without white space, which OCR sets as it likes."""
    return "".join(text.split())


@pytest.mark.parametrize(
    "name", ["bookwheel.docx", "bookwheel.pdf", "bookwheel.html", "bookwheel.epub", "bookwheel.azw3", "bookwheel.mobi"]
)
def test_a_document_keeps_its_words_headings_lists_and_tables(client: OpenAI, name: str) -> None:
    text, report = read(client, name)
    assert ENGLISH in text
    assert CHINESE in text
    for heading in ("The bookwheel 书轮", "How it was built", "Wheels that survive 现存的书轮"):
        assert any(line.startswith("#") and heading in line for line in text.splitlines()), heading
    assert "- twelve shelves of oak" in text
    assert "1. Sit down." in text
    for row in TABLE:
        assert row in text
    assert report["type"] == {"azw3": "MOBI"}.get(name.partition(".")[2], name.partition(".")[2].upper())
    assert report["characters"] == len(text)
    assert not report.get("warnings")


def test_a_workbook_keeps_its_sheets_and_values(client: OpenAI) -> None:
    text, report = read(client, "wheels.xlsx")
    assert "Wheels" in text
    assert "书轮 makers" in text
    assert "| Place | Year | Shelves | Seen on | Share |" in text
    assert "2024-03-05" in text
    assert "| Agostino Ramelli | 1588 |" in text
    assert "He drew it first." in text
    assert (report["type"], report["sheets"]) == ("XLSX", 2)


def test_slides_keep_their_order_notes_tables_and_pictures(client: OpenAI) -> None:
    text, report = read(client, "slides.pptx")
    assert text.index("[slide 1]") < text.index("twelve shelves of oak") < text.index("[slide 2]")
    assert "Say that Ramelli drew it in 1588." in text
    assert "| Puebla | 1773 |" in text
    assert folded("rotating reading desk of the Renaissance") in folded(text)
    assert (report["type"], report["pages"], report["ocr_pictures"]) == ("PPTX", 2, 1)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp"])
def test_a_picture_of_text_is_read(client: OpenAI, suffix: str) -> None:
    text, report = read(client, f"bookwheel.{suffix}")
    assert folded(ENGLISH) in folded(text)
    assert folded(CHINESE) in folded(text)
    assert (report["pages"], report["ocr_pages"], report["blank_pages"]) == (1, 1, 0)


@pytest.mark.parametrize("name", ["scanned.pdf", "bookwheel.tiff"])
def test_a_page_that_lies_on_its_side_or_head_is_read_as_well(client: OpenAI, name: str) -> None:
    text, report = read(client, name)
    first, _, second = text.partition("[page 2]")
    for page in (first, second):
        assert folded(ENGLISH) in folded(page)
        assert folded(CHINESE) in folded(page)
    assert (report["pages"], report["ocr_pages"]) == (2, 2)


def test_a_mixed_file_is_read_page_by_page(client: OpenAI) -> None:
    text, report = read(client, "mixed.pdf")
    first, _, second = text.partition("[page 2]")
    assert ENGLISH in first
    assert folded(ENGLISH) in folded(second)
    assert (report["pages"], report["ocr_pages"], report["blank_pages"]) == (3, 1, 1)


def test_a_password_is_asked_for_in_words_and_one_that_only_forbids_printing_is_not(client: OpenAI) -> None:
    file = client.files.create(file=DOCUMENTS / "password.pdf", purpose="user_data")
    assert file.status == "error"
    assert "password" in str(file.status_details)
    with pytest.raises(BadRequestError, match="password"):
        client.files.content(file.id)
    assert ENGLISH in read(client, "owner-password.pdf")[0]


def test_a_citation_names_the_page(client: OpenAI) -> None:
    file = client.files.create(file=DOCUMENTS / "mixed.pdf", purpose="user_data")
    answer = client.chat.completions.create(
        model="qwen-long",
        messages=[
            {"role": "system", "content": f"fileid://{file.id}"},
            {"role": "user", "content": "Who drew the wheel in 1588?"},
        ],
        extra_body={"bookwheel": {"citations": True}},
    )
    assert "Ramelli" in str(answer.choices[0].message.content)
    citations = answer.to_dict()["bookwheel"]["citations"]  # type: ignore[index,call-overload]
    assert {citation["anchor"] for citation in citations} <= {"page 1", "page 2"}
    assert all(citation["quote"] in client.files.content(file.id).text for citation in citations)


def test_an_image_may_be_so_large_and_no_larger(client: OpenAI) -> None:
    head = (DOCUMENTS / "bookwheel.png").read_bytes()
    with pytest.raises(BadRequestError, match=r"Payload Too Large\."):
        client.files.create(file=("large.png", head + bytes(20 * 2**20)), purpose="user_data")
