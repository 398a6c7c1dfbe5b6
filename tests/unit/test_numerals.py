"""A number and a day are found again, however the question and the document write them."""

import datetime
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.numerals import number_terms
from bookwheel.spelled_numbers import chinese_number, mixed_number, scaled_number, spoken_numbers
from bookwheel.terms import terms_of

DAY = ["d1984-01-24", "d1984-01", "d01-24"]

CHINESE = [
    ("十九", ["19"]),
    ("二十", ["20"]),
    ("一百零八将", ["108"]),
    ("三千五百", ["3500"]),
    ("三千五", ["3500"]),
    ("三千零五", ["3005"]),
    ("一百一十五、一百十五", ["115", "115"]),
    ("十万", ["100000"]),
    ("3.5万", ["35000"]),
    ("３．５万", ["35000"]),
    ("3万5千", ["35000"]),
    ("3万五千", ["35000"]),
    ("5 万元", ["50000"]),
    ("35,000万", ["350000000"]),
    ("3.1万", ["31000"]),
    ("1.2亿", ["120000000"]),
    ("1亿2000万", ["120000000"]),
    ("3千5百万", ["35000000"]),
    ("三点五亿", ["350000000"]),
    ("两点五", ["2.5"]),
    ("三萬億", ["3000000000000"]),
    ("二〇〇八年", ["2008"]),
    ("二零零八年", ["2008"]),
    ("二○○八年", ["2008"]),
    ("廿五日", ["25"]),
    ("卅一日", ["31"]),
    ("壹佰贰拾叁元整", ["123"]),
    ("伍万元", ["50000"]),
    ("第十二条", ["12"]),
    ("第一章", ["1"]),
    ("十九世纪", ["19"]),
    ("九十年代", ["90"]),
    ("三个人", ["3"]),
    ("兩岁", ["2"]),
    ("十年", ["10"]),
    ("一千两银子", ["1000"]),
    ("八点三十五分", ["8", "35"]),
    ("百分之三十", ["30%"]),
    ("百分之三点五", ["3.5%"]),
    ("百分之百", ["100%"]),
    ("百分之25", ["25%"]),
    ("30％", ["30%"]),
]
ENGLISH = [
    ("nineteen", ["19"]),
    ("Twenty-one, twenty one", ["21", "21"]),
    ("one hundred and eight", ["108"]),
    ("two thousand and eight", ["2008"]),
    ("two million", ["2000000"]),
    ("one million two hundred thirty-four thousand five hundred and sixty-seven", ["1234567"]),
    ("nineteen eighty-four", ["1984"]),
    ("two hundred and three hundred", ["200", "300"]),
    ("three thousand two million", ["3000", "2000000"]),
    ("two and three", ["2", "3"]),
    ("a hundred, a dozen, two dozen", ["100", "12", "24"]),
    ("half a million", ["500000"]),
    ("3.5 million, 1,234 million", ["3500000", "1234000000"]),
    ("$3.5 billion, $3.5m, €2bn", ["3500000000", "3500000", "2000000000"]),
    ("the first, the third and the thirty-first", ["1", "3", "31"]),
    ("1st, 21st, 19th", ["1", "21", "19"]),
    ("30%, 30 percent, 30 per cent, thirty percent, 30.0%", ["30%"] * 5),
    ("1,234.5 %", ["1234.5%"]),
    ("one percent", ["1%"]),
]
FISCAL = [
    ("FY2023", ["2023"]),
    ("FY23", ["2023"]),
    ("FY98", ["1998"]),
    ("23财年", ["2023"]),
    ("二〇二三财年", ["2023"]),
    ("2Q23", ["q2", "2023"]),
    ("2023Q2", ["q2", "2023"]),
    ("Q2'23", ["q2", "2023"]),
    ("the second quarter of 2023", ["q2"]),
    ("1st quarter", ["q1"]),
    ("2023年第二季度", ["q2"]),
    ("2023年二季度", ["q2"]),
    ("2023年第3季", ["q3"]),
]
PARTS_OF_DATES = [
    ("1984年1月", ["d1984-01"]),
    ("January 1984", ["d1984-01"]),
    ("January of 1984", ["d1984-01"]),
    ("1月24日", ["d01-24"]),
    ("一月二十四日", ["d01-24"]),
    ("Jan 24", ["d01-24"]),
    ("24th of January", ["d01-24"]),
    ("January 24-26, 1984", [*DAY, "d1984-01-26", "d01-26"]),
    ("January 24, 1984, 1983 and 1982", [*DAY, "d1983-01-24", "d1983-01", "d1982-01-24", "d1982-01"]),
]
DOUBTFUL = [
    *("一个", "一般", "一天", "万一", "一一说明", "一款", "三三两两", "七七八八", "千万不要", "一点一滴"),
    *(
        "十几个",
        "数十人",
        "几十万",
        "二三十",
        "三五个",
        "两三百",
        "大陆人",
        "队伍万",
        "三分之一",
        "十二分之一",
        "5千米",
        "万亿",
    ),
    *(
        "one of them",
        "a second one",
        "several hundred",
        "millions of",
        "someone",
        "often",
        "XIV",
        "may 5m",
        "12 may have",
    ),
    *(
        "01/02/2003",
        "2003-2004",
        "2010-12",
        "11:00",
        "February 30, 1984",
        "1984年13月1日",
        "1984-01-32",
        "3.5m",
        "v1.2.3",
    ),
]
PLAIN = [
    "1984",
    "1,984",
    "19.5 and 20",
    "page 7 of 12",
    "2023年",
    "第12条",
    "a plain sentence",
    "没有数字的一句话",
    "",
    " ",
]


