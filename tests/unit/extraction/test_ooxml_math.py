"""Equations read as LaTeX writes them."""

import pytest
from lxml import etree

from bookwheel.extraction.ooxml.math import math_text
from support.docx_parts import DECLARED


def r(text: str) -> str:
    return f"<m:r><m:t>{text}</m:t></m:r>"


def part(name: str, inside: str) -> str:
    return f"<m:{name}>{inside}</m:{name}>"


E_X = part("e", r("x"))


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        (part("f", part("num", r("a")) + part("den", r("b"))), r"\frac{a}{b}"),
        (part("f", '<m:fPr><m:type m:val="lin"/></m:fPr>' + part("num", r("a")) + part("den", r("b"))), "a/b"),
        (
            part("f", '<m:fPr><m:type m:val="noBar"/></m:fPr>' + part("num", r("n")) + part("den", r("k"))),
            r"\binom{n}{k}",
        ),
        (part("sSup", E_X + part("sup", r("2"))), "x^{2}"),
        (part("sSubSup", E_X + part("sub", r("i")) + part("sup", r("2"))), "x_{i}^{2}"),
        (part("sPre", part("sub", r("1")) + part("sup", r("2")) + E_X), "{}_{1}^{2}x"),
        (part("rad", '<m:radPr><m:degHide m:val="1"/></m:radPr>' + part("deg", "") + E_X), r"\sqrt{x}"),
        (part("rad", part("deg", r("3")) + E_X), r"\sqrt[3]{x}"),
        (
            part("nary", '<m:naryPr><m:chr m:val="∑"/></m:naryPr>' + part("sub", r("i=1")) + part("sup", r("n")) + E_X),
            "∑_{i=1}^{n} x",
        ),
        (part("nary", part("sub", "") + part("sup", "") + E_X), "∫ x"),
        (part("d", E_X), "(x)"),
        (part("d", '<m:dPr><m:begChr m:val="{"/><m:endChr m:val=""/></m:dPr>' + E_X), "{x"),
        (part("d", '<m:dPr><m:sepChr m:val=","/></m:dPr>' + E_X + E_X), "(x,x)"),
        (part("m", part("mr", E_X + E_X) + part("mr", E_X + E_X)), r"\begin{matrix} x & x \\ x & x \end{matrix}"),
        (part("eqArr", part("e", r("a&amp;=b")) + part("e", r("c&amp;=d"))), r"a=b \\ c=d"),
        (part("func", part("fName", r("sin")) + E_X), "sin x"),
        (part("func", part("fName", part("limLow", part("e", r("lim")) + part("lim", r("n→∞")))) + E_X), "lim_{n→∞} x"),
        (part("acc", '<m:accPr><m:chr m:val="&#x20D7;"/></m:accPr>' + E_X), r"\vec{x}"),
        (part("bar", '<m:barPr><m:pos m:val="top"/></m:barPr>' + E_X), r"\overline{x}"),
        (part("groupChr", E_X), r"\underbrace{x}"),
        (part("box", E_X) + part("borderBox", E_X) + part("phant", E_X), "xxx"),
        (r("𝑎𝐛≤α\u2061"), "ab≤α"),
        (f"<w:ins>{r('new')}</w:ins><w:del>{r('old')}</w:del>", "new"),
        (part("f", part("den", r("b"))), r"\frac{}{b}"),
        ("", ""),
    ],
)
def test_equations_read_as_one_line(inside: str, text: str) -> None:
    assert math_text(etree.fromstring(f"<m:oMath {DECLARED}>{inside}</m:oMath>")) == text


def test_deep_equations_end() -> None:
    deep = "<m:f><m:num>" * 500 + r("x") + "</m:num></m:f>" * 500
    root = etree.fromstring(f"<m:oMath {DECLARED}>{deep}</m:oMath>", etree.XMLParser(huge_tree=True))
    assert "x" in math_text(root)
