"""Mobipocket and Kindle books: every way of packing, both kinds of pages, and files that lie about themselves."""

import random
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.document import Block, Picture
from bookwheel.errors import ParsingError, SizeExceeded
from bookwheel.extraction.formats.mobi import read
from bookwheel.extraction.mobi import parts as mobi_parts
from bookwheel.extraction.mobi.compression import Huffman, unpack_palmdoc
from bookwheel.extraction.notes import Notes

NONE = 0xFFFFFFFF
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
RECORD_BYTES = 4096


# A writer of books


def database(records: Iterable[bytes], kind: bytes = b"BOOKMOBI") -> bytes:
    """A Palm database."""
    records = list(records)
    position = 78 + 8 * len(records) + 2
    table = b""
    for number, record in enumerate(records):
        table += struct.pack(">II", position, number)
        position += len(record)
    head = b"name".ljust(60, b"\0") + kind + bytes(8) + struct.pack(">H", len(records))
    return head + table + b"\0\0" + b"".join(records)


@dataclass(frozen=True)
class Head:
    """The first record of a book, as far as readers look at it."""

    compression: int = 1
    text_records: int = 1
    encryption: int = 0
    encoding: int = 65001
    version: int = 6
    numbers: dict[int, int] = field(default_factory=dict)
    """Other fields of the header, by their place."""
    boundary: int | None = None

    def record(self) -> bytes:
        data = bytearray(16 + 264)
        struct.pack_into(">HHIHHH", data, 0, self.compression, 0, 0, self.text_records, RECORD_BYTES, self.encryption)
        data[16:20] = b"MOBI"
        fields = {20: 264, 28: self.encoding, 36: self.version, 108: NONE, 192: NONE, 244: NONE, 248: NONE, 252: NONE}
        for place, value in (fields | {128: 0x40 if self.boundary is not None else 0} | self.numbers).items():
            struct.pack_into(">I", data, place, value)
        extended = b"" if self.boundary is None else b"EXTH" + struct.pack(">IIIII", 24, 1, 121, 12, self.boundary)
        return bytes(data) + extended


def cut(text: bytes, size: int = RECORD_BYTES) -> list[bytes]:
    return [text[start : start + size] for start in range(0, len(text), size)] or [b""]


def pack_palmdoc(data: bytes) -> bytes:
    """PalmDOC, as simple as uses all its codes: pairs with spaces, repetitions, runs of other bytes."""
    out, position = bytearray(), 0
    while position < len(data):
        found = data.rfind(data[position : position + 5], max(0, position - 2000), position)
        byte = data[position]
        if found >= 0 and position + 5 <= len(data):
            out += struct.pack(">H", 0x8000 | (position - found) << 3 | 2)
            position += 5
        elif byte == 0x20 and position + 1 < len(data) and 0x40 <= data[position + 1] < 0x80:
            out.append(data[position + 1] ^ 0x80)
            position += 2
        elif byte >= 0x80 or 1 <= byte <= 8:
            out += bytes([1, byte])
            position += 1
        else:
            out.append(byte)
            position += 1
    return bytes(out)


def huffman_records(phrases: list[tuple[bytes, bool]], bits: int = 8) -> tuple[bytes, bytes]:
    """A code table in which each phrase has a code of `bits` bits, and the dictionary. The flag says: plain text."""
    entries = [bits | 0x80 | (1 << bits) - 1 << 8] * 256
    bounds = [0] * 64
    huff = b"HUFF" + struct.pack(">III", 24, 24, 24 + 1024) + bytes(8)
    huff += struct.pack(">256I", *entries) + struct.pack(">64I", *bounds)
    offsets, body = b"", b""
    for words, is_plain in phrases:
        offsets += struct.pack(">H", 2 * len(phrases) + len(body))
        body += struct.pack(">H", len(words) | (0x8000 if is_plain else 0)) + words
    return huff, b"CDIC" + struct.pack(">III", 16, len(phrases), 8) + offsets + body


def codes(numbers: Iterable[int]) -> bytes:
    """The codes of phrases by `huffman_records`: the last code is the first phrase's."""
    return bytes(255 - number for number in numbers)


def varint(value: int) -> bytes:
    out = [value & 0x7F | 0x80]
    while value := value >> 7:
        out.insert(0, value & 0x7F)
    return bytes(out)


