"""Fields of Word: what of them is seen. `PAGE` and the like change from page to page and are left out."""

import re
from dataclasses import dataclass

from lxml import etree

from bookwheel.extraction.docx.styles import is_on, value
from bookwheel.extraction.ooxml.package import W, whole_number
from bookwheel.extraction.ooxml.symbols import symbol

MOST_INSTRUCTION = 4_000
MOST_OPEN = 50

_PAGE_NUMBERS = frozenset(("PAGE", "NUMPAGES", "SECTIONPAGES"))
_CHECKED, _UNCHECKED = "☒", "☐"
_WORD = re.compile(r"\s*\\?(\w+)")
_EQUATION_SWITCH = re.compile(r'\\[*]\s*(?:"[^"]*"|\S+)|\\[a-z]+\d*(?:\s*\d+)?(?=[\s(\\])|"[^"]*"', re.IGNORECASE)
_CIRCLED = re.compile(r"^[(○◯〇]+[,，]\s*([^()]+?)\)*$")
_SYMBOL = re.compile(r'\s*SYMBOL\s+(0x[0-9a-f]+|\d+)(?:.*?\\f\s*"?([^"\\]+))?', re.IGNORECASE)


@dataclass
class _Field:
    instruction: str = ""
    in_result: bool = False
    muted: bool = True
    form: etree._Element | None = None


class Fields:
    """The fields that are open at one place in a paragraph; what is inside an instruction is not seen."""

    def __init__(self) -> None:
        self._open: list[_Field] = []
        self.muted = False

    def mark(self, element: etree._Element) -> str:
        """Take note of a `w:fldChar`; what is returned is to be seen at its place."""
        kind = element.get(f"{W}fldCharType")
        text = ""
        if kind == "begin" and len(self._open) < MOST_OPEN:
            self._open.append(_Field(form=element.find(f"{W}ffData")))
        elif kind == "separate" and self._open:
            self._open[-1].in_result = True
            self._open[-1].muted = is_page_number(self._open[-1].instruction)
        elif kind == "end" and self._open:
            ended = self._open.pop()
            text = "" if ended.in_result and _has_result(ended) else _drawn(ended)
        self.muted = any(field.muted for field in self._open)
        return "" if self.muted else text

    def instruct(self, text: str) -> None:
        """Take note of a piece of an instruction."""
        if self._open and not self._open[-1].in_result and len(self._open[-1].instruction) < MOST_INSTRUCTION:
            self._open[-1].instruction += text

    def reset(self) -> None:
        """Forget all fields: none that never ends may swallow the paragraphs after its own."""
        self._open, self.muted = [], False


def is_page_number(instruction: str) -> bool:
    """Whether a field stands for the number of a page that is being printed, or how many there are."""
    match = _WORD.match(instruction)
    return match is not None and match.group(1).upper() in _PAGE_NUMBERS


def _has_result(field: _Field) -> bool:
    return field.form is None or (field.form.find(f"{W}checkBox") is None and field.form.find(f"{W}ddList") is None)


def _drawn(field: _Field) -> str:
    """What Word draws for a field that has no result of its own."""
    if field.form is not None:
        return _form_text(field.form)
    if match := _SYMBOL.match(field.instruction):
        code = match.group(1)
        return symbol((match.group(2) or "").strip(), code if code.startswith("0x") else f"{int(code[:6]):x}")
    match = _WORD.match(field.instruction)
    return _equation(field.instruction[match.end() :]) if match and match.group(1).upper() == "EQ" else ""


def _form_text(form: etree._Element) -> str:
    box = form.find(f"{W}checkBox")
    if box is not None:
        checked = box.find(f"{W}checked")
        return _CHECKED if is_on(checked if checked is not None else box.find(f"{W}default")) else _UNCHECKED
    choices = form.findall(f"{W}ddList/{W}listEntry")
    chosen = form.find(f"{W}ddList/{W}result")
    chosen = form.find(f"{W}ddList/{W}default") if chosen is None else chosen
    place = whole_number(value(chosen), 0, 10_000)
    return (value(choices[place]) or "") if place < len(choices) else ""


def _equation(instruction: str) -> str:
    """An `EQ` field's arguments: `\\o\\ac(○,3)` as `(3)`, `\\f(1,2)` as `(1,2)`, `\\o\\ad(\\s\\up 9(zì),字)` as `字(zì)`."""
    switches = re.findall(r"\\([a-z])", instruction, re.IGNORECASE)
    plain = _EQUATION_SWITCH.sub("", instruction).strip()
    if circled := _CIRCLED.match(plain):
        return f"({circled.group(1)})"
    ruby = re.fullmatch(r"\(\s*\(([^()]*)\)\s*[,，]([^()]*)\)", plain)
    if ruby and "o" in switches:
        return f"{ruby.group(2)}({ruby.group(1)})"
    fraction = re.fullmatch(r"\(([^(),]*)[,，;]([^(),]*)\)", plain)
    if fraction and "f" in switches:
        return f"{fraction.group(1)}/{fraction.group(2)}"
    return plain
