"""How a spreadsheet shows its numbers: `0.0711` under `0.00%` is `7.11%`, `40516` under `d-mmm-yy` is `2010-12-04`.

A number format (ECMA-376, 18.8.31) is compiled once into a function from the stored number to what the user sees. Dates are
ISO dates, whatever their format. What is not understood (fractions, conditions) shows the number as it is. A number that
its format would show as 0 although it is none is shown with its first digits.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from math import isfinite

Show = Callable[[float], str]

MOST_CODE_CHARACTERS = 1_000
MOST_SHOWN = 1e21
MOST_KEPT = 8_192
HALF_UP = 1 + 2**-51
"""Half a step is rounded up, as 1.005 means it."""
FIRST_DAY_OF_1904 = datetime(1904, 1, 1)  # noqa: DTZ001 - cells have no zone
FIRST_DAY = datetime(1899, 12, 30)  # noqa: DTZ001
FIRST_DAY_BEFORE_MARCH = datetime(1899, 12, 31)  # noqa: DTZ001
LAST_SERIAL = 2_958_466
"""The first serial number after the year 9999."""

BUILT_IN = {
    1: "0",
    2: "0.00",
    3: "#,##0",
    4: "#,##0.00",
    **dict.fromkeys((5, 6, 41), "#,##0;(#,##0)"),
    **dict.fromkeys((7, 8, 39, 40, 43), "#,##0.00;(#,##0.00)"),
    9: "0%",
    10: "0.00%",
    11: "0.00E+00",
    **dict.fromkeys((14, 15, 16, *range(27, 32), 36, *range(50, 55), 57, 58), "yyyy-mm-dd"),
    17: "yyyy-mm",
    **dict.fromkeys((18, 20, 32, 34, 55), "h:mm"),
    **dict.fromkeys((19, 21, 33, 35, 56), "h:mm:ss"),
    22: "yyyy-mm-dd h:mm",
    37: "#,##0;(#,##0)",
    38: "#,##0;(#,##0)",
    42: "#,##0;(#,##0)",
    44: "#,##0.00;(#,##0.00)",
    45: "mm:ss",
    46: "[h]:mm:ss",
    47: "mm:ss",
    48: "0.0E+0",
}
"""The formats that files name by number alone. Currency signs among them are the reader's own, not the file's."""

_TOKEN = re.compile(
    r'"([^"]*)"|\\(.)|[_*].|\[([^\]]*)\]|general|am/pm|a/p|上午/下午|e[+-]|([ymdhseg]+)|([#0?.,]+)|.',
    re.IGNORECASE | re.DOTALL,
)
_ELAPSED = re.compile(r"h+|m+|s+", re.IGNORECASE)
_CURRENCY = re.compile(r"\$([^-]*)")
_CONDITION = re.compile(r"[<>=]")
_NUMBER = re.compile(r"[#0?,]*(?:\.[#0?]*)?,*")


class Shown(dict[str, str]):
    """From numbers as they are stored to what is shown: `shown["0.0711"]`. What is no number comes back as it is.

    Results are kept, up to a limit: a sheet of millions of cells looks most of them up, which is why this is a dict.
    """

    def __init__(self, show: Show) -> None:
        super().__init__({"": ""})
        self._show = show
        usual = show.usual if isinstance(show, _BySign) else None
        self._pattern, self._factor, self._least = usual or ("".format, 1.0, MOST_SHOWN)

    def __missing__(self, raw: str) -> str:
        try:
            number = float(raw)
        except ValueError:
            return raw
        if self._least <= number < MOST_SHOWN:
            shown = self._pattern(number * self._factor)
        else:
            shown = self._show(number) if isfinite(number) else raw
        if len(self) < MOST_KEPT:
            self[raw] = shown
        return shown


class Plain(Shown):
    """Numbers without a format: whole ones without a point, others without the noise of binary fractions."""

    def __init__(self) -> None:
        super().__init__(_plain)

    def __missing__(self, raw: str) -> str:
        if raw.isascii() and (
            raw.isdigit() or (len(raw) < 12 and raw.replace(".", "", 1).isdigit() and raw[-1] not in "0.")
        ):
            return raw
        return super().__missing__(raw)


def number_format(code: str, *, from_1904: bool) -> Shown:
    """What numbers of a format code are shown as."""
    sections = [] if len(code) > MOST_CODE_CHARACTERS else _sections(code)
    if not any(sections) or code.strip().lower() in ("general", "@"):
        return Plain()
    shape = _moment_shape(sections[0])
    return Shown(_show_moment(shape, from_1904) if shape else _show_number(sections))


def _plain(number: float) -> str:
    if number == int(number) and abs(number) < MOST_SHOWN:
        return str(int(number))
    return f"{number:.15g}" if abs(number) >= 1e6 else f"{number:.10g}"


def _sections(code: str) -> list[list[re.Match[str]]]:
    """The tokens of a code, parted at its semicolons."""
    sections: list[list[re.Match[str]]] = [[]]
    for token in _TOKEN.finditer(code):
        if token[0] == ";":
            sections.append([])
        else:
            sections[-1].append(token)
    return sections


def _moment_shape(tokens: list[re.Match[str]]) -> str:
    """The letters of a date or time format (`ymdhs`; `e` for elapsed time first), or nothing."""
    letters = "".join(token[4] or "" for token in tokens).lower()
    elapsed = any(token[3] and _ELAPSED.fullmatch(token[3]) for token in tokens)
    return ("e" if elapsed else "") + letters.replace("e", "y").replace("g", "") if letters or elapsed else ""


def _show_moment(shape: str, from_1904: bool) -> Show:
    """Dates, times, both or durations, by which letters a format has."""
    if shape.startswith("e") or set(shape) == {"m", "s"}:
        return _duration
    timed, dated = set(shape) & set("hs"), set(shape) & set("yd")
    pattern = "%H:%M:%S" if "s" in shape else "%H:%M"
    if not timed:
        pattern = {"m": "%b", "d": "%a"}.get(shape[0], "%Y-%m-%d") if set(shape) in ({"m"}, {"d"}) else "%Y-%m-%d"
        pattern = _short_date(shape, pattern)
    elif dated:
        pattern = f"%Y-%m-%d {pattern}"

    def show(number: float) -> str:
        if not 0 <= number < LAST_SERIAL:
            return _plain(number)
        return _moment(number, from_1904).strftime(pattern)

    return show


def _short_date(shape: str, pattern: str) -> str:
    """The dates of which only a month, a year or a day of the week is shown."""
    if pattern in ("%b", "%a"):
        return {"mmm": "%b", "mmmm": "%B", "ddd": "%a", "dddd": "%A"}.get(shape, "%Y-%m-%d")
    return {"y": "%Y", "ym": "%Y-%m"}.get("".join(sorted(set(shape), reverse=True)), pattern)


def _moment(serial: float, from_1904: bool) -> datetime:
    """A serial number's moment. Day 60 of the 1900 system, a 29 February that never was, is 28 February."""
    start = FIRST_DAY_OF_1904 if from_1904 else FIRST_DAY if serial >= 60 else FIRST_DAY_BEFORE_MARCH
    seconds = round(serial * 86_400)
    return start + timedelta(seconds=seconds)


