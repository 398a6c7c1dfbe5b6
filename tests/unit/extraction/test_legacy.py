"""Encodings from before Unicode are told apart on texts of a line or two, as people have them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.extraction.legacy import CANDIDATES, guess_legacy

SIMPLIFIED = (
    "书轮像水车一样慢慢转动。",
    "会议纪要：下周三下午两点在二楼会议室讨论预算，请各部门带上数据。",
    "第三章 总则\n第一条 为了保护双方的合法权益，制定本合同。",
    "姓名：王小明，电话：13800000000，地址：北京市海淀区",
    "用户反馈：登录页面打不开，报错 500，重启后恢复正常。",
    "我在家。",
    "他说：“明天再来吧。”我们就回去了。",
    "Python 3.11 安装说明",
)
TRADITIONAL = (
    "書輪像水車一樣慢慢轉動。",
    "會議記錄：下週三下午兩點在二樓會議室討論預算，請各部門帶上資料。",
    "本公司保留最終解釋權，如有更改恕不另行通知。",
    "臺北市政府公告：自本月起實施新的收費辦法。",
    "他說：「明天再來吧。」我們就回去了。",
    "使用手冊 Version 2.0",
)
JAPANESE = (
    "書輪は回転する読書台です。",
    "会議は来週の水曜日、午後二時からです。",
    "吾輩は猫である。名前はまだ無い。",
    "エラーが発生しました。もう一度お試しください。",
    "名前,年齢,住所\n山田花子,28,東京都港区",
)
KOREAN = (
    "책 바퀴는 돌아가는 독서대이다.",
    "회의는 다음 주 수요일 오후 두 시에 있습니다.",
    "오류가 발생했습니다. 다시 시도해 주십시오.",
    "이름,나이,주소\n김철수,30,서울",
)
WESTERN = (
    "La roue à livres est un pupitre tournant, déjà décrit au XVIe siècle.",
    "Größere Bibliotheken stellten Bücherräder auf.",
    "El año próximo habrá más días de sol; ¿quién lo sabía?",
    "As informações não estão disponíveis no momento.",
    "Perché no? È già così.",
    "Hon läste många böcker på en gång.",
    "Kirjapyörä pitää monta kirjaa auki yhtä aikaa.",
    "Le café coûte 3 € — c’est “cher”.",
    "Un café",
    "naïve",
)
CENTRAL = (
    "Koło na książki pozwala czytać wiele książek naraz, nie wstając.",
    "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "A könyvkerék egyszerre sok könyvet tart nyitva, őrizve a sorrendet.",
)
RUSSIAN = (
    "Книжное колесо держит открытыми сразу много книг.",
    "Совещание состоится в среду, в два часа дня.",
    "Привет, мир!",
    "Файл не найден, проверьте имя.",
)
CASES = [
    *((text, "gb18030") for text in SIMPLIFIED + TRADITIONAL),
    *((text, "gbk") for text in SIMPLIFIED),
    *((text, "big5") for text in TRADITIONAL),
    *((text, "big5hkscs") for text in TRADITIONAL),
    *((text, encoding) for text in JAPANESE for encoding in ("shift_jis", "cp932", "euc_jp")),
    *((text, encoding) for text in KOREAN for encoding in ("euc_kr", "cp949")),
    *((text, "latin_1") for text in WESTERN if "€" not in text),
    *((text, "cp1252") for text in WESTERN),
    *((text, "cp1250") for text in CENTRAL),
    *((text, "iso8859_2") for text in CENTRAL),
    *((text, encoding) for text in RUSSIAN for encoding in ("cp1251", "koi8_r", "cp866", "iso8859_5")),
    ("ВНИМАНИЕ: ФАЙЛ НЕ НАЙДЕН", "cp1251"),
    ("Ο τροχός των βιβλίων κρατά πολλά βιβλία ανοιχτά.", "cp1253"),
    ("Çok sayıda kitabı aynı anda açık tutar, değil mi?", "cp1254"),
    ("גלגל הספרים מחזיק ספרים רבים פתוחים.", "cp1255"),
    ("عجلة الكتب تبقي كتبا كثيرة مفتوحة.", "cp1256"),
    ("วงล้อหนังสือช่วยให้อ่านหนังสือหลายเล่มพร้อมกัน", "cp874"),
    *((text, "johab") for text in KOREAN[:3]),
    ("Il a une œuvre de 5 €, cœur et âme.", "iso8859_15"),
    ("Ĉiuj homoj estas denaske liberaj; ĝardeno, ŝipo, ĵaŭdo.", "iso8859_3"),
    ("Il-bnedmin kollha jitwieldu ħielsa; żgħażagħ, ġurnata.", "iso8859_3"),
    ("Visi žmonės gimsta laisvi ir lygūs savo orumu ir teisėmis, jiems suteiktas protas.", "iso8859_4"),
    ("Çok sayıda kitabı aynı anda açık tutar, değil mi? Güneş doğdu.", "cp857"),
    ("Ο τροχός των βιβλίων κρατά πολλά βιβλία ανοιχτά.", "mac_greek"),
    ("Ο τροχός των βιβλίων κρατά πολλά βιβλία ανοιχτά.", "cp869"),
    ("גלגל הספרים מחזיק ספרים רבים פתוחים.", "cp862"),
    ("בְּרֵאשִׁית בָּרָא אֱלֹהִים אֵת הַשָּׁמַיִם", "cp1255"),
    ("عجلة الكتب تبقي كتبا كثيرة مفتوحة.", "cp720"),
    ("Книжкове колесо тримає відкритими багато книжок; їжак і їхня єдність.", "cp1125"),
    ("╔════════╗\n║ README ║\n╚════════╝\n ■ file √ ok", "cp437"),
    ("これはﾃｽﾄです。", "cp932"),
]


@pytest.mark.parametrize(("text", "encoding"), CASES)
def test_a_line_is_read_as_it_was_written(text: str, encoding: str) -> None:
    data = text.encode(encoding)
    assert data.decode(guess_legacy(data)) == text


@pytest.mark.parametrize(("texts", "encoding"), [(SIMPLIFIED, "gbk"), (TRADITIONAL, "big5"), (JAPANESE, "cp932")])
@given(data=st.data())
def test_lines_in_any_order_are_read_as_they_were_written(
    texts: tuple[str, ...], encoding: str, data: st.DataObject
) -> None:
    text = "\n".join(data.draw(st.lists(st.sampled_from(texts), min_size=1)))
    encoded = text.encode(encoding)
    assert encoded.decode(guess_legacy(encoded)) == text


def test_what_a_page_declares_of_itself_decides_where_little_speaks() -> None:
    page = '<meta charset="windows-1250"><p>Perché è ž</p>'.encode("cp1250", "replace")
    assert guess_legacy(page) == "cp1250"


def test_what_a_page_declares_is_not_believed_against_its_words() -> None:
    page = ('<meta charset="iso-8859-1">' + "".join(SIMPLIFIED)).encode("gbk")
    assert guess_legacy(page) == "gb18030"


def test_an_unknown_declaration_is_passed_over() -> None:
    assert guess_legacy(b'<?xml encoding="no-such-thing"?>' + SIMPLIFIED[1].encode("gbk")) == "gb18030"


def test_bytes_that_windows_leaves_open_make_it_latin_1() -> None:
    assert guess_legacy("Déjà vu, naïveté \x81".encode("latin-1")) == "latin_1"


def test_rarer_encodings_are_left_to_the_library() -> None:
    text = "".join(KOREAN) * 4
    assert guess_legacy(text.encode("johab")) == "johab"


def test_a_long_text_is_judged_by_its_lines_above_ascii() -> None:
    plain = b"<row><cell>value</cell></row>\n" * 8000
    assert guess_legacy(plain + SIMPLIFIED[1].encode("gbk")) == "gb18030"


@given(st.binary(max_size=300))
def test_every_guess_is_a_codec(data: bytes) -> None:
    data.decode(guess_legacy(data), "replace")


def test_each_candidate_decodes_what_it_cannot_read_without_failing() -> None:
    for candidate in CANDIDATES:
        bytes(range(256)).decode(candidate.codec, "replace")
