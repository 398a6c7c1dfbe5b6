"""Letters that stand below one another: Chinese and Japanese in columns, which PDFium gives as upright text."""

from collections.abc import Iterator

from bookwheel.extraction.pdf.words import DOWNWARDS, Frame, TextLayer, Word

LEAST_STACK = 3
"""Letters below one another that make a word."""


def part_vertical(layer: TextLayer) -> TextLayer:
    """The text layer with its columns of letters in the frame that runs down."""
    words = {frame.angle: frame.words for frame in layer.frames}
    kept, down = _part(words.get(0, []))
    if not down:
        return layer
    words |= {0: kept, DOWNWARDS: words.get(DOWNWARDS, []) + down}
    frames = [Frame(angle, found) for angle, found in words.items() if found]
    return layer._replace(frames=sorted(frames, key=lambda frame: -frame.characters))


def _part(upright: list[Word]) -> tuple[list[Word], list[Word]]:
    """Words that stay upright, and those made of letters that stand below one another, for the frame that runs down."""
    kept: list[Word] = []
    down: list[Word] = []
    for stack in _stacks(upright):
        if len(stack) >= LEAST_STACK:
            down.append(_turned(stack))
        else:
            kept += stack
    if down:
        down += [_turned([word]) for word in kept if _ends_column(word, down)]
        kept = [word for word in kept if not _ends_column(word, down)]
    return kept, down


def _stacks(words: list[Word]) -> Iterator[list[Word]]:
    """The words in their order, single letters that stand below one another together."""
    stack: list[Word] = []
    for word in words:
        if stack and not (_goes_on(stack, word) and _stands_below(word, stack[-1])):
            yield stack
            stack = []
        stack.append(word)
    if stack:
        yield stack


def _goes_on(stack: list[Word], word: Word) -> bool:
    """Whether the word may be the next letter: signs and digits among Chinese ones alone, else they are a table's."""
    if len(word.text) > 1 or len(stack[-1].text) > 1:
        return False
    if _is_letter(word) and _is_letter(stack[-1]):
        return True
    return _is_wide(word) or any(map(_is_wide, stack[-8:]))


def _is_letter(word: Word) -> bool:
    return len(word.text) == 1 and word.text.isalpha()


def _is_wide(word: Word) -> bool:
    return len(word.text) == 1 and "\u2e80" <= word.text < "\ud800"


def _stands_below(word: Word, above: Word) -> bool:
    step = (word.base - above.base) / word.size
    least = 0.8 if _is_wide(word) and _is_wide(above) else 0.3
    return least < step < 1.3 and abs((word.x0 + word.x1) - (above.x0 + above.x1)) < 0.6 * word.size


def _ends_column(word: Word, down: list[Word]) -> bool:
    """Whether a letter or two of a column's end stand right beside another column, at its upper or lower edge."""
    if not _is_wide(word):
        return False
    middle = (word.x0 + word.x1) / 2
    return any(
        abs(middle - 0.3 * other.size + other.base) < 3 * other.size
        and other.x0 - 2 * word.size < word.top
        and word.bottom < other.x1 + 2 * word.size
        for other in down
    )


def _turned(stack: list[Word]) -> Word:
    first, last = stack[0], stack[-1]
    text = "".join(word.text for word in stack)
    middle = (first.x0 + first.x1) / 2
    return Word(text, first.top, last.bottom, 0.3 * first.size - middle, first.size, first.bold, first.line)
