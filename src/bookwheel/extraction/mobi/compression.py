"""How the text of Mobipocket and Kindle books is packed: PalmDOC (LZ77) and HUFF/CDIC (Huffman codes for phrases).

Formats: MobileRead wiki, "PalmDOC" and "MOBI". Both are read byte by byte: for PalmDOC there is no other way, and for
HUFF/CDIC the codes become an automaton whose steps, once made, say for a byte which phrases it ends, which is some
twenty times faster than reading bit by bit.
"""

from bookwheel.errors import ParsingError

MOST_RECORD_BYTES = 1024 * 1024
"""Of the text that one record unpacks to. Honest ones have 4,096."""
MOST_PHRASE_BYTES = 8 * 1024
MOST_PHRASE_DEPTH = 32
"""Phrases may be made of phrases."""
PHRASE_BUDGET_BYTES = 32 * 1024 * 1024
MOST_STEPS = 1_000_000
CHECKED_BYTES = 64
MOST_CODE_BITS = 32

_PAIRS = [b" " + bytes([byte ^ 0x80]) for byte in range(256)]


def _damaged() -> ParsingError:
    return ParsingError("It is damaged: its text cannot be unpacked.")


def unpack_palmdoc(data: bytes) -> bytes:
    """The text of one record. What a damaged record refers to wrongly is left out."""
    out = bytearray()
    position, size = 0, len(data)
    while position < size:
        byte = data[position]
        position += 1
        if byte >= 0xC0:
            out += _PAIRS[byte]
        elif byte >= 0x80:
            pair = byte << 8 | data[position] if position < size else 0
            position += 1
            distance, length = pair >> 3 & 0x7FF, (pair & 7) + 3
            start = len(out) - distance
            if start < 0 or distance == 0:
                continue
            if distance >= length:
                out += out[start : start + length]
            else:
                out += (out[start:] * (length // distance + 1))[:length]
        elif byte == 0 or byte > 8:
            out.append(byte)
        else:
            out += data[position : position + byte]
            position += byte
    return bytes(out)


class Huffman:
    """Unpacks HUFF/CDIC records. `huff` is the code table's record, `cdics` those of the phrases.

    Raises ParsingError where the tables are no tables; phrases that contain themselves, or grow without end, too.
    """

    def __init__(self, huff: bytes, cdics: list[bytes]) -> None:
        if huff[:4] != b"HUFF" or not cdics or any(cdic[:4] != b"CDIC" for cdic in cdics):
            raise _damaged()
        self._first_bytes = self._numbers(huff, 8, 256)
        bounds = self._numbers(huff, 12, 64)
        self._least = [0, *(low << 32 - bits for bits, low in enumerate(bounds[::2], 1))]
        self._most = [0, *((high + 1 << 32 - bits) - 1 for bits, high in enumerate(bounds[1::2], 1))]
        self._cdics = cdics
        self._count = int.from_bytes(cdics[0][8:12], "big")
        self._bits = int.from_bytes(cdics[0][12:16], "big")
        if self._bits > 16:
            raise _damaged()
        self._phrases: dict[int, bytes] = {}
        self._expanding: set[int] = set()
        self._steps: dict[int, tuple[bytes, int]] = {}
        self._budget = PHRASE_BUDGET_BYTES

    def _numbers(self, huff: bytes, offset_at: int, count: int) -> list[int]:
        start = int.from_bytes(huff[offset_at : offset_at + 4], "big")
        table = huff[start : start + 4 * count]
        if len(table) < 4 * count:
            raise _damaged()
        return [int.from_bytes(table[at : at + 4], "big") for at in range(0, 4 * count, 4)]

    def unpack(self, data: bytes) -> bytes:
        """The text of one record."""
        return self._unpack(data, MOST_RECORD_BYTES)

    def _unpack(self, data: bytes, most_bytes: int) -> bytes:
        """The bits left at the end, which make no code, are padding."""
        out: list[bytes] = []
        size, state = 0, 1
        steps = self._steps
        for start in range(0, len(data), CHECKED_BYTES):
            done = len(out)
            for byte in data[start : start + CHECKED_BYTES]:
                step = steps.get(state << 8 | byte) or self._make_step(state, byte)
                out.append(step[0])
                state = step[1]
            size += sum(map(len, out[done:]))
            if size > most_bytes:
                raise _damaged()
        return b"".join(out)

    def _make_step(self, state: int, byte: int) -> tuple[bytes, int]:
        """What a byte adds to the text after the bits of `state`, and the bits that are left. A 1 stands before them."""
        length = state.bit_length() - 1 + 8
        bits = (state << 8 | byte) - (1 << length)
        phrases: list[bytes] = []
        while length:
            word = bits << 32 - length if length <= 32 else bits >> length - 32
            code_bits, most = self._code(word)
            if code_bits > length:
                if length >= MOST_CODE_BITS:
                    raise _damaged()
                break
            phrases.append(self._phrase(most - word >> 32 - code_bits))
            length -= code_bits
            bits &= (1 << length) - 1
        step = (b"".join(phrases), 1 << length | bits)
        self._spend(len(step[0]))
        if len(self._steps) < MOST_STEPS:
            self._steps[state << 8 | byte] = step
        return step

    def _spend(self, size: int) -> None:
        """Keep what the phrases and the steps hold within the budget: steps can be made again."""
        self._budget -= size
        if self._budget < 0:
            self._steps.clear()
            self._phrases.clear()
            self._budget = PHRASE_BUDGET_BYTES

    def _code(self, word: int) -> tuple[int, int]:
        """How many of 32 bits are a code, and the largest word of codes so long; more than 32 where none is."""
        entry = self._first_bytes[word >> 24]
        bits = entry & 0x1F
        if bits == 0:
            return MOST_CODE_BITS + 1, 0
        if entry & 0x80:
            return bits, ((entry >> 8) + 1 << 32 - bits) - 1
        while bits <= MOST_CODE_BITS and word < self._least[bits]:
            bits += 1
        return (bits, self._most[bits]) if bits <= MOST_CODE_BITS else (bits, 0)

    def _phrase(self, number: int) -> bytes:
        """A phrase of the dictionary, unpacked; recursive, no deeper than MOST_PHRASE_DEPTH."""
        known = self._phrases.get(number)
        if known is not None:
            return known
        packed, is_plain = self._entry(number)
        if not is_plain:
            if number in self._expanding or len(self._expanding) == MOST_PHRASE_DEPTH:
                raise _damaged()
            self._expanding.add(number)
            packed = self._unpack(packed, MOST_PHRASE_BYTES)
            self._expanding.discard(number)
            self._spend(len(packed))
        self._phrases[number] = packed
        return packed

    def _entry(self, number: int) -> tuple[bytes, bool]:
        """A phrase as it stands in its record, and whether it is plain text. Nothing where there is none."""
        record = number >> self._bits
        if not 0 <= number < self._count or record >= len(self._cdics):
            return b"", True  # the bits that pad a record may look like a code
        cdic = self._cdics[record]
        at = 16 + 2 * (number & (1 << self._bits) - 1)
        start = 16 + int.from_bytes(cdic[at : at + 2], "big")
        size = int.from_bytes(cdic[start : start + 2], "big")
        return cdic[start + 2 : start + 2 + (size & 0x7FFF)], size >= 0x8000