def index_records(
    tags: list[tuple[int, int, int]], entries: list[tuple[bytes, bytes, bytes]], strings: bytes = b""
) -> list[bytes]:
    """An index. `tags` are (number, values, mask); `entries` are (name, control byte, values)."""
    table = b"".join(bytes([number, values, mask, 0]) for number, values, mask in tags) + bytes([0, 0, 0, 1])
    head = b"INDX" + struct.pack(">IIIIII", 192, 0, 0, 0, 0, 1) + bytes(192 - 28)
    head += b"TAGX" + struct.pack(">II", 12 + len(table), 1) + table
    body, places = b"", b""
    for name, control, values in entries:
        places += struct.pack(">H", 192 + len(body))
        body += bytes([len(name)]) + name + control + values
    data = b"INDX" + struct.pack(">IIIIII", 192, 0, 0, 0, 192 + len(body), len(entries)) + bytes(192 - 28)
    return [head, data + body + b"IDXT" + places, *([strings] if strings else [])]


SKELETON_TAGS = [(1, 1, 0x03), (6, 2, 0x0C)]
FRAGMENT_TAGS = [(2, 1, 0x01), (3, 1, 0x02), (4, 1, 0x04), (6, 2, 0x08)]


def skeleton(number: int, fragments: int, start: int, size: int) -> tuple[bytes, bytes, bytes]:
    values = varint(fragments) * 2 + (varint(start) + varint(size)) * 2
    return b"SKEL%010d" % number, bytes([2 | 2 << 2]), values


def fragment(place: int, page: int, start: int, size: int) -> tuple[bytes, bytes, bytes]:
    return b"%010d" % place, b"\x0f", varint(0) + varint(page) + varint(0) + varint(start) + varint(size)


def newer_book(pages: list[tuple[str, list[tuple[int, str]]]], flows: str = "") -> list[bytes]:
    """A KF8 book. Each page is a frame and its fragments, with where in the page each goes."""
    text, frames, fragments = b"", [], []
    for number, (frame, pieces) in enumerate(pages):
        start = len(text)
        frames.append(skeleton(number, len(pieces), start, len(frame)))
        text += frame.encode()
        for place, piece in pieces:
            fragments.append(fragment(start + place, number, 0, len(piece)))
            text += piece.encode()
    first = cut(text + flows.encode())
    sections = b"FDST" + struct.pack(">IIIIII", 12, 2, 0, len(text), len(text), len(text + flows.encode()))
    frame_index, fragment_index = index_records(SKELETON_TAGS, frames), index_records(FRAGMENT_TAGS, fragments)
    after = 1 + len(first)
    numbers = {248: after, 252: after + 2, 192: after + 4}
    head = Head(text_records=len(first), version=8, numbers=numbers)
    return [head.record(), *first, *fragment_index, *frame_index, sections]


def older_book(text: str, head: Head | None = None, more: Iterable[bytes] = ()) -> bytes:
    records = cut(text.encode())
    head = replace(head or Head(), text_records=len(records))
    return database([head.record(), *records, *more])


def items_of(folder: Path, data: bytes, notes: Notes | None = None) -> list[Block | Picture]:
    source = folder / "source"
    source.write_bytes(data)
    return list(read(source, notes or Notes(folder)))


def text_of(folder: Path, data: bytes, notes: Notes | None = None) -> str:
    return "".join(item.text for item in items_of(folder, data, notes) if isinstance(item, Block))


# Packing


@pytest.mark.parametrize(
    ("packed", "text"),
    [
        (b"plain", b"plain"),
        (b"\x03\x80\x01\xffx", b"\x80\x01\xffx"),
        (b"a\xe2\xe3", b"a b c"),
        (b"abc\x80\x1aX", b"abcabcabcX"[:3] + b"abcab" + b"X"),
        (b"a\x80\x0f", b"a" + b"a" * 10),
        (b"\x00\x09\x7f", b"\x00\x09\x7f"),
        (b"a\x80", b"a"),
        (b"a\x80\x00b", b"ab"),
        (b"a\xbf\xf8b", b"ab"),
        (b"\x08ab", b"ab"),
        (b"", b""),
    ],
)
def test_palmdoc_is_unpacked_and_what_is_wrong_in_it_left_out(packed: bytes, text: bytes) -> None:
    assert unpack_palmdoc(packed) == text


