"""Text of any size made on the fly, Chinese and English lines mixed: nothing large is kept in the repository."""

import random
from collections.abc import Iterator

ENGLISH = (
    "the wheel turned slowly while a reader kept nine heavy books open on it and none of them ever fell down".split()
)
CHINESE = "转轮书架让一位读者同时翻开许多本书而不必离开座位灯光照在纸上窗外下着雨他一页一页地读下去"
LINES = 9000
"""About 1 MB."""


def text_pieces(size_bytes: int) -> Iterator[bytes]:
    """UTF-8 of exactly that size, a MB or so at a time, the same in every run; every piece's lines begin elsewhere."""
    lines = _lines()
    number = 0
    while size_bytes:
        number += 1
        turn = 997 * number % LINES
        piece = b"\n".join([f"Part {number}".encode(), *lines[turn:], *lines[:turn], b""])
        yield _cut(piece, size_bytes)
        size_bytes -= min(len(piece), size_bytes)


def _lines() -> list[bytes]:
    draw = random.Random(7)
    return [_line(draw, number) for number in range(LINES)]


def _line(draw: random.Random, number: int) -> bytes:
    if number % 2:
        words = "".join(draw.choices(CHINESE, k=35))
        return f"第{number}行：{words}。".encode()
    return f"Line {number}: {' '.join(draw.choices(ENGLISH, k=20))}.".encode()


def _cut(piece: bytes, size_bytes: int) -> bytes:
    """Cut between characters; spaces take the place of half a one."""
    return piece[:size_bytes].decode("utf-8", "ignore").encode().ljust(min(len(piece), size_bytes))