def _duration(days: float) -> str:
    seconds = round(abs(days) * 86_400)
    return f"{'-' if days < 0 else ''}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _show_number(sections: list[list[re.Match[str]]]) -> Show:
    if any(token[3] and _CONDITION.match(token[3]) for tokens in sections for token in tokens):
        return _plain
    return _BySign([_section(tokens) for tokens in sections[:3]])


class _BySign:
    """The sections of a format, chosen by sign: positive; negative; zero."""

    def __init__(self, shows: list[Show]) -> None:
        self._shows = shows
        self.usual = shows[0].usual if isinstance(shows[0], _Digits) else None

    def __call__(self, number: float) -> str:
        shows = self._shows
        if number < 0:
            return shows[1](-number) if len(shows) > 1 else f"-{shows[0](-number)}"
        return shows[2](number) if number == 0 and len(shows) > 2 else shows[0](number)


def _section(tokens: list[re.Match[str]]) -> Show:
    """The function of one section: what stands before the digits, the digits, what stands after."""
    before, digits, after, parts = "", "", "", 0
    for token in tokens:
        if token[5]:
            parts += 1
            digits += token[5]
        elif token[0].lower() in ("general", "e+", "e-", "/"):
            return _scientific if token[0][0] in "eE" else _plain
        elif not digits:
            before += _literal(token)
        else:
            after += _literal(token)
    percent = any(token[0] == "%" for token in tokens)
    if parts > 1:
        return _filled_in("".join(token[5] or _literal(token) for token in tokens))
    if not digits:
        return lambda _: before.strip()
    return _Digits(digits, before.lstrip(), after.rstrip(), 100.0 if percent else 1.0)


