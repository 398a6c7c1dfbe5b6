"""Numbers and dates of Chinese and English text in one form, so that 十九, nineteen and 19 meet as search terms.

Only what a plain split into words misses is given, in the digits that such a split would give. What is doubtful is left
alone: a lone "one" or 一, approximations (三四十, 数百万), Roman numerals, times of day, 01/02/2003.

One search for what may begin a number or a date goes over the text; what it finds is read in place. Every numeral is
bounded in length, so that hostile text takes time in proportion to its length.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType

from bookwheel.spelled_numbers import (
    DIGITS,
    FORMAL_DIGITS,
    LARGE,
    LARGE_SHORT,
    NUMERALS,
    SCALES,
    SMALL,
    chinese_number,
    mixed_number,
    plain_digits,
    scaled_number,
    spoken_numbers,
)

LONGEST_NUMERAL_CHARACTERS = 30
"""Longer runs of Chinese numerals are no numbers."""
LONGEST_NUMBER_WORDS = 12
"""After as many English words a number ends."""

_COUNTED_EVEN_IF_ONE = "月|号|號|世纪|世紀|季度|[届屆级級期]"
"""Before these 一 numbers; before the others it is rather an article (一款, 一条)."""
_COUNTED = (
    rf"{_COUNTED_EVEN_IF_ONE}|小时|小時|分钟|分鐘|公里|公斤|公顷|公頃|美元|港元|平方|立方"
    "|[年日天周週岁歲章节節條条款项項页頁卷集回次名人位个個家座所种種部层層倍元米吨噸斤亩畝里块塊]"
)

_LARGE_WORD = "|".join(LARGE)
_PER_CENT = r"(?:%|percent\b|per\scent\b|pct\b)"
_GAP = r"[\s\-]{1,3}"

_MONTHS = {word: number for number, word in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_FOUR_DIGITS = "[12][0-9]{3}"
_YEAR = rf"{_FOUR_DIGITS}(?![0-9])"
_DAY = r"[0-9]{1,2}(?=(?:st|nd|rd|th)?(?![0-9a-z]|[.:][0-9]|,[0-9]{3}(?![0-9])|\s?%))"
_DAY_ENDING = "(?:st|nd|rd|th)?"

_BEGINNING = re.compile(
    rf"""
    [0-9{DIGITS}十两兩廿卅百{FORMAL_DIGITS}abdefhjmnoqst](?<![a-z][a-z])
    (?:
      (?<=[a-z])(?<![0-9].)(?:
        (?P<words>(?:
          (?<=t)(?:w(?:o|el(?:ve|fth)|ent(?:y|ieth))|en(?:th)?|h(?:ree|ir(?:d|t(?:een(?:th)?|y|ieth))))
        | (?<=f)(?:irst|our(?:t(?:een(?:th)?|h))?|i(?:ve|ft(?:een(?:th)?|h|y|ieth))|ort(?:y|ieth))
        | (?<=s)(?:ix(?:t(?:een(?:th)?|h|y|ieth))?|even(?:t(?:een(?:th)?|h|y|ieth))?|econd(?=\squarter))
        | (?<=e)(?:ight(?:een(?:th)?|h|y|ieth)?|leven(?:th)?)
        | (?<=n)in(?:e(?:t(?:een(?:th)?|y|ieth))?|th)
        | (?<=o)ne(?={_GAP}(?:{_LARGE_WORD}|percent|per\scent)\b)
        | (?<=\ba\s.)(?:(?<=h)undred|(?<=t)(?:housand|rillion)|(?<=[mb])illion)
        | (?<=d)ozen
        )\b)
      | (?:(?<=j)(?:an|u[nl])|(?<=f)eb|(?<=m)a[ry]|(?<=a)(?:pr|ug)|(?<=s)ep|(?<=o)ct|(?<=n)ov|(?<=d)ec)
        [a-z]{{0,6}}[.,]?{_GAP}(?:of\s)?(?=[0-9])(?P<month>)
      | (?<=f)y(?='?[0-9]{{4}}(?![0-9])|\s?'?[0-9]{{2}}(?![0-9]))(?P<fiscal>)
      | (?<=q)(?=[1-4](?:fy|\s?')?[0-9]{{2}})(?P<quarter>)
      )
    | (?<=[0-9])(?<![0-9].)(?<![0-9]\..)(?<![0-9],(?=[0-9]{{3}}(?![0-9])).)(?P<digits>
          (?=[0-9]{{3}}[-/.][0-9]{{1,2}}[-/.][0-9])
        | (?=[0-9]?/[0-9]{{1,2}}/{_YEAR})
        | (?=[0-9]{{3}}\s?年\s?[0-9{DIGITS}十]{{1,3}}\s?月|[0-9]?\s?月\s?[0-9{DIGITS}十廿卅])
        | (?=[0-9]{{3}}q[1-4]\b|(?<=[1-4])q(?:fy)?[0-9]{{2}}|[0-9][财財]年|(?<=[1-4])季)
        | (?=[0-9,]{{0,20}}+(?:\.[0-9]{{1,9}})?+
             (?:\s?(?:{_PER_CENT}|(?:{_LARGE_WORD}|[mbt]n)\b|[{SCALES}])|[kmbt]\b|(?:st|nd|rd|th)\b))
        | (?=[0-9]?{_GAP}{_MONTH.replace("?P<month>", "?:")})
      )
    | (?<=[{DIGITS}十两兩廿卅])(?<![0-9{NUMERALS}].)(?<![几幾数數]十)(?P<numerals>
          (?=[{NUMERALS}]|[点點](?!一[滴点點])[{DIGITS}])
        | (?<=第.)
        | (?<=一)(?={_COUNTED_EVEN_IF_ONE})
        | (?<![一〇零○])(?={_COUNTED})
      )
    | (?<=百)(?=分之[0-9{NUMERALS}])(?P<share>)
    | (?<=[{FORMAL_DIGITS}])(?=[拾佰仟万萬亿億])(?P<formal>)
    )""",
    re.VERBOSE,
)

_NUMERIC_DATE = re.compile(
    rf"(?P<year>{_FOUR_DIGITS})(?P<mark>[-/.])(?P<month>[0-9]{{1,2}})(?P=mark)(?P<day>[0-9]{{1,2}})(?![0-9])"
)
_SLASHED_DATE = re.compile(rf"(?P<first>[0-9]{{1,2}})/(?P<second>[0-9]{{1,2}})/(?P<year>{_YEAR})")
_CHINESE_SMALL = rf"[0-9]{{1,2}}|[{DIGITS}十廿卅]{{1,3}}"
_CHINESE_DATE = re.compile(
    rf"(?:(?P<year>[0-9]{{4}}|[{DIGITS}]{{4}})\s?年\s?)?(?P<month>{_CHINESE_SMALL})\s?月"
    rf"(?:\s?(?P<day>{_CHINESE_SMALL})\s?[日号號])?"
)
_DAY_FIRST = re.compile(
    rf"(?P<day>[0-9]{{1,2}})(?P<ending>st|nd|rd|th)?(?:\sday)?{_GAP}(?P<of>of\s)?{_MONTH}(?:\s?,?{_GAP}(?P<year>{_YEAR}))?"
)
_MONTH_FIRST = re.compile(
    rf"{_MONTH}(?:\s?,?{_GAP}(?:of\s)?(?P<year_alone>{_YEAR})"
    rf"|{_GAP}(?P<day>{_DAY}){_DAY_ENDING}(?:\s?[-–]\s?(?P<last>{_DAY}){_DAY_ENDING})?"
    rf"(?:(?:\s?,\s?|{_GAP})(?P<year>{_YEAR}))?)"
)
_MORE_YEARS = re.compile(rf"(?:(?:,\s|,?\sand\s){_YEAR}){{1,4}}")
_VERB = re.compile(r"\s[a-z]")
_QUARTER = re.compile(
    r"(?P<year>[0-9]{4})q(?P<quarter>[1-4])\b"
    r"|(?P<quarter_first>[1-4])q(?:fy)?(?P<year_last>[0-9]{4}|[0-9]{2})(?![0-9])"
    r"|q(?P<quarter_named>[1-4])(?:fy|\s?')?(?P<year_named>[0-9]{4}|[0-9]{2})(?![0-9])"
)
_CHINESE_QUARTER = re.compile(r"[1-4一二三四](?:季度|(?<=年第.)季)")
_FISCAL = re.compile(r"fy\s?'?(?P<year>[0-9]{4}|[0-9]{2})|(?P<chinese_year>[0-9]{2})[财財]年")
_AMOUNT = re.compile(
    rf"(?P<number>[0-9]{{1,3}}(?:,[0-9]{{3}})+(?:\.[0-9]{{1,9}})?|[0-9]{{1,15}}(?:\.[0-9]{{1,9}})?)(?:"
    rf"\s?(?P<percent>{_PER_CENT})|\s?(?P<large>(?:{_LARGE_WORD}|[mbt]n)\b(?:\s(?:{_LARGE_WORD})\b)?)"
    rf"|(?P<letter>[kmbt])\b|(?P<ordinal>(?:st|nd|rd|th)\b(?:\s(?P<quarter>quarter)\b)?)"
    rf"|(?P<chinese>\s?[{SCALES}](?:[0-9.{NUMERALS}]{{0,20}}[{SCALES}])?(?:[二三四五六七八九]|[1-9](?![0-9.,]))?))"
)
_METRIC = re.compile(r"\s?千[米克瓦卡焦伏赫帕]")
_RUN = re.compile(rf"([{NUMERALS}]++)(?:[点點]([{DIGITS}]++)((?:[百千]?[万亿萬億])*+)(?![{NUMERALS}刻分半]))?+(?!分之)")
_LONG_RUN = re.compile(rf"[{NUMERALS}]++")
_FORMAL_RUN = re.compile(rf"[{FORMAL_DIGITS}拾佰仟零万萬亿億]++")
_SHARE = re.compile(
    rf"百分之(?:(?P<number>[0-9]{{1,15}}(?:\.[0-9]{{1,9}})?)(?![0-9])"
    rf"|(?P<run>[{NUMERALS}]++)(?:[点點](?P<fraction>[{DIGITS}]++))?)"
)
_NUMBER_WORD = rf"(?:(?:{'|'.join(sorted(SMALL, key=len, reverse=True))}|{_LARGE_WORD})\b)"
_PHRASE = re.compile(
    rf"(?P<phrase>{_NUMBER_WORD}(?:(?:(?<=hundred)|(?<=thousand)|(?<=[mbr]illion))\sand\s{_NUMBER_WORD}|{_GAP}{_NUMBER_WORD})"
    rf"{{0,{LONGEST_NUMBER_WORDS - 1}}}+)(?:\s?(?P<percent>{_PER_CENT})|\s(?P<quarter>quarter)\b)?"
)


def number_terms(text: str) -> list[str]:
    """The canonical terms of the numbers and dates that stand in a text, in order, as strings that no ordinary word equals.

    "nineteen", 十九 and 第十九 give "19", 3.5万 and "$35k" "35000", "30 percent" and 百分之三十 "30%", "second quarter" "q2".
    A day gives "d1984-01-24", "d1984-01" and "d01-24", as far as it is told. Numbers that stand there in plain digits are
    not repeated. Any text will do, whether or not it is folded; time is linear in its length.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    terms: list[str] = []
    found = _BEGINNING.search(folded)
    while found:
        after = _READERS[found.lastgroup or ""](folded, found.start(), terms)
        found = _BEGINNING.search(folded, max(after, found.start() + 1))
    return terms


def _read_digits(text: str, start: int, terms: list[str]) -> int:
    for read in (_read_amount, _read_numeric_date, _read_chinese_date, _read_day_first, _read_quarter, _read_fiscal):
        if after := read(text, start, terms):
            return after
    return 0


def _read_numeric_date(text: str, start: int, terms: list[str]) -> int:
    if found := _NUMERIC_DATE.match(text, start):
        day = _date_terms(found["year"], int(found["month"]), int(found["day"]))
        if day and found["mark"] == ".":
            terms.append(found["year"])
    elif found := _SLASHED_DATE.match(text, start):
        first, second = int(found["first"]), int(found["second"])
        is_ambiguous = first <= 12 and second <= 12 and first != second
        month, number = (second, first) if first > 12 else (first, second)
        day = [] if is_ambiguous else _date_terms(found["year"], month, number)
    else:
        return 0
    terms.extend(day)
    return found.end()


def _read_chinese_date(text: str, start: int, terms: list[str]) -> int:
    found = _CHINESE_DATE.match(text, start)
    if not found or not (found["year"] or found["day"]):
        return 0
    month, day = (_small_number(found[part]) for part in ("month", "day"))
    year = found["year"] and plain_digits(found["year"])
    date = _date_terms(year, month, day)
    if date and year != found["year"]:
        terms.append(year)
    terms.extend(date)
    return found.end() if date else 0


def _read_day_first(text: str, start: int, terms: list[str]) -> int:
    found = _DAY_FIRST.match(text, start)
    if not found:
        return 0
    is_verb = found["month"] in ("may", "mar", "march") and _VERB.match(text, found.end())
    if is_verb and not (found["year"] or found["of"] or found["ending"]):
        return 0
    date = _date_terms(found["year"], _MONTHS[found["month"][:3]], int(found["day"]))
    terms.extend(date)
    return _read_more_years(text, found.end(), date, terms) if date else 0


def _read_month_first(text: str, start: int, terms: list[str]) -> int:
    found = _MONTH_FIRST.match(text, start)
    if not found:
        return 0
    month = _MONTHS[found["month"][:3]]
    if found["year_alone"]:
        terms.extend(_date_terms(found["year_alone"], month, 0))
        return found.end()
    date = _date_terms(found["year"], month, int(found["day"]))
    terms.extend(date)
    if found["last"]:
        terms.extend(term for term in _date_terms(found["year"], month, int(found["last"])) if term not in date)
    return _read_more_years(text, found.end(), date, terms)


def _read_more_years(text: str, start: int, date: list[str], terms: list[str]) -> int:
    """Read on where the years of a day are listed, as reports do: December 31, 2023 and 2022."""
    found = _MORE_YEARS.match(text, start) if len(date) == 3 else None
    if not found:
        return start
    for year in re.findall(_FOUR_DIGITS, found.group()):
        terms.extend(_date_terms(year, int(date[2][1:3]), int(date[2][4:]))[:2])
    return found.end()


def _date_terms(year: str | None, month: int, day: int) -> list[str]:
    """The terms of a date of which year or day (0) may be unknown; none if there is no such day."""
    if not 1 <= month <= 12 or not 0 <= day <= _MONTH_DAYS[month - 1]:
        return []
    of_year = [f"d{year}-{month:02}-{day:02}"] if year and day else []
    of_month = [f"d{year}-{month:02}"] if year else []
    return [*of_year, *of_month, *([f"d{month:02}-{day:02}"] if day else [])]


def _read_quarter(text: str, start: int, terms: list[str]) -> int:
    if found := _QUARTER.match(text, start):
        quarter, year = (value for value in found.groups() if value)
        if found["quarter"]:
            quarter, year = year, quarter
        terms.extend((f"q{quarter}", _full_year(year)))
    elif found := _CHINESE_QUARTER.match(text, start):
        terms.append(f"q{_small_number(text[start])}")
    return found.end() if found else 0


def _read_fiscal(text: str, start: int, terms: list[str]) -> int:
    found = _FISCAL.match(text, start)
    if not found:
        return 0
    terms.append(_full_year(found["year"] or found["chinese_year"]))
    return found.end()


def _full_year(year: str) -> str:
    return year if len(year) == 4 else f"{'19' if year >= '80' else '20'}{year}"


def _read_amount(text: str, start: int, terms: list[str]) -> int:
    found = _AMOUNT.match(text, start)
    if not found or (found["ordinal"] and _DAY_FIRST.match(text, start)):
        return 0
    if found["percent"]:
        terms.append(f"{scaled_number(found['number'])}%")
    elif found["ordinal"]:
        terms.append(f"q{found['number']}" if found["quarter"] else found["number"].replace(",", ""))
    elif found["chinese"]:
        return _read_mixed(text, found, terms)
    elif found["large"] or text[max(0, start - 1) : start] in tuple("$€£¥"):
        scale = 1
        for word in (found["large"] or found["letter"]).split():
            scale *= LARGE.get(word) or LARGE_SHORT[word]
        terms.append(scaled_number(found["number"], scale))
    return found.end()


def _read_mixed(text: str, found: re.Match[str], terms: list[str]) -> int:
    """Digits with Chinese scales: 3.5万, 1亿2000万. Kilometres, kilograms and the like (5千米) are no thousands."""
    if not _METRIC.match(text, found.start("chinese")):
        terms.extend(_if_any(mixed_number(found.group())))
    return found.end()


def _read_numerals(text: str, start: int, terms: list[str]) -> int:
    if after := _read_chinese_date(text, start, terms) or _read_quarter(text, start, terms):
        return after
    found = _RUN.match(text, start)
    if not found:
        return _end_of(_LONG_RUN, text, start)
    run, fraction, scale = found.groups()
    if len(found.group()) <= LONGEST_NUMERAL_CHARACTERS:
        terms.extend(_if_any(chinese_number(run, fraction or "", scale or "")))
    return found.end()


def _read_formal(text: str, start: int, terms: list[str]) -> int:
    """Numerals of cheques and contracts. Some are ordinary characters (陆, 伍), so the run must have scales of its kind."""
    end = _end_of(_FORMAL_RUN, text, start)
    is_formal = set(text[start:end]) & set("拾佰仟") or text.startswith(("元", "圆", "圓"), end)
    if is_formal and end - start <= LONGEST_NUMERAL_CHARACTERS:
        terms.extend(_if_any(chinese_number(text[start:end])))
    return end


def _read_share(text: str, start: int, terms: list[str]) -> int:
    found = _SHARE.match(text, start)
    if not found or len(found.group()) > LONGEST_NUMERAL_CHARACTERS:
        return _end_of(_LONG_RUN, text, start + len("百分之"))
    if found["number"]:
        terms.append(f"{scaled_number(found['number'])}%")
    elif found["run"] == "百":
        terms.append("100%")
    else:
        terms.extend(f"{term}%" for term in _if_any(chinese_number(found["run"], found["fraction"] or "")))
    return found.end()


def _end_of(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.match(text, start)
    return found.end() if found else start


def _if_any(term: str | None) -> tuple[str, ...]:
    return () if term is None else (term,)


def _small_number(numeral: str | None) -> int:
    """The value of a numeral of a month or day; 0 if there is none, 99 if it is no number."""
    if not numeral:
        return 0
    return int(numeral if numeral[0] in "0123456789" else chinese_number(numeral) or 99)


def _read_words(text: str, start: int, terms: list[str]) -> int:
    found = _PHRASE.match(text, start)
    if not found:
        return 0
    *before, last = spoken_numbers(found["phrase"]) or ("",)
    if text[max(0, start - 7) : start] == "half a " and last and found["phrase"] in LARGE:
        last = str(int(last) // 2)
    if found["percent"] and (last or found["phrase"] == "one"):
        last = f"{last or 1}%"
    elif found["quarter"] and last in ("1", "2", "3", "4"):
        last = f"q{last}"
    terms.extend(term for term in (*before, last) if term)
    return found.end()


_READERS: Mapping[str, Callable[[str, int, list[str]], int]] = MappingProxyType(
    {
        "digits": _read_digits,
        "numerals": _read_numerals,
        "formal": _read_formal,
        "share": _read_share,
        "words": _read_words,
        "month": _read_month_first,
        "fiscal": _read_fiscal,
        "quarter": _read_quarter,
    }
)