@given(st.binary(max_size=400) | st.text(alphabet="ab c", max_size=400).map(str.encode))
def test_palmdoc_gives_back_what_was_packed(data: bytes) -> None:
    assert unpack_palmdoc(pack_palmdoc(data)) == data


def test_phrases_may_be_made_of_phrases() -> None:
    huff, cdic = huffman_records([(b"read", True), (b"ing ", True), (codes([0, 1]), False), (codes([2, 2]), False)])
    assert Huffman(huff, [cdic]).unpack(codes([3, 0, 2])) == b"reading reading readreading "


@given(st.lists(st.integers(0, 15), max_size=50), st.sampled_from([4, 5, 7, 8, 12]))
def test_codes_are_read_across_bytes(numbers: list[int], bits: int) -> None:
    """Codes of any length, beside a reading of the bits one code at a time."""
    phrases = [(b"<%d>" % number, True) for number in range(16)]
    huff, cdic = huffman_records(phrases, bits)
    stream = "".join(f"{(1 << bits) - 1 - number:0{bits}b}" for number in numbers)
    stream += "0" * (-len(stream) % 8)
    data = bytes(int(stream[at : at + 8], 2) for at in range(0, len(stream), 8))
    expected = b"".join(b"<%d>" % number for number in numbers)
    assert Huffman(huff, [cdic]).unpack(data).startswith(expected)  # what pads short codes may be codes


def test_codes_may_be_of_several_lengths() -> None:
    """11 and 10 are codes, 0111 and all below it too; the table says only that none is shorter than two bits."""
    _, cdic = huffman_records([(letter.encode(), True) for letter in "abcdef"])
    bounds = [2, 3, 2, 3, 4, 4, 0, 9] + [0] * 56
    huff = b"HUFF" + struct.pack(">III", 24, 24, 24 + 1024) + bytes(8)
    huff += struct.pack(">256I", *[2] * 256) + struct.pack(">64I", *bounds)
    data = int("1110011101100101110000", 2) << 2
    assert Huffman(huff, [cdic]).unpack(data.to_bytes(3, "big")).startswith(b"abcde")


@pytest.mark.parametrize(
    "phrases",
    [
        [(codes([0]), False)],
        [(codes([1]), False), (codes([0]), False)],
        [(codes([number + 1] * 2), False) for number in range(100)] + [(b"x", True)],
        [(codes([number + 1] * 9), False) for number in range(20)] + [(b"x" * 100, True)],
    ],
)
def test_phrases_without_end_are_refused(phrases: list[tuple[bytes, bool]]) -> None:
    huff, cdic = huffman_records(phrases)
    with pytest.raises(ParsingError):
        Huffman(huff, [cdic]).unpack(codes([0]))


def test_a_phrase_that_is_not_there_is_left_out() -> None:
    huff, cdic = huffman_records([(b"a", True), (b"b", True)])
    assert Huffman(huff, [cdic]).unpack(codes([0, 200, 1])) == b"ab"


def test_a_record_does_not_unpack_to_more_than_it_may() -> None:
    huff, cdic = huffman_records([(b"x" * 8000, True)])
    with pytest.raises(ParsingError):
        Huffman(huff, [cdic]).unpack(codes([0] * 1000))


@pytest.mark.parametrize(
    ("huff", "cdics"), [(b"", []), (b"HUFF", [b"CDIC"]), (b"HUFF" + bytes(2000), []), (b"x", [b"y"])]
)
def test_tables_that_are_none_are_refused(huff: bytes, cdics: list[bytes]) -> None:
    with pytest.raises(ParsingError):
        Huffman(huff, cdics)


@given(st.binary(max_size=60), st.randoms(use_true_random=False))
def test_damaged_tables_end_in_text_or_a_refusal(data: bytes, chance: random.Random) -> None:
    huff, cdic = map(bytearray, huffman_records([(b"read", True), (codes([0, 0]), False)] * 8))
    for record in (huff, cdic):
        for _ in range(5):
            record[chance.randrange(4, len(record))] = chance.randrange(256)
    with suppress(ParsingError):
        assert len(Huffman(bytes(huff), [bytes(cdic)]).unpack(data)) < 2_000_000


# Older books


STORY = "<html><body><h1>Book</h1><p>“It was a bright cold day” — café, 書.</p>" + "<p>word after word.</p>" * 500