def _literal(token: re.Match[str]) -> str:
    """What a token that is no digit shows."""
    if token[1] is not None or token[2] is not None:
        return token[1] or token[2] or ""
    if token[3] is not None:
        currency = _CURRENCY.match(token[3])
        return currency[1] if currency else ""
    return " " if token[0][0] == "_" else "" if token[0][0] in "*@" else token[0]


class _Digits:
    """`#,##0.00` and the like, with what stands around it.

    `usual` is for positive numbers that are not tiny: a pattern, the factor of what goes into it, the least such number.
    """

    def __init__(self, code: str, before: str, after: str, factor: float) -> None:
        shape = _NUMBER.match(code)
        whole, _, fraction = (shape[0] if shape else code).rstrip(",").partition(".")
        self._before, self._after = before, after
        self._factor = factor / 1000 ** (len(code) - len(code.rstrip(",")))
        self._optional = len(fraction) - fraction.count("0")
        self._empty = "0" not in code
        self._pattern = _pattern(whole, len(fraction))
        self.usual: tuple[Callable[[float], str], float, float] | None = None
        if not self._optional:
            around = [text.replace("{", "{{").replace("}", "}}") for text in (before, after)]
            usual = self._pattern.join(around).format
            self.usual = (usual, self._factor * HALF_UP, 10.0 ** -len(fraction) / self._factor)

    def __call__(self, number: float) -> str:
        scaled = number * self._factor
        if scaled >= MOST_SHOWN:
            return _plain(scaled)
        shown = self._pattern.format(scaled * HALF_UP)
        if not shown.strip("0.,"):
            shown = f"{scaled:.3g}" if scaled else "" if self._empty else shown
        elif self._optional:
            shown = _without_zeros(shown, self._optional)
        return f"{self._before}{shown}{self._after}"


def _pattern(whole: str, places: int) -> str:
    comma = "," if "," in whole else ""
    zeros = whole.count("0")
    return f"{{:0{zeros + places + (places > 0)}.{places}f}}" if zeros > 1 and not comma else f"{{:{comma}.{places}f}}"


def _without_zeros(shown: str, most: int) -> str:
    for _ in range(most):
        shown = shown.removesuffix("0")
    return shown.removesuffix(".")


def _scientific(number: float) -> str:
    return f"{number:.6G}" if number else "0"


def _filled_in(code: str) -> Show:
    """Digits with something between them: `000-00-0000`."""
    places = sum(code.count(place) for place in "0#?")

    def show(number: float) -> str:
        digits = f"{number:.0f}"
        if number != int(number) or len(digits) > places or "." in code:
            return _plain(number)
        left = list(digits.rjust(places, "0"))
        return "".join(left.pop(0) if character in "0#?" else character for character in code).strip()

    return show