@pytest.mark.parametrize(("text", "terms"), CHINESE + ENGLISH + FISCAL + PARTS_OF_DATES)
def test_a_number_has_one_form(text: str, terms: list[str]) -> None:
    assert number_terms(text) == terms


@pytest.mark.parametrize(("text", "terms"), CHINESE + ENGLISH + FISCAL + PARTS_OF_DATES)
def test_words_around_a_number_do_not_change_it(text: str, terms: list[str]) -> None:
    assert number_terms(f"Then came ({text}).\n") == terms
    assert number_terms(f"据说，{text}，如此。") == terms


@pytest.mark.parametrize("text", DOUBTFUL)
def test_what_is_doubtful_is_left_alone(text: str) -> None:
    assert number_terms(text) == []


@pytest.mark.parametrize("text", PLAIN)
def test_what_plain_words_tell_is_not_repeated(text: str) -> None:
    assert number_terms(text) == []


def test_terms_come_in_the_order_of_the_text() -> None:
    assert number_terms("十九 of twenty, 30% by 1984-01-24, then 3万") == ["19", "20", "30%", *DAY, "30000"]


def test_numbers_equal_the_terms_of_plain_digits() -> None:
    for spelled, plain in (
        ("三万五千", "35,000"),
        ("three thousand", "3,000"),
        ("两点五", "2.5"),
        ("3.5 million", "3,500,000"),
    ):
        assert number_terms(spelled) == terms_of(plain)
        assert terms_of(plain)[0] in terms_of(spelled)


def test_percentages_and_dates_equal_no_term_of_plain_text() -> None:
    text = "30% on January 24, 1984"
    assert not set(number_terms(text)) & set(terms_of("30, January, 24, 1984"))


@given(st.integers(0, 10**12))
def test_every_number_written_in_chinese_gives_its_digits(number: int) -> None:
    assert chinese_number(written_in_chinese(number)) == str(number)
    if number > 9:
        assert number_terms(f"共有{written_in_chinese(number)}元") == [str(number)]
        assert number_terms(f"共有{in_traditional(written_in_chinese(number))}元") == [str(number)]


@given(st.integers(100, 10**12))
def test_every_number_written_formally_gives_its_digits(number: int) -> None:
    written = written_in_chinese(number)
    formal = f"{'一' if written[0] == '十' else ''}{written}".translate(
        str.maketrans("一二三四五六七八九十百千", "壹贰叁肆伍陆柒捌玖拾佰仟")
    )
    assert number_terms(f"人民币{formal}元整") == [str(number)]


@given(st.integers(2, 10**15 - 1), st.booleans())
def test_every_number_written_in_english_gives_its_digits(number: int, has_and: bool) -> None:
    words = written_in_english(number, " and " if has_and else " ")
    if len(words.replace("-", " ").replace(" and ", " ").split()) <= 12:
        assert number_terms(f"There were {words.title()}.") == [str(number)]
    assert spoken_numbers(words) == (str(number),)


