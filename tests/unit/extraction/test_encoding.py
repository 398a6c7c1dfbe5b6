"""The encoding of a text file is found, and where it was damaged, the rest is still read."""

import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.extraction import encoding as module
from bookwheel.extraction.encoding import SAMPLE_BYTES, detect_encoding, sniff_unicode

DOCUMENTS = Path(__file__).parents[2] / "documents"
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff") | st.just("\n"))
SENTENCES = {
    "Chinese": "书轮是一种可以转动的读书台，读者坐着不动，就能同时打开许多本书。",
    "Japanese": "書輪は回転する読書台で、読者は座ったまま何冊もの本を同時に開いておける。",
    "Korean": "책 바퀴는 돌아가는 독서대이다. 여러 권의 책을 한꺼번에 펼쳐 놓을 수 있다.",
    "English": "A bookwheel keeps many books open at once.",
    "German": "Größere Bibliotheken stellten für ihre Leser Bücherräder auf.",
    "Russian": "Книжное колесо держит открытыми сразу много книг.",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


def read(path: Path) -> str:
    with path.open(encoding=detect_encoding(path), errors="replace") as file:
        return file.read()


@pytest.mark.parametrize(
    ("filename", "first_line", "encoding"),
    [
        ("bookwheel-gbk.txt", "书轮", "gb18030"),
        ("bookwheel-big5.txt", "書輪", "cp950"),
        ("bookwheel-utf16.txt", "书轮", "utf-16"),
        ("bookwheel-utf8-bom.txt", "書輪", "utf-8-sig"),
        ("bookwheel-latin1.txt", "La roue à livres", "cp1252"),
        ("bookwheel-cp949.txt", "책 바퀴", "cp949"),
        ("bookwheel-koi8r.txt", "Книжное колесо", "koi8_r"),
        ("books-shift-jis.csv", "書名,著者,初版,備考", "cp932"),
        ("catalogue.json", "{", "utf-8"),
    ],
)
def test_the_small_documents_are_read_as_they_were_written(filename: str, first_line: str, encoding: str) -> None:
    assert detect_encoding(DOCUMENTS / filename) == encoding
    text = read(DOCUMENTS / filename)
    assert text.splitlines()[0] == first_line
    assert "\ufffd" not in text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@given(text=ANY_TEXT)
def test_any_text_comes_back_from_utf_8_and_from_behind_a_byte_order_mark(
    tmp_path_factory: pytest.TempPathFactory, encoding: str, text: str
) -> None:
    source = tmp_path_factory.getbasetemp() / "any"
    source.write_bytes(text.encode(encoding))
    assert read(source) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize("newline", ["\n", ""])
def test_wide_text_needs_no_byte_order_mark(source: Path, encoding: str, language: str, newline: str) -> None:
    text = (SENTENCES[language] + newline) * 3
    source.write_bytes(text.encode(encoding))
    assert read(source) == text


def test_big_endian_text_behind_a_mark_is_read(source: Path) -> None:
    source.write_bytes(codecs.BOM_UTF16_BE + "书轮 turns\n".encode("utf-16-be"))
    assert read(source) == "书轮 turns\n"


def test_the_escapes_of_iso_2022_jp_are_read(source: Path) -> None:
    source.write_bytes((SENTENCES["Japanese"] + "\n").encode("iso2022_jp"))
    assert read(source) == SENTENCES["Japanese"] + "\n"


@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        ("Korean", "iso2022_kr"),
        ("Chinese", "hz"),
        *((language, "utf-7") for language in SENTENCES if language != "English"),
    ],
)
@pytest.mark.parametrize("times", [1, 40])
def test_what_is_written_as_ascii_behind_escapes_is_read(
    source: Path, language: str, encoding: str, times: int
) -> None:
    text = (SENTENCES["English"] + "\n" + SENTENCES[language] + "\n") * times
    source.write_bytes(text.encode(encoding))
    assert detect_encoding(source) == encoding
    assert read(source) == text


