"""MathML as a line of text: the TeX that comes with it where there is one, else fractions, powers and roots in signs."""

from collections.abc import Mapping

from bookwheel.extraction.html.text import description, tidy

MOST_NODES = 20_000
"""Of one formula; what goes beyond is left out."""
MOST_DEPTH = 100

_TEX = frozenset(["application/x-tex", "tex", "latex", "text/x-tex", "application/x-latex"])
_MARKS = {"\u2061": "", "\u2062": "", "\u2063": ",", "\u2064": "+"}
"""Invisible operators: function application, times, comma, plus."""


class Formula:
    """A formula's tree while it is read, which takes the parser's events; `text` renders it."""

    def __init__(self, alternative: str) -> None:
        self._alternative = description(alternative)
        self._tex = ""
        self._root = _Node("mrow", {})
        self._open = [self._root]
        self._nodes = 0

    @property
    def depth(self) -> int:
        """How many of its elements are open, itself included."""
        return len(self._open)

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        node = _Node(tag, attributes)
        self._nodes += 1
        if self._nodes < MOST_NODES and len(self._open) < MOST_DEPTH:
            self._open[-1].children.append(node)
        self._open.append(node)

    def data(self, text: str) -> None:
        self._open[-1].words += text

    def end(self) -> bool:
        """The innermost element ends; true where it was the formula."""
        node = self._open.pop()
        if node.tag == "annotation" and node.attributes.get("encoding", "").casefold() in _TEX:
            self._tex = self._tex or tidy(node.words)
        return not self._open

    def text(self) -> str:
        """The formula on one line."""
        tex = self._tex or self._alternative
        if tex.startswith("{\\displaystyle") and tex.endswith("}"):
            tex = tex[len("{\\displaystyle") : -1].strip()
        return f"${tex}$" if self._tex or "\\" in tex else tex or tidy(_render(self._root))


class _Node:
    __slots__ = ("attributes", "children", "tag", "words")

    def __init__(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: list[_Node] = []
        self.words = ""


def _render(node: _Node) -> str:
    """Recursive, no deeper than MOST_DEPTH."""
    tag = node.tag
    if tag in ("annotation", "annotation-xml", "mphantom", "none", "mprescripts"):
        return ""
    if tag == "mtable":
        return "; ".join(filter(None, map(_render, node.children)))
    parts = list(map(_render, node.children))
    if tag in ("mtr", "mlabeledtr"):
        return ", ".join(filter(None, parts))
    if tag in _SCHEMES and len(parts) > 1:
        return _scheme(tag, parts)
    inner = " ".join(parts) if tag == "mtd" else "".join(parts)
    words = "".join(_MARKS.get(character, character) for character in node.words)
    text = (words if words.strip() else "") + inner
    return _dressed(tag, node, text)


def _dressed(tag: str, node: _Node, text: str) -> str:
    bare = text.strip()
    match tag:
        case "mo":
            text = f" {bare} " if bare in _SPACED else bare
        case "mi" | "mn":
            text = bare
        case "msqrt":
            text = f"√({bare})"
        case "mfenced":
            text = f"{node.attributes.get('open', '(')}{text}{node.attributes.get('close', ')')}"
        case "mspace":
            text = " "
    return text


_SPACED = frozenset("= ≠ < > ≤ ≥ ≈ ≡ + − ± × ÷ ⋅ → ⇒ ⇔ ∈ ⊂ ∪ ∩ ∼ ∝ := - &".split())
_SCHEMES = frozenset("mfrac mroot msup msub msubsup mover munder munderover mmultiscripts".split())


def _scheme(tag: str, parts: list[str]) -> str:
    base, *rest = (part.strip() for part in parts)
    match tag:
        case "mfrac":
            return f"{_grouped(base)}/{_grouped(rest[0])}"
        case "mroot":
            return f"root({rest[0]}, {base})"
        case "msup" | "mover":
            return f"{base}^{_grouped(rest[0])}" if rest[0] else base
        case "msub" | "munder":
            return f"{base}_{_grouped(rest[0])}" if rest[0] else base
    below, above = rest[0], rest[1] if len(rest) > 1 else ""
    return base + (f"_{_grouped(below)}" if below else "") + (f"^{_grouped(above)}" if above else "")


def _grouped(text: str) -> str:
    return text if len(text) == 1 or text.replace(".", "").isalnum() else f"({text})"