@given(
    st.integers(0, 10**9), st.integers(1, 9), st.sampled_from([("万", 4), ("亿", 8), (" million", 6), (" billion", 9)])
)
def test_fractions_of_large_numbers_are_exact(whole: int, digit: int, scale: tuple[str, int]) -> None:
    name, zeros = scale
    assert number_terms(f"{whole}.{digit}{name}") == [str((10 * whole + digit) * 10 ** (zeros - 1))]


@given(st.integers(1000, 2099), st.sampled_from(["{}年", "于{}年底", "{}年的"]))
def test_every_year_written_digit_by_digit_is_found_unless_its_digits_are_doubled(year: int, frame: str) -> None:
    digits = str(year)
    is_doubled = digits[::2] == digits[1::2]
    assert number_terms(frame.format(digit_by_digit(digits))) == ([] if is_doubled else [digits])


@given(st.dates(datetime.date(1000, 1, 1), datetime.date(2999, 12, 31)))
def test_every_form_of_a_day_gives_the_same_terms(day: datetime.date) -> None:
    terms = [f"d{day:%Y-%m-%d}", f"d{day:%Y-%m}", f"d{day:%m-%d}"]
    for form in forms_of_day(day):
        assert [term for term in number_terms(f"It was {form}.") if term.startswith("d")] == terms, form


@given(st.dates(datetime.date(1000, 1, 1), datetime.date(2999, 12, 31)))
def test_a_question_for_a_month_or_a_day_of_the_year_meets_the_day(day: datetime.date) -> None:
    told = set(number_terms(f"{day.year}年{day.month}月{day.day}日"))
    for asked in (
        f"{day:%B} {day.year}",
        f"{day.month}月{day.day}日",
        f"{day:%b} {day.day}",
        f"{day.year}年{day.month}月",
    ):
        assert number_terms(asked)
        assert told.issuperset(number_terms(asked)), asked


@given(st.dates(datetime.date(1000, 1, 1), datetime.date(2999, 12, 31)))
def test_a_date_of_slashes_is_read_where_only_one_reading_is_left(day: datetime.date) -> None:
    terms = [f"d{day:%Y-%m-%d}", f"d{day:%Y-%m}", f"d{day:%m-%d}"]
    is_clear = day.day > 12 or day.day == day.month
    assert number_terms(f"{day.month}/{day.day}/{day.year}") == (terms if is_clear else [])
    assert number_terms(f"{day.day}/{day.month}/{day.year}") == (terms if is_clear else [])


SCRAPS = st.sampled_from(
    "一 二 两 十 百 千 万 亿 零 〇 廿 点 第 百分之 分之 年 月 日 季 季度 壹 拾 元 个 3 12 1984 . , - / % $ q fy ' th st one "
    "two twenty hundred million and a half dozen percent quarter january may of jan. \n ３ ㈠ Ⅳ ² ½ İ ß".split(" ")
)


@given(st.lists(SCRAPS, max_size=40).map("".join) | st.lists(SCRAPS, max_size=40).map(" ".join) | st.text(max_size=200))
def test_any_text_gives_terms_that_are_numbers(text: str) -> None:
    for term in number_terms(text):
        assert term.isascii()
        assert any(character.isdigit() for character in term)


@given(st.lists(SCRAPS, max_size=40).map(" ".join))
def test_folding_before_does_not_change_the_terms(text: str) -> None:
    assert number_terms(text.upper().casefold()) == number_terms(text.upper())


