"""What numbers spelled out in Chinese or English are worth, exactly, in the digits they are otherwise written with.

Where numbers stand in a text is not decided here; `numerals` does that.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

_FRACTION_DIGITS = 9
_WHOLE = 1_000_000_000
"""Values are whole numbers of billionths while they are added up: 3.1万 is 31000 exactly."""

DIGITS = "〇零○一二三四五六七八九"
NUMERALS = DIGITS + "十百千万亿萬億两兩廿卅"
SCALES = "十百千万亿萬億"
FORMAL_DIGITS = "壹贰貳叁肆伍陆陸柒捌玖"
_PLAIN_SHAPES = str.maketrans("○零兩萬億點" + FORMAL_DIGITS + "拾佰仟", "〇〇两万亿点一二二三四五六六七八九十百千")
_VALUES: Mapping[str, int] = dict(zip("〇一二三四五六七八九两", (*range(10), 2), strict=True))
_SCALE_VALUES = (("亿", 100_000_000), ("万", 10_000), ("千", 1000), ("百", 100), ("十", 10))
_APPROXIMATE_PAIRS = frozenset("一二 二三 三四 四五 五六 六七 七八 八九 三五".split())

_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_UNITS = "one two three four five six seven eight nine".split()
_CARDINALS = dict(zip((*_UNITS, *_TEENS, *_TENS), (*range(1, 20), *range(20, 100, 10)), strict=True))
_ORDINAL_WORDS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth thirtieth fortieth fiftieth sixtieth seventieth eightieth ninetieth"
)
_ORDINALS = dict(zip(_ORDINAL_WORDS.split(), _CARDINALS.values(), strict=True))
SMALL: Mapping[str, int] = {**_CARDINALS, **_ORDINALS}
_CENTURIES = ("seventeen", "eighteen", "nineteen", "twenty")
LARGE: Mapping[str, int] = {
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "dozen": 12,
    "lakh": 10**5,
    "crore": 10**7,
}
LARGE_SHORT: Mapping[str, int] = {
    "mn": 10**6,
    "bn": 10**9,
    "tn": 10**12,
    "k": 10**3,
    "m": 10**6,
    "b": 10**9,
    "t": 10**12,
}
_LARGE_WORD = "|".join(LARGE)
_ONE_NUMBER = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?")


@lru_cache(maxsize=16_384)
def chinese_number(numerals: str, fraction: str = "", scale: str = "") -> str | None:
    """The number that Chinese numerals tell, None if they tell none: 三, 五 and 亿, for 三点五亿, give "350000000".

    What is between two numbers (三四十), says "each" or "all" (一一), or begins with a bare 百, 千, 万 or 亿 tells none.
    """
    plain = numerals.translate(_PLAIN_SHAPES).replace("廿", "二十").replace("卅", "三十")
    if len(plain) > 1 and all(character in _VALUES for character in plain):
        return _told_by_digits(plain)
    if len(plain) > 2 and plain.endswith("两"):  # the tael, as in 一千两银子
        plain = plain[:-1]
    value = _value(plain)
    if value is not None and fraction:
        digits = "".join(str(_VALUES[digit]) for digit in fraction.translate(_PLAIN_SHAPES))[:_FRACTION_DIGITS]
        value = _value(f"{value // _WHOLE}.{digits}{scale.translate(_PLAIN_SHAPES)}")
    return None if value is None else _written(value)


def mixed_number(numeral: str) -> str | None:
    """The same for common digits with Chinese scales: 3.5万, 1亿2000万."""
    value = _value("".join(numeral.split()).translate(_PLAIN_SHAPES))
    return None if value is None else _written(value)


def plain_digits(numerals: str) -> str:
    """Digits, Chinese or common, each as a common one: 二〇〇八 as 2008."""
    return "".join(str(_VALUES.get(digit, digit)) for digit in numerals.translate(_PLAIN_SHAPES))


def scaled_number(number: str, worth: int = 1) -> str:
    """Common digits, with thousands separators and a point, times something: 3.50 and a million as 3500000."""
    return _written(_fixed(number) * worth)


def _told_by_digits(digits: str) -> str | None:
    """A number written digit by digit, as years are: not 三五 (a few), 一一 (each), 七七八八 (nearly all)."""
    is_doubled = digits[::2] == digits[1::2]
    if digits[0] == "〇" or "两" in digits or digits in _APPROXIMATE_PAIRS or is_doubled:
        return None
    return plain_digits(digits)


def _value(numeral: str) -> int | None:
    """The value in billionths of a numeral with Chinese scales and Chinese or common digits; None if it is none."""
    for scale, worth in _SCALE_VALUES:
        if scale in numeral:
            left, _, right = numeral.partition(scale)
            times = _WHOLE if scale == "十" and not left else _value(left)
            rest = _rest_value(right, worth)
            if not times or rest is None or rest >= worth * _WHOLE or (worth < 10_000 and not _is_single(left)):
                return None
            return times * worth + rest
    if len(numeral) == 1 and numeral in _VALUES:
        return _VALUES[numeral] * _WHOLE
    return _fixed(numeral) if _ONE_NUMBER.fullmatch(numeral) else None


def _rest_value(rest: str, worth: int) -> int | None:
    """What follows a scale of some worth: the five of 三千五 are hundreds, those of 三千零五 are ones."""
    if len(rest) == 1 and rest in "一二三四五六七八九123456789":
        return int(_VALUES.get(rest, rest)) * _WHOLE * worth // 10
    rest = rest.lstrip("〇")
    return _value(rest) if rest else 0


def _is_single(numeral: str) -> bool:
    return not numeral or numeral in _VALUES or numeral[0] in "0123456789"


def _fixed(number: str) -> int:
    """Digits with thousands separators and a point, in billionths."""
    whole, _, fraction = number.replace(",", "").partition(".")
    return int(whole + fraction[:_FRACTION_DIGITS].ljust(_FRACTION_DIGITS, "0"))


def _written(value: int) -> str:
    whole, fraction = divmod(value, _WHOLE)
    return f"{whole}.{fraction:09}".rstrip("0").rstrip(".")


@lru_cache(maxsize=16_384)
def spoken_numbers(phrase: str) -> tuple[str, ...]:
    """The numbers of a phrase of number words, each as digits, without a lone "one"."""
    words = [*re.split(r"[\s\-]+", phrase), "", ""]
    numbers: list[str] = []
    at = 0
    while words[at]:
        number, after = _spoken_year(words, at) or _spoken_number(words, at)
        if words[at:after] not in (["one"], []) and number:
            numbers.append(str(number))
        at = max(after, at + 1)
    return tuple(numbers)


def _spoken_year(words: list[str], at: int) -> tuple[int, int] | None:
    """A year in two halves: nineteen eighty-four."""
    if words[at] not in _CENTURIES:
        return None
    half, after = _spoken_small(words, at + 1)
    return (SMALL[words[at]] * 100 + half, after) if half >= 10 and words[after] not in LARGE else None


def _spoken_number(words: list[str], at: int) -> tuple[int, int]:
    """The number that begins at a word, and where it ends. Its powers of a thousand fall."""
    total, limit = 0, 10**15
    while limit > 1:
        group, after = _spoken_hundreds(words, at + (total > 0 and words[at] == "and"))
        worth = LARGE.get(words[after], 1)
        if worth >= limit or (total and not group):
            break
        total += (group or 1) * worth if group or worth > 1 else 0
        at, limit = after + (worth > 1), 1 if worth == LARGE["dozen"] else worth
    return total, at


def _spoken_hundreds(words: list[str], at: int) -> tuple[int, int]:
    value, at = _spoken_small(words, at)
    if words[at] != "hundred":
        return value, at
    value, at = (value or 1) * 100, at + 1
    more, after = _spoken_small(words, at + (words[at] == "and"))
    return (value + more, after) if more and words[after] != "hundred" else (value, at)


def _spoken_small(words: list[str], at: int) -> tuple[int, int]:
    value = SMALL.get(words[at], 0)
    if words[at] in _TENS and 0 < SMALL.get(words[at + 1], 0) < 10:
        return value + SMALL[words[at + 1]], at + 2
    return value, at + (value > 0)
