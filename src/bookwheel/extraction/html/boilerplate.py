"""What of a page is not its text: what is hidden, and what stands around the text of web pages.

Navigation, headers, footers and notices about cookies are held until they end, and dropped only where they are made of
links to other pages, or are short notices by name. Prose is never dropped, nor anything inside `main` or `article`.
"""

import re
from collections.abc import Callable, Mapping

from bookwheel.document import Block, BlockKind
from bookwheel.extraction.html.writer import Writer

MOST_NOTICE = 1_500
MOST_NESTED = 20

_HIDDEN_STYLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all)", re.IGNORECASE)
_DECORATION = frozenset(("span", "i", "b", "svg", "em", "sup", "img"))
_NOISE = frozenset(
    "linenos linenodiv headerlink anchorjs-link mw-editsection MathJax MathJax_Preview MathJax_Display MathJax_CHTML"
    " MathJax_SVG".split()
)
_AROUND = {
    "navigation": "nav",
    "banner": "header",
    "contentinfo": "footer",
    "complementary": "aside",
    "main": "main",
    "article": "article",
    "search": "nav",
}
_NOTICE = re.compile(
    r"(?:cookie|consent|gdpr|ccpa)s?[-_ ]?(?:banner|bar|notice|popup|modal|dialog|overlay|law|message|consent|prompt"
    r"|wall|manager|alert)|onetrust|cookiebot|usercentrics|didomi",
    re.IGNORECASE,
)


def is_hidden(name: str, attributes: Mapping[str, str]) -> bool:
    """Whether an element is not shown, as far as its own attributes tell. Notes that pop up are text."""
    if "hidden" in attributes and attributes["hidden"] != "until-found":
        return "note" not in attributes.get("epub:type", "")
    if attributes.get("aria-hidden") == "true" and name in _DECORATION:
        return True
    style = attributes.get("style")
    return style is not None and _HIDDEN_STYLE.search(style) is not None


def is_noise(attributes: Mapping[str, str]) -> bool:
    """Whether an element is a known helper of a page's own: line numbers, edit links, drawn formulas."""
    classes = attributes.get("class")
    return classes is not None and not _NOISE.isdisjoint(classes.split())


class Doubt:
    """The elements of a web page whose text may be none of its own, while they are open."""

    def __init__(self, *, active: bool) -> None:
        self._active = active
        self._open: list[tuple[str, int, int, list[tuple[int, str]]]] = []
        self._own = 0
        self._shown = 0
        self._linked = 0
        self.links = 0
        """Links to other pages that are open."""

    def count(self, text: str) -> None:
        """Text that is shown."""
        if self._open:
            size = len(text.strip())
            self._shown += size
            self._linked += size if self.links else 0

    def begin(self, name: str, attributes: Mapping[str, str], writer: Writer) -> Callable[[], None] | None:
        """What is to be called when the element ends that begins; None where nothing is."""
        if not self._active:
            return None
        kind = _AROUND.get(attributes.get("role", ""), name)
        if kind in ("main", "article"):
            self._own += 1
            return self._leave_own
        if self._own or len(self._open) == MOST_NESTED:
            return None
        if _NOTICE.search(f"{attributes.get('id', '')} {attributes.get('class', '')}") and name != "body":
            kind = "notice"
        if kind not in ("nav", "header", "footer", "aside", "notice"):
            return None
        self._open.append((kind, self._shown, self._linked, writer.path()))
        writer.begin_cell()
        return lambda: self._judge(writer)

    def _leave_own(self) -> None:
        self._own -= 1

    def _judge(self, writer: Writer) -> None:
        """The innermost of them ends: its text is dropped, or goes where it stands."""
        kind, shown_before, linked_before, path = self._open.pop()
        shown, linked = self._shown - shown_before, self._linked - linked_before
        items = writer.end_cell()
        headed = any(isinstance(item, Block) and item.kind is BlockKind.HEADING for item in items)
        if _is_boilerplate(kind, shown, linked, headed=headed):
            writer.restore(path)
        else:
            writer.put_items(items)


def _is_boilerplate(kind: str, shown: int, linked: int, *, headed: bool) -> bool:
    if kind == "notice":
        return shown < MOST_NOTICE
    if kind == "nav":
        return 2 * linked > shown
    return 5 * linked > 3 * shown and not headed
