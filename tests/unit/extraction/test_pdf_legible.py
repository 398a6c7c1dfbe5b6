"""A text layer is trusted in any language, and not where its fonts say nothing."""

import pytest

from bookwheel.extraction.pdf.legible import is_legible, is_lost

ENGLISH = "The bookwheel was a desk that turned, so that a reader could keep many books open at once. "
LANGUAGES = {
    "English": ENGLISH,
    "French": "L’été dernier, la bibliothèque a été fermée à cause d’une réparation. ",
    "German": "Die Übungsaufgaben für Fußgänger wären größtenteils überflüssig, hätte man früher nachgedacht. ",
    "Polish": "Zażółć gęślą jaźń, a następnie przeczytaj książkę o kole bibliotecznym przez długie lata. ",
    "Vietnamese": "Bánh xe sách là một chiếc bàn quay được, để người đọc có thể mở nhiều quyển sách cùng một lúc. ",
    "Russian": "Книжное колесо было вращающимся столом, за которым читатель мог держать открытыми много книг сразу. ",
    "Greek": "Ο τροχός των βιβλίων ήταν ένα γραφείο που γύριζε, ώστε ο αναγνώστης να έχει πολλά βιβλία ανοιχτά. ",
    "Arabic": "كانت عجلة الكتب مكتبا دوارا يتيح للقارئ أن يبقي كتبا كثيرة مفتوحة في وقت واحد. ",
    "Hindi": "पुस्तक चक्र एक घूमने वाली मेज थी जिससे पाठक एक साथ कई पुस्तकें खुली रख सकता था। ",
    "Chinese": "书轮是一种可以旋转的书桌，使读者能够同时打开许多书籍，并且不必起身就可以从一本转到另一本。",
    "Traditional": "書輪是一種可以旋轉的書桌，使讀者能夠同時打開許多書籍，並且不必起身就可以從一本轉到另一本。",
    "Japanese": "書見台は回転する机であり、読者は多くの本を同時に開いたままにして、席を立たずに読むことができた。",
    "Korean": "책바퀴는 회전하는 책상으로, 독자는 여러 권의 책을 동시에 펼쳐 놓고 읽을 수 있었다. ",
    "numbers": "18,870 23,022 22,650 859 1,178 0 14 15 0 2,179 2,307 11 0 0 0 13 14 0 3 2 0 71,137 ",
    "part numbers": "SKU-8847 A-12 DHAW20190001 05/03/2019 XK-9921-B QRT-55 8HP-70 ZF-6HP26 M12x1.75 ISO-4762 ",
    "code": "def rotate_image(filename, degrees): return Image.open(filename).rotate(degrees, expand=True) # noqa: S101 ",
    "formulas": "∂Ek ∂vih = X l j=1 ∂Ek ∂yˆ k j · ∂yˆ k j ∂βj · ∂βj ∂bh · ∂bh ∂αh · f ′ (αh − γh) · xi  ",
    "bullets of a symbol font": "\uf0b7 wood \uf0b7 brass \uf0a7 rope and glue \uf0e0 ",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_text_is_legible_in_any_language(language: str) -> None:
    assert is_legible(LANGUAGES[language] * 6)


GARBLED = {
    "replacement characters": "\ufffd\ufffd\ufffd \ufffd\ufffd book \ufffd\ufffd\ufffd ",
    "private use": "".join(chr(0xE000 + ord(letter)) for letter in ENGLISH),
    "numbers of glyphs": "".join(chr(ord(letter) - 29) for letter in ENGLISH if letter.isascii()),
    "numbers of glyphs but for the space": " ".join(
        "".join(chr(ord(letter) - 29) for letter in word if letter.isalpha()) for word in ENGLISH.split()
    ),
    "GBK read as Latin": LANGUAGES["Chinese"].encode("gbk").decode("latin-1"),
    "Chinese of no known set": "".join(chr(0x4E00 + (n * 7919) % 0x51A0) for n in range(120)),
    "control characters": "".join(chr(1 + n % 7) for n in range(200)),
}


@pytest.mark.parametrize("kind", GARBLED)
def test_garbage_is_not_legible(kind: str) -> None:
    assert not is_legible(GARBLED[kind] * 6)


@pytest.mark.parametrize("text", ["", "   ", "7", "XJ9", "Ø", "page 3"])
def test_what_is_too_short_to_judge_is_taken_as_it_is(text: str) -> None:
    assert is_legible(text)


def test_a_logo_without_meaning_does_not_spoil_a_page() -> None:
    assert is_legible(ENGLISH * 6 + "\x01\x02\x03\x04 " * 10)


@pytest.mark.parametrize(
    ("word", "lost"), [("\x04\x05\x06", True), ("r\x01", False), ("\ufffd\ufffda", True), ("wheel", False)]
)
def test_lost_words_are_those_without_meaning(word: str, lost: bool) -> None:
    assert is_lost(word) is lost