@pytest.mark.parametrize("compression", [1, 2, 17480])
def test_the_text_is_the_same_however_it_is_packed(tmp_path: Path, compression: int) -> None:
    pieces = cut(STORY.encode())
    head = Head(compression, len(pieces), numbers={112: len(pieces) + 1, 116: 2})
    more: list[bytes] = []
    if compression == 2:
        pieces = list(map(pack_palmdoc, pieces))
    elif compression == 17480:
        more = list(huffman_records([(bytes([byte]), True) for byte in range(256)]))
        pieces = [codes(piece) for piece in pieces]
    text = text_of(tmp_path, database([head.record(), *pieces, *more]))
    assert text == "# Book\n\n“It was a bright cold day” — café, 書.\n\n" + "word after word.\n\n" * 500


def test_what_stands_after_the_text_of_a_record_is_left_out(tmp_path: Path) -> None:
    first, second = "<p>left 書 ".encode(), b"right</p>"
    entry = b"index!!" + varint(8)
    overlap = b"\xe6\x9b\x02"
    head = Head(text_records=2, numbers={240: 0b111})
    records = [first + overlap + entry + b"\x81", second + b"\x00" + entry + b"\x81"]
    assert text_of(tmp_path, database([head.record(), *records])) == "left 書 right\n\n"


def test_trailing_entries_that_lie_do_no_harm(tmp_path: Path) -> None:
    head = Head(numbers={240: 0xFFFF})
    assert text_of(tmp_path, database([head.record(), b"<p>text"])) in ("text\n\n", "tex\n\n", "te\n\n", "t\n\n", "")


@pytest.mark.parametrize(
    ("page", "codec", "text"),
    [
        (1252, "cp1252", "café – “x”"),
        (65001, "utf-8", "café 書"),
        (932, "cp932", "書籍を読む"),
        (1252, "utf-8", "café 書"),
        (0, "utf-8", "書籍"),
    ],
)
def test_the_encoding_is_that_of_the_header_unless_it_is_utf8(tmp_path: Path, page: int, codec: str, text: str) -> None:
    data = database([Head(encoding=page).record(), f"<p>{text}</p>".encode(codec)])
    assert text_of(tmp_path, data) == f"{text}\n\n"


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("第一章 会议纪要：请各部门带上数据，我们下周讨论预算。", "gb18030"),
        ("Книжное колесо держит открытыми сразу много книг.", "cp1251"),
        ("Koło na książki pozwala czytać wiele książek naraz, nie wstając.", "cp1250"),
    ],
)
def test_a_book_that_says_western_may_be_in_another_script(tmp_path: Path, text: str, codec: str) -> None:
    data = database([Head(encoding=1252).record(), b"<p>Plain words.</p>" * 20 + f"<p>{text}</p>".encode(codec)])
    assert text_of(tmp_path, data).endswith(f"{text}\n\n")


@pytest.mark.parametrize("text", ["Don’t", "naïve café", "£5 – ½ inch", "Größe", "“Å”", "¿Qué?", "œuvre à ±2°"])
def test_a_few_letters_do_not_shake_what_a_western_book_says(tmp_path: Path, text: str) -> None:
    data = database([Head(encoding=1252).record(), f"<p>{text}</p>".encode("cp1252")])
    assert text_of(tmp_path, data) == f"{text}\n\n"


def test_sections_are_parted_by_page_breaks_and_named_by_the_contents(tmp_path: Path) -> None:
    text = "<p>front</p><mbp:pagebreak/><p>one</p><mbp:pagebreak/><h2>Two</h2><p>two</p>"
    entries = [
        (b"0", b"\x0f", varint(text.index("<p>one")) + varint(9) + varint(0) + varint(0)),
        (b"1", b"\x0f", varint(text.index("<h2>")) + varint(9) + varint(4) + varint(0)),
    ]
    tags = [(1, 1, 1), (2, 1, 2), (3, 1, 4), (4, 1, 8)]
    contents = index_records(tags, entries, varint(3) + "一".encode() + varint(3) + b"Two")
    notes = Notes(tmp_path)
    items = items_of(tmp_path, older_book(text, Head(numbers={244: 2}), contents), notes)
    assert [(item.text, item.anchor) for item in items if isinstance(item, Block)] == [
        ("front\n\n", "section 1"),
        ("one\n\n", "一"),
        ("## Two\n\n", "Two"),
        ("two\n\n", "Two"),
    ]
    assert notes.counts == {"section": 3}


