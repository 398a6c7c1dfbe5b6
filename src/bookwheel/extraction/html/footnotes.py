"""Footnotes of pages: which links refer to one, and which paragraphs they are. Kept over all pages of one document."""

import re
from collections.abc import Mapping
from posixpath import dirname, join, normpath
from urllib.parse import unquote

MOST_NOTES = 100_000
MOST_LABEL = 8

_LABEL = re.compile(r"[\[(（【]?(?:(\d{1,4}|[*†‡§¶]{1,4}|[a-z]{1,2}|[ivxl]{1,6})|[注註]?(\d{0,3}))[\])）】]?")
_REFERENCE_TYPES = ("noteref", "doc-noteref", "footnote-ref", "footnoteref", "footnote-reference", "duokan-footnote")
_BACK = frozenset("↩ ↩︎ ↩️ ↑ ↵ ⏎ ^ ⬆ ▲ ← 返回".split())


class Footnotes:
    """`target` is a page's name and an id on it."""

    def __init__(self) -> None:
        self._labels: dict[tuple[str, str], str] = {}

    def __bool__(self) -> bool:
        return bool(self._labels)

    def refer(self, target: tuple[str, str], shown: str) -> str:
        """The label of a footnote that is referred to with these words."""
        known = self._labels.get(target)
        if known is not None:
            return known
        label = re.sub(r"[\s\[\]()（）【】]", "", shown)
        if not label or label in ("注", "註") or len(label) > MOST_LABEL:
            label = str(len(self._labels) + 1)
        if len(self._labels) < MOST_NOTES:
            self._labels[target] = label
        return label

    def label(self, target: tuple[str, str]) -> str:
        """The label of the footnote that stands at a place, or nothing."""
        return self._labels.get(target, "")


def link_target(page: str, href: str) -> tuple[str, str] | None:
    """The page and the id that a link on `page` leads to; None where it leads to no id in this document."""
    path, hash_sign, fragment = href.partition("#")
    if not hash_sign or not fragment or ":" in path:
        return None
    name = normpath(join(dirname(page), unquote(path))) if path else page
    return name.casefold(), unquote(fragment)


def says_reference(attributes: Mapping[str, str]) -> bool:
    """Whether a link's own attributes say that it refers to a footnote."""
    words = f"{attributes.get('epub:type', '')} {attributes.get('role', '')} {attributes.get('class', '')}".split()
    return any(word in _REFERENCE_TYPES for word in words)


def looks_like_label(shown: str) -> bool:
    """Whether words are such as footnotes are labelled with: `1`, `[2]`, `*`."""
    return bool(shown) and _LABEL.fullmatch(shown) is not None


def leads_back(shown: str) -> bool:
    """Whether words are such as lead from a footnote back to where it was referred to."""
    return shown in _BACK
