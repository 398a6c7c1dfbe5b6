"""Characters of fonts that have no letters: what Symbol, Wingdings and Webdings draw at a code, as Unicode."""

import re

_PRIVATE = re.compile("[\uf020-\uf0ff]")

_SYMBOL_FROM_SPACE = " !∀#∃%&∍()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼"
_SYMBOL_FROM_A0 = "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪"
_SYMBOL = dict(enumerate(_SYMBOL_FROM_SPACE, 0x20)) | dict(enumerate(_SYMBOL_FROM_A0, 0xA0))
_SYMBOL |= dict(enumerate("〉∫⌠⎮⌡⎞⎟⎠⎤⎥⎦⎫⎬⎭", 0xF1))

_WINGDINGS = {0x20: " ", 0x21: "✏", 0x22: "✂", 0x28: "☎", 0x29: "✆", 0x2A: "✉", 0x36: "⌛", 0x3F: "✍", 0x41: "✌"}
_WINGDINGS |= {0x43: "👍", 0x44: "👎", 0x45: "☜", 0x46: "☞", 0x47: "☝", 0x48: "☟", 0x4A: "☺", 0x4C: "☹", 0x4D: "💣"}
_WINGDINGS |= {0x51: "✈", 0x52: "☼", 0x53: "💧", 0x54: "❄", 0x6C: "●", 0x6D: "❍", 0x6E: "■", 0x6F: "□", 0x71: "❑"}
_WINGDINGS |= {0x72: "❒", 0x73: "⬧", 0x74: "⧫", 0x75: "◆", 0x76: "❖", 0x77: "⬥", 0x78: "☒", 0x7A: "⌘", 0x80: "⓪"}
_WINGDINGS |= (
    {0x81 + n: chr(0x2460 + n) for n in range(10)} | {0x8B: "⓿"} | {0x8C + n: chr(0x2776 + n) for n in range(10)}
)
_WINGDINGS |= {0x9E: "·", 0x9F: "•", 0xA0: "▪", 0xA1: "○", 0xA4: "◉", 0xA5: "◎", 0xA7: "▪", 0xA8: "☐", 0xAB: "★"}
_WINGDINGS |= {0xD5: "⌫", 0xD6: "⌦", 0xD8: "➢", 0xDF: "←", 0xE0: "→", 0xE1: "↑", 0xE2: "↓", 0xE3: "↖", 0xE4: "↗"}
_WINGDINGS |= {0xE5: "↙", 0xE6: "↘", 0xE8: "➔", 0xEF: "⇐", 0xF0: "⇒", 0xF1: "⇑", 0xF2: "⇓", 0xF3: "⇔", 0xFB: "✗"}
_WINGDINGS |= {0xFC: "✓", 0xFD: "☒", 0xFE: "☑"}
_WINGDINGS_2 = {0x4F: "✗", 0x50: "✓", 0x51: "☒", 0x52: "☑", 0x53: "☒", 0x54: "☒", 0xA3: "☐", 0x97: "●", 0x98: "●"}
_WINGDINGS_2 |= {0x2A: "□", 0x56: "⊗", 0x58: "⊗"}
_WINGDINGS_3 = {0x7D: "▶", 0x7C: "◀", 0x70: "▲", 0x71: "▼", 0x21: "→", 0x22: "↑", 0x23: "↓", 0x75: "▶", 0x67: "◆"}
_WEBDINGS = {0x61: "✓", 0x72: "✗", 0x63: "□", 0x67: "■", 0x6E: "●", 0x34: "▶", 0x33: "◀", 0x35: "▲", 0x36: "▼"}

_FONTS = {
    "symbol": _SYMBOL,
    "wingdings": _WINGDINGS,
    "wingdings 2": _WINGDINGS_2,
    "wingdings 3": _WINGDINGS_3,
    "webdings": _WEBDINGS,
}


def symbol(font: str | None, code: str | None) -> str:
    """The character that `font` draws at the hexadecimal `code` (`F0FE`); none where that is not known."""
    try:
        point = int(code or "", 16)
    except ValueError:
        return ""
    table = _FONTS.get((font or "").casefold())
    if table is not None:
        return table.get(point & 0xFF, "")
    return chr(point) if 0x20 <= point < 0xD800 or 0xF900 <= point <= 0x10FFFF else ""


def unmask(text: str, font: str | None) -> str:
    """Text in which characters of symbol fonts stand as private ones (from F020), as Unicode."""
    if text.isascii() or not _PRIVATE.search(text):
        return text
    table = _FONTS.get((font or "symbol").casefold(), _SYMBOL)
    return _PRIVATE.sub(lambda match: table.get(ord(match.group()) & 0xFF, ""), text)