def test_footnotes_of_older_books_are_found_by_their_place(tmp_path: Path) -> None:
    text = "<p>Text<sup><a filepos=0000000089>1</a></sup> goes on.</p><mbp:pagebreak/>" + " " * 14 + "<p>1 Note</p>"
    text = text.replace("89", f"{text.index('<p>1'):02}")
    assert text_of(tmp_path, older_book(text)) == "Text[^1] goes on.\n\n[^1]: Note\n\n"


def test_indented_text_of_older_books_is_no_quotation(tmp_path: Path) -> None:
    assert text_of(tmp_path, older_book("<blockquote>indented</blockquote>")) == "indented\n\n"


def test_pictures_are_kept_where_they_stand(tmp_path: Path) -> None:
    text = (
        "<h1>Map</h1><p>see <img recindex='00002'/> here<img recindex='00002'/><img recindex='1'/><img recindex='x'/>"
    )
    items = items_of(tmp_path, older_book(text, Head(numbers={108: 2}), [b"FONT" * 999, PNG]))
    assert [item.text if isinstance(item, Block) else item for item in items] == [
        "# Map\n\n",
        "see here\n\n",
        Picture("Map", name="picture-1"),
    ]


# Newer books


PAGES = [
    ("<html><body><h1></h1></body></html>", [(16, "One"), (24, "<p>first</p>"), (36, "<p>second</p>")]),
    ("<html><body></body></html>", [(12, '<p>third <img src="kindle:embed:0001?mime=image/png"/></p>')]),
]


def test_pages_of_newer_books_are_put_together(tmp_path: Path) -> None:
    data = database(newer_book(PAGES, "p { color: red }"))
    assert text_of(tmp_path, data) == "# One\n\nfirst\n\nsecond\n\nthird\n\n"


def test_the_newer_book_of_two_is_read_with_the_pictures_of_the_first(tmp_path: Path) -> None:
    newer = newer_book(PAGES)
    older = [Head(numbers={108: 2}, boundary=4).record(), b"<p>older", PNG, b"BOUNDARY"]
    items = items_of(tmp_path, database([*older, *newer]))
    assert [item.text if isinstance(item, Block) else item.name for item in items][-2:] == ["third\n\n", "picture-1"]


@pytest.mark.parametrize("cut_bytes", [0, 10, 1])
def test_the_older_book_is_read_where_more_is_left_of_it(tmp_path: Path, cut_bytes: int) -> None:
    newer = newer_book(PAGES)
    newer[1] = b""
    older = [Head(boundary=3).record(), b"<p>older", b"BOUNDARY"]
    data = database([*older, *newer])
    assert text_of(tmp_path, data[: len(data) - cut_bytes]) == "older\n\n"


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [skeleton(0, 9999, 0, 10**6)],
        [skeleton(0, 0, 50, 10)],
        [skeleton(0, 0, 0, 10), skeleton(1, 0, 0, 10)],
        [(b"", b"\xff", b"\x00\x00")],
        [skeleton(number, 1, 0, 0) for number in range(50)],
    ],
)
def test_frames_that_lie_lose_no_text(tmp_path: Path, frames: list[tuple[bytes, bytes, bytes]]) -> None:
    text = b"<html><body></body></html><p>first</p><p>second</p>"
    index = index_records(SKELETON_TAGS, frames)
    head = Head(version=8, numbers={252: 2, 248: NONE})
    assert text_of(tmp_path, database([head.record(), text, *index])) == "first\n\nsecond\n\n"


@pytest.mark.parametrize("place", [0, 5, 10**9, 10**11])
def test_fragments_with_places_that_lie_lose_no_text(tmp_path: Path, place: int) -> None:
    data = database(newer_book([("<html><body></body></html>", [(place, "<p>first</p>"), (place, "<p>second</p>")])]))
    text = text_of(tmp_path, data)
    assert "first" in text
    assert "second" in text


# Texts without markup


def test_palmdoc_texts_have_paragraphs_and_lines(tmp_path: Path) -> None:
    text = "First line\r\ngoes on.\r\n\r\nA second paragraph: 2 < 3.\n"
    head = struct.pack(">HHIHHHH", 2, 0, len(text), 1, RECORD_BYTES, 0, 0)
    items = items_of(tmp_path, database([head, pack_palmdoc(text.encode())], b"TEXtREAd"))
    assert [(item.text, item.anchor) for item in items if isinstance(item, Block)] == [
        ("First line\ngoes on.\n\n", "line 1"),
        ("A second paragraph: 2 < 3.\n", "line 4"),
    ]


