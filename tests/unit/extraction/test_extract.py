"""A file becomes a document in one pass; what cannot become one says why."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bookwheel.document import read_blocks
from bookwheel.errors import BadDocument, ContentBlank, FormatNotSupported, ParsingError, SizeExceeded
from bookwheel.extraction import counting
from bookwheel.extraction.extract import extract_document
from bookwheel.extraction.notes import say_nothing
from bookwheel.extraction.recognise import FileType
from bookwheel.extraction.report import ExtractionReport
from bookwheel.tokens import count_tokens

DOCUMENTS = Path(__file__).parents[2] / "documents"


def extract(folder: Path, source: Path, filename: str | None = None) -> tuple[ExtractionReport, str]:
    report = extract_document(source, filename or source.name, folder, say_nothing)
    return report, (folder / "text").read_bytes().decode()


@pytest.mark.parametrize(
    ("filename", "file_type", "phrase"),
    [
        ("bookwheel-gbk.txt", FileType.TXT, "想看的书就到了眼前"),
        ("bookwheel-big5.txt", FileType.TXT, "想看的書就到了眼前"),
        ("bookwheel-utf16.txt", FileType.TXT, "想看的书就到了眼前"),
        ("bookwheel-utf8-bom.txt", FileType.TXT, "書輪\n\n書輪是"),
        ("bookwheel-latin1.txt", FileType.TXT, "Größere Bibliotheken"),
        ("bookwheel-cp949.txt", FileType.TXT, "여러 권의 책을"),
        ("bookwheel-koi8r.txt", FileType.TXT, "Книжное колесо"),
        ("books-shift-jis.csv", FileType.CSV, "| 銀河鉄道の夜 | 宮沢賢治 |"),
        ("shelves.tsv", FileType.CSV, "| 1 | Herbals | 412 |"),
        ("catalogue.json", FileType.JSON, "title: 书轮目录"),
        ("questions.jsonl", FileType.JSON, "answer: 十二层"),
        ("notes.md", FileType.MD, "# The bookwheel"),
    ],
)
def test_each_small_document_is_read(tmp_path: Path, filename: str, file_type: FileType, phrase: str) -> None:
    report, text = extract(tmp_path, DOCUMENTS / filename)
    assert phrase in text
    assert report.file_type is file_type
    assert (report.characters, report.tokens, report.warnings) == (len(text), count_tokens(text), ())
    spans = read_blocks(tmp_path / "blocks")
    assert report.blocks == len(spans)
    assert [span.start for span in spans] == [0, *(span.end for span in spans[:-1])]


def test_the_name_that_the_user_gave_decides_and_not_the_path(tmp_path: Path) -> None:
    report, text = extract(tmp_path, DOCUMENTS / "catalogue.json", "catalogue.txt")
    assert report.file_type is FileType.TXT
    assert text == (DOCUMENTS / "catalogue.json").read_text("utf-8")


def test_a_picture_is_told_by_its_bytes_and_leaves_a_gap(tmp_path: Path) -> None:
    source = DOCUMENTS / "bookwheel.png"
    report = extract_document(source, "picture.txt", tmp_path, say_nothing)
    assert (report.file_type, report.pages, len(report.gaps)) == (FileType.PNG, 1, 1)
    assert report.gaps[0].picture.is_page
    assert not (tmp_path / "text").exists()


def test_what_is_not_read_is_refused_by_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(rb"{\rtf1 words}")
    with pytest.raises(FormatNotSupported) as refusal:
        extract(tmp_path, tmp_path / "source", "a.txt")
    assert refusal.value.reason == "format is not supported. Recognised: RTF. Convert it to DOCX or PDF first."


@pytest.mark.parametrize("content", [b"", b" \r\n\t\n", b"\xef\xbb\xbf", b"\xff\xfe"])
@pytest.mark.parametrize("filename", ["a.txt", "a.md", "a.csv", "a.json"])
def test_a_file_without_words_is_blank(tmp_path: Path, content: bytes, filename: str) -> None:
    (tmp_path / "source").write_bytes(content)
    with pytest.raises(ContentBlank):
        extract(tmp_path, tmp_path / "source", filename)


def test_invalid_json_is_refused_under_its_name_and_read_under_another(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b'{"open": ')
    with pytest.raises(ParsingError):
        extract(tmp_path, tmp_path / "source", "a.json")
    assert extract(tmp_path, tmp_path / "source", "a.txt")[1] == '{"open": '


def test_json_in_an_old_encoding_is_read(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes('{"标题": "书轮是一种可以转动的读书台"}'.encode("gbk"))
    assert extract(tmp_path, tmp_path / "source", "a.json")[1] == "标题: 书轮是一种可以转动的读书台\n"


def test_characters_that_could_not_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes("书轮是一种可以转动的读书台".encode()[:-1])
    report, text = extract(tmp_path, tmp_path / "source", "a.txt")
    assert text.endswith("书\ufffd")
    assert report.warnings == ("\ufffd stands 1 times for what was lost before or could not be read as utf-8.",)


def test_tokens_of_a_long_text_are_counted_as_of_one_piece(tmp_path: Path) -> None:
    text = "".join(f"Line {n} of a long text, 第{n}行。\n\n" for n in range(8000))
    (tmp_path / "source").write_bytes(text.encode())
    report, _ = extract(tmp_path, tmp_path / "source", "a.txt")
    assert report.blocks == 8000
    assert abs(report.tokens - count_tokens(text)) <= 10


def test_a_text_that_grows_beyond_all_measure_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_CHARACTERS", 50_000)
    (tmp_path / "source").write_bytes(b"[" + b"[],[{}]," * 10_000 + b"0]")
    with pytest.raises(SizeExceeded):
        extract(tmp_path, tmp_path / "source", "a.json")


@settings(max_examples=200)
@given(st.binary(max_size=300), st.sampled_from(["a", "a.md", "a.csv", "a.json"]))
def test_any_bytes_become_a_document_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, filename: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "source").write_bytes(content)
    try:
        report, text = extract(folder, folder / "source", filename)
    except BadDocument:
        return
    assert report.characters == len(text)