def test_letters_with_two_accents_are_read_from_utf_7(source: Path) -> None:
    source.write_bytes("Tất cả mọi người đều bình đẳng.".encode("utf-7"))
    assert read(source) == "Tất cả mọi người đều bình đẳng."


def test_half_wide_letters_among_the_escapes_of_iso_2022_jp_are_read(source: Path) -> None:
    source.write_bytes("これはﾃｽﾄです".encode("iso2022_jp_ext"))
    assert read(source) == "これはﾃｽﾄです"


@pytest.mark.parametrize(
    "text",
    [
        "Call +8613800000000 or +442079460000-",
        "a+b1c = C++ and x+yzAB",
        "one + one +- two",
        "sed s/~{abcd~}/~/",
        "~{ab~} in ~/lists",
        "dGhlIHdob2xl+IHdvcmxk/IHJlYWRz+IGJvb2tz",
    ],
)
def test_ascii_that_looks_like_an_escape_stays_as_it_is(source: Path, text: str) -> None:
    source.write_bytes(text.encode())
    assert read(source) == text


@given(st.text(alphabet="+-~{}/ ab\n", max_size=60))
def test_no_signs_are_taken_for_escapes_by_chance(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    source = tmp_path_factory.getbasetemp() / "signs"
    source.write_bytes(text.encode())
    assert read(source) == text


@pytest.mark.parametrize("newline", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_line_ends_become_one_kind(source: Path, newline: str, encoding: str) -> None:
    source.write_bytes(f"一行{newline}又一行{newline}".encode(encoding))
    assert read(source) == "一行\n又一行\n"


@pytest.mark.parametrize("lost", [1, 2])
def test_utf_8_with_its_tail_cut_off_is_still_utf_8(source: Path, lost: int) -> None:
    source.write_bytes("书轮".encode()[:-lost])
    assert detect_encoding(source) == "utf-8"
    assert read(source).startswith("书")


def test_a_few_broken_bytes_do_not_turn_utf_8_into_something_else(source: Path) -> None:
    data = bytearray((SENTENCES["Chinese"] * 20).encode())
    data[300] = 0xFF
    data[1000] = 0x41
    source.write_bytes(data)
    text = read(source)
    assert text.count("\ufffd") in range(1, 6)
    assert text.startswith(SENTENCES["Chinese"])


def test_one_accent_at_the_end_is_no_utf_8_that_was_cut_off(source: Path) -> None:
    source.write_bytes("Un café".encode("latin-1"))
    assert read(source) == "Un café"


def test_what_stands_far_behind_plain_ascii_is_found(source: Path) -> None:
    ascii_part = b"A plain line of English text, as there are many.\n" * 60_000
    source.write_bytes(ascii_part + (SENTENCES["Chinese"] + "\n").encode("gbk") * 20)
    assert len(ascii_part) > 8 * SAMPLE_BYTES
    assert detect_encoding(source) == "gb18030"


def test_a_single_broken_byte_far_into_utf_8_is_no_other_encoding(source: Path) -> None:
    source.write_bytes((SENTENCES["Chinese"] + "\n").encode() * 20_000 + b"\xff" + SENTENCES["English"].encode())
    assert detect_encoding(source) == "utf-8"


def test_a_character_across_two_chunks_is_whole(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 7)
    source.write_bytes((SENTENCES["Chinese"] * 5).encode())
    assert detect_encoding(source) == "utf-8"


def test_an_empty_file_is_utf_8(source: Path) -> None:
    source.touch()
    assert detect_encoding(source) == "utf-8"


@given(st.binary(max_size=600))
def test_no_bytes_are_without_an_encoding(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    source = tmp_path_factory.getbasetemp() / "bytes"
    source.write_bytes(data)
    read(source)


@given(st.binary(max_size=200))
def test_wide_text_is_not_seen_in_text_of_single_bytes(data: bytes) -> None:
    printable = bytes(byte for byte in data if 0x20 <= byte < 0x7F)
    assert sniff_unicode(printable + b"\n") is None