def test_long_texts_without_lines_come_in_parts(tmp_path: Path) -> None:
    text = b"word " * 5000
    head = struct.pack(">HHIHHHH", 1, 0, len(text), len(cut(text)), RECORD_BYTES, 0, 0)
    items = items_of(tmp_path, database([head, *cut(text)], b"TEXtREAd"))
    assert len(items) > 3
    assert "".join(item.text for item in items if isinstance(item, Block)) == text.decode()


def test_palmdoc_texts_may_hold_markup(tmp_path: Path) -> None:
    head = struct.pack(">HHIHHHH", 1, 0, 0, 1, RECORD_BYTES, 0, 0)
    assert text_of(tmp_path, database([head, b"<html><h1>T</h1><p>x"], b"TEXtREAd")) == "# T\n\nx\n\n"


# Broken, hostile and locked files


@pytest.mark.parametrize("encryption", [1, 2])
def test_a_book_under_drm_is_refused(tmp_path: Path, encryption: int) -> None:
    with pytest.raises(ParsingError, match="protected by DRM"):
        items_of(tmp_path, older_book("<p>x", Head(encryption=encryption)))


def test_a_newer_book_under_drm_is_refused(tmp_path: Path) -> None:
    locked = Head(version=8, encryption=2).record()
    with pytest.raises(ParsingError, match="protected by DRM"):
        items_of(tmp_path, database([Head(boundary=2).record(), b"<p>x", locked, b"x"]))


@pytest.mark.parametrize("compression", [0, 3, 17480, 65535])
def test_packing_that_is_not_known_is_refused(tmp_path: Path, compression: int) -> None:
    with pytest.raises(ParsingError):
        items_of(tmp_path, older_book("<p>x", Head(compression=compression)))


@pytest.mark.parametrize("data", [b"", b"x" * 78, b"\0" * 60 + b"BOOKMOBI", b"\0" * 60 + b"DATAPlkr" + bytes(100)])
def test_what_is_no_book_gives_no_text(tmp_path: Path, data: bytes) -> None:
    with suppress(ParsingError):
        assert text_of(tmp_path, data) == ""


def test_of_a_book_that_is_cut_off_the_beginning_is_read(tmp_path: Path) -> None:
    data = older_book(STORY)
    notes = Notes(tmp_path)
    text = text_of(tmp_path, data[: len(data) // 2], notes)
    assert text.startswith("# Book\n\n“It was")
    assert "It is cut off: the end is missing." in notes.all_warnings()
    assert any("records of its text are damaged" in warning for warning in notes.all_warnings())


def test_a_text_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mobi_parts, "MOST_TEXT_BYTES", 5000)
    with pytest.raises(SizeExceeded):
        items_of(tmp_path, older_book(STORY))


def test_records_that_all_claim_the_whole_file_are_not_read_for_ever(tmp_path: Path) -> None:
    """Offsets that go back and forth make each second record as large as the file, though it unpacks to nothing."""
    head = Head(2, text_records=60_000).record()
    count, start = 60_001, 78 + 8 * 60_001
    places = [start, *(start + (number % 2) * 100_000 for number in range(1, count))]
    table = b"".join(struct.pack(">II", place, 0) for place in places)
    data = (
        b"name".ljust(60, b"\0") + b"BOOKMOBI" + bytes(8) + struct.pack(">H", count) + table + head + b"\xbf" * 100_000
    )
    with pytest.raises(ParsingError, match="overlap"):
        items_of(tmp_path, data)


@given(st.randoms(use_true_random=False))
def test_no_change_of_bytes_makes_it_fail(tmp_path_factory: pytest.TempPathFactory, chance: random.Random) -> None:
    older = [Head(numbers={108: 2, 244: 4}, boundary=4).record(), b"<p>older", PNG, b"BOUNDARY"]
    data = bytearray(database([*older, *newer_book(PAGES)]))
    for _ in range(chance.randrange(1, 8)):
        data[chance.randrange(60, len(data))] = chance.choice([0, 1, 127, 128, 255])
    data = data[: chance.choice([len(data), chance.randrange(len(data))])]
    with suppress(ParsingError, SizeExceeded):
        items_of(tmp_path_factory.getbasetemp(), bytes(data))
