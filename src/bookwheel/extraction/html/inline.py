"""What the elements mean that stand within a paragraph: links, footnote references, pictures, readings, figures."""

import re
from collections.abc import Mapping

from bookwheel.extraction.html.footnotes import leads_back, link_target, looks_like_label, says_reference
from bookwheel.extraction.html.math import Formula
from bookwheel.extraction.html.page import Closer, Element, Handler, Page
from bookwheel.extraction.html.text import description, lowered, raised, tidy

MOST_REFERENCE = 12
"""Characters of a link that says it refers to a footnote."""

_NESTED_BRACKETS = re.compile(r"\s*\[(\[\^[^\]]+\])\]\s*")
_DISPLAY_TEX = re.compile(r"\{\\displaystyle\s*(.*)\}", re.DOTALL)


def _line_break(element: Element) -> None:
    page = element.page
    page.write("")
    page.writer.line_break()


def _title(element: Element) -> Closer:
    page = element.page
    mark = page.writer.mark()

    def close() -> None:
        text = tidy(page.writer.cut(mark))
        if not page.drawings and not page.title:
            page.title = text

    return close


def _drawing(element: Element) -> Closer:
    page = element.page
    page.drawings += 1

    def close() -> None:
        page.drawings -= 1

    return close


def _image(element: Element) -> None:
    page = element.page
    describe(page, element.tag, element.attributes)
    source = element.get("src") or element.get("xlink:href") or element.get("href") or element.get("recindex")
    picture = page.shared.picture(source, page.writer.anchor) if source else None
    if picture is not None:
        page.writer.picture(picture)


def describe(page: Page, tag: str, attributes: Mapping[str, str]) -> None:
    """Write the words that stand for an image. They may stand on one that is hidden: formulas do so."""
    if tag not in ("img", "image", "area"):
        return
    page.pictures += 1
    text = description(attributes.get("alt", ""))
    if tex := _DISPLAY_TEX.fullmatch(text):
        text = f"${tex[1].strip()}$"
    if text and page.verbatim is None:
        page.write(f" {text} " if len(text) > 3 else text)


def _shifted(element: Element) -> Closer:
    writer = element.page.writer
    mark = writer.mark()
    shift = raised if element.tag == "sup" else lowered
    element.page.raised += 1

    def close() -> None:
        element.page.raised -= 1
        text = writer.cut(mark)
        reference = _NESTED_BRACKETS.fullmatch(text)
        if reference:
            text = reference[1]
        elif element.page.links and element.page.links[-1] == mark:
            element.page.raised_link = text
        elif not writer.note:
            text = shift(text)
        writer.write(text)

    return close


def _quotation(element: Element) -> Closer:
    element.page.write("“")
    return lambda: element.page.write("”")


def _checkbox(element: Element) -> None:
    if element.get("type") in ("checkbox", "radio"):
        element.page.write("[x] " if "checked" in element.attributes else "[ ] ")


def _ruby(element: Element) -> Closer:
    readings, writer = element.page.shared.readings, element.page.writer
    readings.begin(writer)
    return lambda: readings.end(writer)


def _reading(element: Element) -> Closer:
    readings, writer = element.page.shared.readings, element.page.writer
    mark = writer.mark()
    return lambda: readings.add(writer.cut(mark))


def _link(element: Element) -> Closer | None:
    href = element.get("href").strip()
    if not href:
        return None
    page = element.page
    mark, pictures = page.writer.mark(), page.pictures
    outside = not href.startswith("#")
    page.doubt.links += outside
    page.links.append(mark)

    def close() -> None:
        page.doubt.links -= outside
        page.links.pop()
        raised_whole, page.raised_link = page.raised_link, ""
        if mark[0] != page.writer.generation:
            return
        text = page.writer.cut(mark)
        is_raised = bool(page.raised) or (text != "" and text.strip() == raised_whole.strip())
        words = _link_words(element, text, href, is_raised=is_raised)
        if not words and not text and page.pictures == pictures:
            words = _words_of_empty(element, href)
        page.writer.write(raised(words) if words == raised_whole else words)

    return close


def _link_words(element: Element, text: str, href: str, *, is_raised: bool) -> str:
    """The words of a link, as a reference where it leads to a footnote; nothing where it leads back from one."""
    page = element.page
    target = link_target(page.name, href)
    if target is None:
        return text
    shown, note = tidy(text), page.writer.note
    if leads_back(shown) or (note and is_raised and shown != note):
        return ""
    says_so = says_reference(element.attributes) and len(shown) <= MOST_REFERENCE
    if says_so or (is_raised and not note and looks_like_label(shown)):
        return f"[^{page.shared.footnotes.refer(target, shown)}]"
    return text


def _words_of_empty(element: Element, href: str) -> str:
    """What is said of a link without words: its label, else its target."""
    is_address = href.startswith(("http://", "https://", "mailto:"))
    return element.get("aria-label") or element.get("title") or (href if is_address else "")


def _formula(element: Element) -> None:
    if element.get("display") == "block":
        element.page.end_paragraph()
    element.page.formula = Formula(element.get("alttext"))


def _tex_script(element: Element) -> Closer:
    writer = element.page.writer
    mark = writer.mark()
    return lambda: writer.write(f"${tidy(writer.cut(mark))}$")


INLINE_HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("img", "image", "area"), _image),
    **dict.fromkeys(("sup", "sub"), _shifted),
    **dict.fromkeys(("rt", "rtc"), _reading),
    "br": _line_break,
    "title": _title,
    "svg": _drawing,
    "q": _quotation,
    "input": _checkbox,
    "ruby": _ruby,
    "a": _link,
    "math": _formula,
    "script": _tex_script,
}