@pytest.mark.parametrize("scrap", ["一", "9", "one ", "two ", "a", " "])
def test_a_million_like_characters_are_read_in_one_pass(scrap: str) -> None:
    assert set(number_terms(scrap * (1_000_000 // len(scrap)))) <= {"2"}


@pytest.mark.parametrize(
    "scrap",
    [
        *(
            "十",
            "二万",
            "百",
            "零",
            "1,",
            "1,111,",
            "111.",
            "三点",
            "百分之",
            "壹",
            "壹拾",
            "3万5",
            "1984-1-",
            "1/1/",
            "一月",
        ),
        *(
            "two hundred and ",
            "twenty-",
            "thousand ",
            "a hundred ",
            "january ",
            "1 jan ",
            "q1",
            "fy2",
            "1 ",
            "-",
            "a\n\n",
        ),
    ],
)
def test_numerals_without_end_are_read_in_pieces_of_bounded_length(scrap: str) -> None:
    assert all(len(term) < 40 for term in number_terms(scrap * (200_000 // len(scrap))))


@pytest.mark.parametrize(
    "run", ["一" * 31, "九" * 1000, "一亿" * 20, "9" * 40 + "%", "百分之" + "九" * 40, "百分之" + "9" * 40]
)
def test_what_is_too_long_is_no_number(run: str) -> None:
    assert number_terms(run) == []


@pytest.mark.parametrize(
    "numerals",
    ["", "万", "百万", "一二十", "二三百", "十百", "一百二百", "一亿二亿", "一万二万", "三百千", "两两", "〇五"],
)
def test_numerals_out_of_order_tell_no_number(numerals: str) -> None:
    assert chinese_number(numerals) is None


def test_common_digits_take_scales_of_either_language() -> None:
    assert mixed_number("1亿 2000万") == "120000000"
    assert mixed_number("3.14159百") == "314.159"
    assert mixed_number("3万万") is None
    assert scaled_number("1,234.50") == "1234.5"
    assert scaled_number("3.1", 10**4) == "31000"


def written_in_chinese(number: int) -> str:
    """The way numbers are written in schoolbooks, but for 十 instead of 一十 at the beginning."""
    if number == 0:
        return "零"
    written, is_gap = "", False
    for group, scale in (
        (number // 10**12, "万亿"),
        (number // 10**8 % 10**4, "亿"),
        (number // 10**4 % 10**4, "万"),
        (number % 10**4, ""),
    ):
        if group:
            written += ("零" if written and (is_gap or group < 1000) else "") + _group_in_chinese(group) + scale
        is_gap = bool(written) and group == 0
    written = written.replace("万亿", "万", 1) if number // 10**12 and number // 10**8 % 10**4 else written
    return written[1:] if written.startswith("一十") else written


def _group_in_chinese(group: int) -> str:
    written, is_gap = "", False
    for worth, scale in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = group // worth % 10
        if digit:
            written += ("零" if is_gap else "") + "零一二三四五六七八九"[digit] + scale
        is_gap = bool(written) and digit == 0
    return written


def in_traditional(numerals: str) -> str:
    return numerals.translate(str.maketrans("万亿", "萬億"))


def digit_by_digit(digits: str) -> str:
    zero = random.Random(digits).choice("〇零")
    return "".join(f"{zero}一二三四五六七八九"[int(digit)] for digit in digits)


ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def written_in_english(number: int, joint: str) -> str:
    for worth, name in (
        (10**12, "trillion"),
        (10**9, "billion"),
        (10**6, "million"),
        (1000, "thousand"),
        (100, "hundred"),
    ):
        if number >= worth:
            rest = number % worth
            said = f"{written_in_english(number // worth, joint)} {name}"
            return said + (f"{joint if rest < 100 else ' '}{written_in_english(rest, joint)}" if rest else "")
    if number < 20:
        return ONES[number]
    return TENS[number // 10 - 2] + (f"-{ONES[number % 10]}" if number % 10 else "")


def forms_of_day(day: datetime.date) -> list[str]:
    ending = "th" if 10 < day.day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    month, number = written_in_chinese(day.month), written_in_chinese(day.day)
    return [
        f"{day.year}年{day.month}月{day.day}日",
        f"{day.year} 年 {day.month} 月 {day.day} 號",
        f"{digit_by_digit(str(day.year))}年{month}月{number}日",
        f"{day.year}年{month}月{number}号",
        f"{day:%Y-%m-%d}",
        f"{day.year}-{day.month}-{day.day}",
        f"{day.year}/{day.month}/{day.day}",
        f"{day.year}.{day.month}.{day.day}",
        f"{day:%Y-%m-%d}T10:00:00Z",
        f"{day:%B} {day.day}, {day.year}",
        f"{day:%B} {day.day} , {day.year}",
        f"{day:%B} {day.day} {day.year}",
        f"{day:%b}. {day.day}{ending}, {day.year}",
        f"{day:%b} {day.day},{day.year}",
        f"{day.day} {day:%B} {day.year}",
        f"{day.day:02} {day:%b} {day.year}",
        f"{day.day}-{day:%b}-{day.year}",
        f"the {day.day}{ending} of {day:%B}, {day.year}",
        f"the {day.day}{ending} day of {day:%B}, {day.year}",
    ]
