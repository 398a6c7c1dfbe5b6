"""Equations (OMML) as one line of text, written as LaTeX writes them: `\\frac{a}{b}`, `x_{i}^{2}`, `\\sqrt[3]{x}`.

Signs stay as they are seen (`∑`, `≤`, `α`), so that they can be searched.
"""

import unicodedata
from collections.abc import Callable

from lxml import etree

from bookwheel.extraction.ooxml.package import M, W

MOST_DEPTH = 60

_ACCENTS = {
    "̂": "hat", "̃": "tilde", "̇": "dot", "̈": "ddot", "⃛": "dddot", "⃗": "vec", "̅": "bar",
    "̄": "bar", "̆": "breve", "̌": "check", "́": "acute", "̀": "grave",
}  # fmt: skip
_PROPERTIES = frozenset(
    M + name
    for name in "rPr fPr sSubPr sSupPr sSubSupPr sPrePr radPr naryPr dPr mPr eqArrPr funcPr limLowPr limUppPr accPr barPr"
    " groupChrPr boxPr borderBoxPr phantPr ctrlPr argPr oMathParaPr".split()
)


def math_text(element: etree._Element, depth: int = 0) -> str:
    """The text of an `m:oMath`, or of anything that stands in one."""
    if depth > MOST_DEPTH:
        return "".join(element.itertext(f"{M}t"))
    return "".join(_child_text(child, depth + 1) for child in element if child.tag not in _PROPERTIES)


def _child_text(child: etree._Element, depth: int) -> str:
    write = _WRITERS.get(child.tag)
    return write(child, depth) if write else "" if child.tag in _DROPPED else math_text(child, depth)


def _part(element: etree._Element, name: str, depth: int) -> str:
    part = element.find(M + name)
    return "" if part is None else math_text(part, depth).strip()


def _property(element: etree._Element, name: str, default: str) -> str:
    """The value of a property, as `m:chr` in `m:naryPr`; empty where it stands there without one."""
    found = element.find(f"{M}{etree.QName(element).localname}Pr/{M}{name}")
    return default if found is None else found.get(f"{M}val", "")


def _is_on(element: etree._Element, name: str) -> bool:
    return _property(element, name, "0") in ("", "1", "on", "true")


def _text(element: etree._Element, _depth: int) -> str:
    text = element.text or ""
    return text if text.isascii() else "".join(_plain(character) for character in text)


def _plain(character: str) -> str:
    """A mathematical letter (italic, bold, ...) as the letter that it is."""
    if "\U0001d400" <= character <= "\U0001d7ff":
        return unicodedata.normalize("NFKC", character)
    return "" if character in "\u2061\u2062\u2063\u200b" else character


def _group(text: str) -> str:
    return f"{{{text}}}"


def _fraction(element: etree._Element, depth: int) -> str:
    top, bottom = _part(element, "num", depth), _part(element, "den", depth)
    kind = _property(element, "type", "bar")
    if kind == "lin":
        return f"{top}/{bottom}"
    if kind == "noBar":
        return f"\\binom{_group(top)}{_group(bottom)}"
    return f"\\frac{_group(top)}{_group(bottom)}"


def _script(element: etree._Element, depth: int) -> str:
    base, sub, sup = (_part(element, name, depth) for name in ("e", "sub", "sup"))
    return base + _scripts(sub, sup)


def _before(element: etree._Element, depth: int) -> str:
    base, sub, sup = (_part(element, name, depth) for name in ("e", "sub", "sup"))
    return "{}" + _scripts(sub, sup) + base


def _scripts(sub: str, sup: str) -> str:
    return (f"_{_group(sub)}" if sub else "") + (f"^{_group(sup)}" if sup else "")


def _root(element: etree._Element, depth: int) -> str:
    degree = "" if _is_on(element, "degHide") else _part(element, "deg", depth)
    return "\\sqrt" + (f"[{degree}]" if degree else "") + _group(_part(element, "e", depth))


def _nary(element: etree._Element, depth: int) -> str:
    sign = _property(element, "chr", "∫") or "∫"
    sub = "" if _is_on(element, "subHide") else _part(element, "sub", depth)
    sup = "" if _is_on(element, "supHide") else _part(element, "sup", depth)
    return f"{sign}{_scripts(sub, sup)} {_part(element, 'e', depth)}"


def _delimiters(element: etree._Element, depth: int) -> str:
    opening, closing = _property(element, "begChr", "("), _property(element, "endChr", ")")
    inside = _property(element, "sepChr", "|").join(math_text(e, depth).strip() for e in element.findall(f"{M}e"))
    return f"{opening}{inside}{closing}"


def _matrix(element: etree._Element, depth: int) -> str:
    rows = " \\\\ ".join(
        " & ".join(math_text(cell, depth).strip() for cell in row.findall(f"{M}e")) for row in element.findall(f"{M}mr")
    )
    return f"\\begin{{matrix}} {rows} \\end{{matrix}}"


def _array(element: etree._Element, depth: int) -> str:
    return " \\\\ ".join(math_text(line, depth).strip().replace("&", "") for line in element.findall(f"{M}e"))


def _function(element: etree._Element, depth: int) -> str:
    name, argument = _part(element, "fName", depth), _part(element, "e", depth)
    return f"{name}{argument}" if argument.startswith(("(", "[", "{", "|")) else f"{name} {argument}"


def _limit(sign: str) -> Callable[[etree._Element, int], str]:
    def write(element: etree._Element, depth: int) -> str:
        return f"{_part(element, 'e', depth)}{sign}{_group(_part(element, 'lim', depth))}"

    return write


def _accent(element: etree._Element, depth: int) -> str:
    name = _ACCENTS.get(_property(element, "chr", "̂"), "hat")
    return f"\\{name}{_group(_part(element, 'e', depth))}"


def _bar(element: etree._Element, depth: int) -> str:
    name = "overline" if _property(element, "pos", "bot") == "top" else "underline"
    return f"\\{name}{_group(_part(element, 'e', depth))}"


def _over_or_under(element: etree._Element, depth: int) -> str:
    inside = _part(element, "e", depth)
    sign, place = _property(element, "chr", "⏟"), _property(element, "pos", "bot")
    if sign in ("⏟", "⏞"):
        return f"\\{'overbrace' if place == 'top' else 'underbrace'}{_group(inside)}"
    return f"\\{'overset' if place == 'top' else 'underset'}{_group(sign)}{_group(inside)}"


def _line_break(_element: etree._Element, _depth: int) -> str:
    return " "


_DROPPED = frozenset((f"{W}del", f"{W}moveFrom", f"{W}rPr"))
_WRITERS: dict[str, Callable[[etree._Element, int], str]] = {
    f"{M}t": _text,
    f"{W}t": _text,
    f"{W}br": _line_break,
    f"{M}f": _fraction,
    f"{M}sSub": _script,
    f"{M}sSup": _script,
    f"{M}sSubSup": _script,
    f"{M}sPre": _before,
    f"{M}rad": _root,
    f"{M}nary": _nary,
    f"{M}d": _delimiters,
    f"{M}m": _matrix,
    f"{M}eqArr": _array,
    f"{M}func": _function,
    f"{M}limLow": _limit("_"),
    f"{M}limUpp": _limit("^"),
    f"{M}acc": _accent,
    f"{M}bar": _bar,
    f"{M}groupChr": _over_or_under,
}
