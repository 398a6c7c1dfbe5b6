"""Numbers as lists count with them: `3` as `iii`, `c`, `三` or `③`. Formats are named as ST_NumberFormat names them."""

from collections.abc import Callable

MOST = 32_767
"""Word counts no further."""

_ROMAN = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)
_LATIN = "abcdefghijklmnopqrstuvwxyz"
_RUSSIAN = "абвгдежзиклмнопрстуфхцчшщыэюя"
_HEAVENLY_STEMS = "甲乙丙丁戊己庚辛壬癸"
_EARTHLY_BRANCHES = "子丑寅卯辰巳午未申酉戌亥"
_AIUEO = "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲン"
_IROHA = "イロハニホヘトチリヌルヲワカヨタレソツネナラムウヰノオクヤマケフコエテアサキユメミシヱヒモセス"
_GANADA = "가나다라마바사아자차카타파하"
_CHOSUNG = "ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊㅋㅌㅍㅎ"
_ARABIC = "أبتثجحخدذرزسشصضطظعغفقكلمنهوي"
_HEBREW = "אבגדהוזחטיכלמנסעפצקרשת"
_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth"}
_ORDINALS |= {"twelve": "twelfth"}

_PLAIN, _LEGAL, _TRADITIONAL_LEGAL = "〇一二三四五六七八九", "零壹贰叁肆伍陆柒捌玖", "零壹貳參肆伍陸柒捌玖"
_KOREAN = "영일이삼사오육칠팔구"


def format_number(number: int, number_format: str) -> str:
    """`number` as the format writes it; formats that are not known count in digits, `none` not at all."""
    if not 0 <= number <= MOST:
        return str(number)
    if number_format == "none":
        return ""
    write = _FORMATS.get(number_format)
    return write(number) if write and number else str(number)


def roman(number: int) -> str:
    """`4` as `iv`."""
    text = ""
    for value, sign in _ROMAN:
        text += sign * (number // value)
        number %= value
    return text


def chinese(number: int, digits: str = _PLAIN, units: str = "十百千万") -> str:
    """`15` as `十五`, `105` as `一百〇五`: each digit with its unit, one zero for a gap."""
    if number >= 10_000:
        rest = number % 10_000
        gap = digits[0] if 0 < rest < 1000 else ""
        return (
            chinese(number // 10_000, digits, units) + units[3] + gap + (chinese(rest, digits, units) if rest else "")
        )
    text, gap = "", ""
    for power in (3, 2, 1, 0):
        digit = number // 10**power % 10
        if digit:
            text += gap + digits[digit] + (units[power - 1] if power else "")
            gap = ""
        else:
            gap = digits[0] if text else ""
    if digits in (_PLAIN, _KOREAN) and 10 <= number < 20:
        return text[1:]
    return text


def _digits(number: int) -> str:
    return "".join(_PLAIN[int(digit)] for digit in str(number))


def _letters(alphabet: str) -> Callable[[int], str]:
    """After the last letter come doubled ones, as Word counts: `z`, `aa`, `bb`."""
    return lambda number: alphabet[(number - 1) % len(alphabet)] * min(1 + (number - 1) // len(alphabet), 20)


def _either(first: int, last: int, write: Callable[[int], str]) -> Callable[[int], str]:
    """One character for the first `last` numbers, beginning with code point `first`; brackets or digits beyond."""
    return lambda number: chr(first + number - 1) if number <= last else write(number)


def _circled(number: int) -> str:
    if number <= 20:
        return chr(0x2460 + number - 1)
    if number <= 50:
        return chr((0x3251 if number <= 35 else 0x32B1 - 15) + number - 21)
    return f"({number})"


def _sexagenary(number: int) -> str:
    return _HEAVENLY_STEMS[(number - 1) % 10] + _EARTHLY_BRANCHES[(number - 1) % 12]


def _words(number: int) -> str:
    if number < 20:
        return _WORDS[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_WORDS[ones]}" if ones else "")
    hundreds, rest = divmod(number, 100)
    return f"{_words(hundreds)} hundred {_words(rest) if rest else ''}".strip() if number < 1000 else str(number)


def _ordinal_words(number: int) -> str:
    head, hyphen, last = _words(number).rpartition("-")
    start, space, last = last.rpartition(" ")
    last = _ORDINALS.get(last, last.removesuffix("y") + "ie" * last.endswith("y") + "th")
    return head + hyphen + start + space + last


def _ordinal(number: int) -> str:
    teen = 10 < number % 100 < 20
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


_ROUND = _circled
_BRACKETS = _either(0x2474, 20, lambda number: f"({number})")
_LEGAL_UNITS = "拾佰仟万"

_FORMATS: dict[str, Callable[[int], str]] = {
    "decimalZero": lambda number: f"{number:02}",
    "upperRoman": lambda number: roman(number).upper(),
    "lowerRoman": roman,
    "upperLetter": _letters(_LATIN.upper()),
    "lowerLetter": _letters(_LATIN),
    "russianUpper": _letters(_RUSSIAN.upper()),
    "russianLower": _letters(_RUSSIAN),
    "ordinal": _ordinal,
    "cardinalText": lambda number: _words(number).capitalize(),
    "ordinalText": lambda number: _ordinal_words(number).capitalize(),
    "hex": lambda number: f"{number:X}",
    "numberInDash": lambda number: f"- {number} -",
    "chineseCounting": chinese,
    "chineseCountingThousand": chinese,
    "taiwaneseCounting": chinese,
    "taiwaneseCountingThousand": chinese,
    "japaneseCounting": chinese,
    "koreanCounting": lambda number: chinese(number, _KOREAN, "십백천만"),
    "koreanDigital": lambda number: "".join(_KOREAN[int(digit)] for digit in str(number)),
    "chineseLegalSimplified": lambda number: chinese(number, _LEGAL, _LEGAL_UNITS),
    "ideographLegalTraditional": lambda number: chinese(number, _TRADITIONAL_LEGAL, _LEGAL_UNITS),
    "japaneseLegal": lambda number: chinese(number, _TRADITIONAL_LEGAL, _LEGAL_UNITS),
    "ideographDigital": _digits,
    "japaneseDigitalTenThousand": _digits,
    "taiwaneseDigital": _digits,
    "ideographTraditional": _letters(_HEAVENLY_STEMS),
    "ideographZodiac": _letters(_EARTHLY_BRANCHES),
    "ideographZodiacTraditional": _sexagenary,
    "ideographEnclosedCircle": _either(0x3280, 10, lambda number: f"({chinese(number)})"),
    "decimalEnclosedCircle": _ROUND,
    "decimalEnclosedCircleChinese": _ROUND,
    "decimalEnclosedFullstop": _either(0x2488, 20, lambda number: f"{number}."),
    "decimalEnclosedParen": _BRACKETS,
    "decimalFullWidth": lambda number: str(number).translate({48 + n: 0xFF10 + n for n in range(10)}),
    "decimalFullWidth2": lambda number: str(number).translate({48 + n: 0xFF10 + n for n in range(10)}),
    "aiueo": _letters(_AIUEO),
    "aiueoFullWidth": _letters(_AIUEO),
    "iroha": _letters(_IROHA),
    "irohaFullWidth": _letters(_IROHA),
    "ganada": _letters(_GANADA),
    "chosung": _letters(_CHOSUNG),
    "arabicAlpha": _letters(_ARABIC),
    "hebrew2": _letters(_HEBREW),
}
