"""Numbers are shown as a spreadsheet shows them, dates as ISO dates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.extraction.xlsx.numbers import BUILT_IN, Plain, number_format

ACCOUNTING = '_("$"* #,##0.00_);_("$"* (#,##0.00);_("$"* "-"??_);_(@_)'


def shown(code: str, raw: str, *, from_1904: bool = False) -> str:
    return number_format(code, from_1904=from_1904)[raw]


@pytest.mark.parametrize(
    ("code", "raw", "expected"),
    [
        ("0%", "0.0711", "7%"),
        ("0.00%", "0.0711", "7.11%"),
        ("0.00%", "-0.0711", "-7.11%"),
        ('0.0"%"', "7.1", "7.1%"),
        ("0.00", "1.005", "1.01"),
        ("0", "2.5", "3"),
        ("0", "3", "3"),
        ("#,##0.00", "1234567.891", "1,234,567.89"),
        ("#,##0;(#,##0)", "-1234.4", "(1,234)"),
        ("0_);[Red](0)", "-5", "(5)"),
        (ACCOUNTING, "1234.5", "$1,234.50"),
        (ACCOUNTING, "-1234.5", "$(1,234.50)"),
        (ACCOUNTING, "0", "$-"),
        ("[$€-407] #,##0.00", "3.5", "€ 3.50"),
        ("#,##0.00\\ [$kr-414]", "3.5", "3.50 kr"),
        ('0.0,,"M"', "12345678", "12.3M"),
        ("#,##0.##", "3", "3"),
        ("#,##0.##", "3.456", "3.46"),
        ("00000", "123", "00123"),
        ("000-00-0000", "123456789", "123-45-6789"),
        ("000-00-0000", "1234567890123", "1234567890123"),
        ('"Q"0', "3", "Q3"),
        ('"{0}"0', "3", "{0}3"),
        ('"yes";"no";"none"', "-1", "no"),
        ("0;-0;;@", "0", ""),
        (";;;", "5", "5"),
        ("#,###", "0", ""),
    ],
)
def test_numbers_follow_their_format(code: str, raw: str, expected: str) -> None:
    assert " ".join(shown(code, raw).split()) == expected


@pytest.mark.parametrize("raw", ["0.0001", "0.004", "-0.0001"])
def test_a_number_that_is_not_zero_is_not_shown_as_zero(raw: str) -> None:
    assert float(shown("0.00", raw)) == float(raw)


@pytest.mark.parametrize(
    ("code", "raw", "expected"),
    [
        ("m/d/yy", "40516", "2010-12-04"),
        ("d-mmm-yy", "40516", "2010-12-04"),
        ('yyyy"年"m"月"d"日";@', "40516", "2010-12-04"),
        ("[$-F800]dddd\\,\\ mmmm\\ dd\\,\\ yyyy", "40516", "2010-12-04"),
        ("d/m", "40516", "2010-12-04"),
        ("mmm-yy", "40516", "2010-12"),
        ("yyyy", "40516", "2010"),
        ("mmmm", "40516", "December"),
        ("ddd", "40516", "Sat"),
        ("m/d/yy h:mm", "40516.75", "2010-12-04 18:00"),
        ("yyyy-mm-dd hh:mm:ss", "40516.999994", "2010-12-04 23:59:59"),
        ("h:mm AM/PM", "0.5", "12:00"),
        ("h:mm:ss", "0.123", "02:57:07"),
        ("[h]:mm", "1.5", "36:00:00"),
        ("mm:ss", "0.01", "0:14:24"),
        ("[h]:mm:ss", "-0.5", "-12:00:00"),
        ("m/d/yy", "-3", "-3"),
        ("m/d/yy", "99999999", "99999999"),
    ],
)
def test_dates_and_times_are_iso_dates_and_times(code: str, raw: str, expected: str) -> None:
    assert shown(code, raw) == expected


@pytest.mark.parametrize(
    ("raw", "from_1904", "expected"),
    [
        ("59", False, "1900-02-28"),
        ("61", False, "1900-03-01"),
        ("0", True, "1904-01-01"),
        ("39054", True, "2010-12-04"),
    ],
)
def test_both_beginnings_of_time_are_known(raw: str, from_1904: bool, expected: str) -> None:
    assert shown("d/m/y", raw, from_1904=from_1904) == expected


@pytest.mark.parametrize(
    ("code", "raw", "expected"),
    [
        ("General", "0.30000000000000004", "0.3"),
        ("General", "12.0", "12"),
        ("General", "1E-3", "0.001"),
        ("General", "123456789012345678", "123456789012345678"),
        ("General", "12345678.125", "12345678.125"),
        ('General" kg"', "3.5", "3.5"),
        ("# ?/?", "0.5", "0.5"),
        ("[>=1000]0.0;0", "3.3", "3.3"),
        ("0.00E+00", "12345.678", "12345.7"),
        ("0" * 5000, "7", "7"),
        ("0.00", "1e300", "1e+300"),
        ("0.00", "no number", "no number"),
        ("0.00", "nan", "nan"),
        ("0.00", "", ""),
    ],
)
def test_what_is_not_understood_is_shown_as_it_is(code: str, raw: str, expected: str) -> None:
    assert shown(code, raw) == expected


@pytest.mark.parametrize("number", sorted(BUILT_IN))
def test_every_built_in_format_shows_something(number: int) -> None:
    assert shown(BUILT_IN[number], "40516.25")


@given(
    st.text(alphabet=st.sampled_from('0#?.,%;"[]$-mdyhs/\\_*@E+e AP()é年'), max_size=20), st.floats() | st.integers()
)
def test_no_format_and_no_number_make_it_fail(code: str, number: float) -> None:
    assert isinstance(shown(code, str(number)), str)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_plain_numbers_keep_ten_digits(number: float) -> None:
    assert float(Plain()[repr(number)]) == pytest.approx(number, rel=1e-9)
