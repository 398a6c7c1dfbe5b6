"""How a picture is found to be turned, with a reader that is sure of what the test says."""

from collections.abc import Callable

import numpy as np
import pytest

from bookwheel.extraction.ocr.models import Boxes, Pixels, Reader, Reading
from bookwheel.extraction.ocr.orientation import askew_radians, find_turn


class Oracle(Reader):
    """Reads nothing; how sure it is depends on where the grey of a line is darkest."""

    def __init__(self, confidence: Callable[[Pixels], float]) -> None:
        self._confidence = confidence

    def read(self, line: Pixels) -> Reading:
        return Reading("x", self._confidence(line), np.zeros(1, np.float32))


def shaded(axis: int, *, falling: bool) -> Pixels:
    """A picture that grows darker along an axis, 0 being down."""
    ramp = np.linspace(250, 50, 400) if falling else np.linspace(50, 250, 400)
    grey = np.broadcast_to(ramp[:, np.newaxis] if axis == 0 else ramp, (400, 400))
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2).astype(np.uint8)


def boxes(*corners: tuple[float, float, float, float]) -> Boxes:
    return np.array([[(x, y), (x + w, y), (x + w, y + h), (x, y + h)] for x, y, w, h in corners], np.float32)


def begins_light(line: Pixels) -> float:
    """Sure of lines that begin light and end dark."""
    return 0.97 if line[:, 0].mean() > line[:, -1].mean() else 0.4


ROWS = boxes(*((20, 30 * n, 300, 20) for n in range(1, 8)))
COLUMNS = boxes(*((30 * n, 20, 20, 300) for n in range(1, 8)))


@pytest.mark.parametrize(
    ("picture", "found", "quarters"),
    [
        (shaded(1, falling=True), ROWS, 0),
        (shaded(1, falling=False), ROWS, 2),
        (shaded(0, falling=True), COLUMNS, 1),
        (shaded(0, falling=False), COLUMNS, 3),
    ],
    ids=["upright", "on its head", "turned to the right", "turned to the left"],
)
def test_lines_are_sure_when_read_from_their_beginning(picture: Pixels, found: Boxes, quarters: int) -> None:
    assert find_turn(Oracle(begins_light), picture, found) == quarters


def test_columns_are_turned_lines_unless_their_characters_can_be_read_side_by_side() -> None:
    picture = np.full((400, 400, 3), 255, np.uint8)
    for x, y, w, h in ((30 * n, 20, 20, 300) for n in range(1, 8)):
        for top in range(y, y + h - 20, 22):
            picture[top : top + 18, x + 2 : x + w - 2] = 0
            picture[top + 3 : top + 15, x + 5 : x + w - 5] = 255

    def sure_of_whole_columns_only(line: Pixels) -> float:
        return 0.95 if line.shape[0] == 20 else 0.4  # characters that are laid side by side get a margin

    assert find_turn(Oracle(lambda _: 0.95), picture, COLUMNS) == 0
    assert find_turn(Oracle(sure_of_whole_columns_only), picture, COLUMNS) == 1


@pytest.mark.parametrize("found", [ROWS, COLUMNS, boxes(), boxes((5, 5, 20, 20))])
def test_what_cannot_be_read_is_not_turned(found: Boxes) -> None:
    assert find_turn(Oracle(lambda _: 0.4), shaded(1, falling=True), found.reshape(-1, 4, 2)) == 0


@pytest.mark.parametrize("degrees", [-8, -1, 0, 2, 15])
def test_the_slant_of_most_lines_is_the_pages(degrees: float) -> None:
    angle = np.deg2rad(degrees)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
    assert askew_radians(ROWS @ rotation) == pytest.approx(angle, abs=1e-4)


def test_lines_in_all_directions_make_no_slant() -> None:
    turns = [np.deg2rad(degrees) for degrees in (-15, -5, 5, 15)]
    rotations = [np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]], np.float32) for t in turns]
    assert askew_radians(np.concatenate([ROWS[:1] @ rotation for rotation in rotations])) == 0
    assert askew_radians(boxes().reshape(-1, 4, 2)) == 0
