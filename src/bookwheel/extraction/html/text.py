"""The words of a page: white space as a browser shows it, raised and lowered figures, which descriptions are real text."""

import re

BREAK = "\0"
"""Stands for a line break among inline text. The parser lets no NUL through."""

_INVISIBLE = "\u00ad\u200b\u2060\ufeff"
_CJK = "\u2e80-\u303f\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"
_WRAPPED_CJK = re.compile(rf"(?<=[{_CJK}])[ \t]*\r?\n\s*(?=[{_CJK}])")
_AROUND_BREAK = re.compile(r" ?\0 ?")
_FIGURES = "0123456789+-−=()n"
_RAISED = str.maketrans(_FIGURES + "i", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱ")
_LOWERED = str.maketrans(_FIGURES, "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₙ")
_FILE_NAME = re.compile(r"\S+\.(?:jpe?g|png|gif|svg|webp|bmp|tiff?|x?html?)", re.IGNORECASE)
_NO_DESCRIPTION = frozenset(
    "alt avatar banner bullet cover decoration figure icon image images img logo n/a none null photo pic picture spacer"
    " thumbnail 图片 图像 插图 封面 画像 表紙".split()
)
MOST_DESCRIPTION = 2000


def tidy(raw: str) -> str:
    """Inline text as it is seen: white space collapsed, invisible characters gone, BREAK as a line end.

    Lines of Chinese and Japanese that the source wraps are joined without a space.
    """
    if not raw.isascii():
        for character in _INVISIBLE:
            raw = raw.replace(character, "")
        if "\n" in raw:
            raw = _WRAPPED_CJK.sub("", raw)
    text = " ".join(raw.split())
    return _AROUND_BREAK.sub("\n", text).strip("\n") if BREAK in text else text


def raised(text: str) -> str:
    """A superscript: 10⁶ must not become 106, while the letters of 1st and Mlle stand as they are."""
    return _moved(text, _RAISED, _FIGURES + "i", "^")


def lowered(text: str) -> str:
    """A subscript: H₂O."""
    return _moved(text, _LOWERED, _FIGURES, "_")


def _moved(text: str, table: dict[int, int], known: str, sign: str) -> str:
    bare = text.strip()
    if not bare or (bare.isalpha() and bare not in ("n", "i")) or "[^" in bare or len(bare) > 20:
        return text
    if all(character in known for character in bare):
        return text.replace(bare, bare.translate(table))
    if any(character in "0123456789+-−=/" for character in bare):
        return text.replace(bare, f"{sign}({bare})")
    return text


def description(alt: str) -> str:
    """The alternative text of a picture where it says something, else nothing."""
    text = tidy(alt.replace(BREAK, " "))[:MOST_DESCRIPTION]
    if text.casefold() in _NO_DESCRIPTION or _FILE_NAME.fullmatch(text):
        return ""
    return text
