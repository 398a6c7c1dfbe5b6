"""The two networks of OCR: one finds lines of text in a picture, one reads a line.

They are PP-OCRv6's, in the files that the package rapidocr carries, run by onnxruntime. The steps around them are our own,
because that package's pull in an HTTP client and a downloader, fill every line up to the widest of its batch, and
forget where in a line each character stood.
"""

import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

# OpenCV's types tell nothing of elements, so neither do these.
Pixels = NDArray[Any]
"""Of 8 bits, height x width x 3, blue first; or height x width, grey or yes and no."""
Corners = NDArray[Any]
"""Four times x and y in pixels, float32, clockwise from the top left corner."""
Boxes = NDArray[Any]
"""The corners of many lines: lines x 4 x 2."""

DETECTOR = "PP-OCRv6_det_small.onnx"
READER = "PP-OCRv6_rec_small.onnx"

DETECTOR_STEP = 32
"""The sides of a picture that the detector takes are multiples of it."""
TEXT_PIXEL = 0.3
TEXT_LINE = 0.5
"""How sure the detector must be of a pixel, and on average of a line's pixels."""
GROWTH = 1.6
"""The detector marks the core of a line: its box grows by this times its area over its circumference."""
LEAST_SIDE = 3
MOST_LINES = 5_000

READER_HEIGHT = 48
READER_STEP = 8
"""Pixels of width for which the reader gives one vote."""
MOST_READER_WIDTH = 2_400
WORD_GAP = 0.13
"""Of a line's height: a space between two words, where the line has to be cut."""
WIDE = "\u2e80"
"""The first character of the scripts without spaces."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A line's text, how sure the reader is of it (0 to 1), and where its characters stand: from 0 to 1 along the line."""

    text: str
    confidence: float
    places: NDArray[np.float32]


NOTHING_READ = Reading("", 0.0, np.zeros(0, np.float32))


class Detector:
    """Finds lines of text, whatever their direction."""

    def __init__(self, threads: int) -> None:
        self._session = _open_session(DETECTOR, threads)
        self._options = onnxruntime.RunOptions()
        self._options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def find_lines(self, picture: Pixels) -> Boxes:
        """The boxes of the lines in a picture. Takes 0.35 s CPU and about 250 MB a million pixels."""
        height, width = picture.shape[:2]
        size = (_whole_steps(width), _whole_steps(height))
        scaled = picture if size == (width, height) else cv2.resize(picture, size)
        (scores,) = self._session.run(None, {"x": _as_input(scaled)}, self._options)
        boxes = _boxes_of(scores[0, 0])
        boxes *= np.array([width / size[0], height / size[1]], np.float32)
        return boxes


class Reader:
    """Reads a line of text that runs from left to right."""

    def __init__(self, threads: int) -> None:
        self._session = _open_session(READER, threads)
        characters = self._session.get_modelmeta().custom_metadata_map["character"].split("\n")
        self._characters = ["", *characters, " "]

    def read(self, line: Pixels) -> Reading:
        """Read a picture of one line. Takes 7 ms CPU for every 100 pixels at a height of 48."""
        height, width = line.shape[:2]
        wanted = math.ceil(width * READER_HEIGHT / height)
        if wanted > MOST_READER_WIDTH:
            return self._read_halves(line)
        scaled = cv2.resize(line, (max(wanted, READER_STEP), READER_HEIGHT))
        (votes,) = self._session.run(None, {"x": _as_input(scaled)})
        return self._decode(votes[0])

    def _read_halves(self, line: Pixels) -> Reading:
        """A line too long for one go, parted where there is least ink near its middle."""
        width = line.shape[1]
        middle, is_space = _best_cut(line)
        left, right = self.read(line[:, :middle]), self.read(line[:, middle:])
        lengths = [len(left.text), len(right.text)]
        if not all(lengths):
            half, places = (
                (left, left.places * (middle / width)) if lengths[0] else (right, _moved(right.places, middle, width))
            )
            return Reading(half.text, half.confidence, places.astype(np.float32))
        is_space = is_space and max(left.text[-1], right.text[0]) < WIDE
        space = np.full(int(is_space), middle / width, np.float32)
        places = [left.places * np.float32(middle / width), space, _moved(right.places, middle, width)]
        confidence = float(np.average([left.confidence, right.confidence], weights=lengths))
        return Reading(f"{left.text}{' ' * is_space}{right.text}", confidence, np.concatenate(places))

    def _decode(self, votes: NDArray[np.float32]) -> Reading:
        """The best character of each vote; a character that is voted for twice in a row stands once (CTC, greedy)."""
        best = votes.argmax(axis=1)
        kept = best != 0
        kept[1:] &= best[1:] != best[:-1]
        (at,) = np.nonzero(kept)
        if not len(at):
            return NOTHING_READ
        sure = votes[at, best[at]]
        places = ((at + 0.5) / len(votes)).astype(np.float32)
        return Reading("".join(self._characters[index] for index in best[at]), float(sure.mean()), places)


def _best_cut(line: Pixels) -> tuple[int, bool]:
    """Where a line is best cut in two near its middle, and whether it is so wide a gap there as between words."""
    height, width = line.shape[:2]
    start, end = width // 2 - width // 16, width // 2 + width // 16 + 1
    contrast = line[:, start:end].std(axis=(0, 2))
    blank = np.concatenate([[False], contrast < 0.25 * contrast.max(), [False]])
    edges = np.flatnonzero(blank[1:] != blank[:-1]).reshape(-1, 2)
    if not len(edges):
        return start + int(np.argmin(contrast)), False
    first, last = edges[np.argmax(edges[:, 1] - edges[:, 0])]
    return start + int(first + last) // 2, bool(last - first > WORD_GAP * height)


def _moved(places: NDArray[np.float32], middle: int, width: int) -> NDArray[np.float32]:
    """Places along the right part of a line as places along the whole."""
    return np.asarray((places * (width - middle) + middle) / width, np.float32)


def _open_session(name: str, threads: int) -> Any:
    spec = find_spec("rapidocr")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("rapidocr")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    path = Path(spec.origin).parent / "models" / name
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _whole_steps(side: int) -> int:
    return max(round(side / DETECTOR_STEP), 1) * DETECTOR_STEP


def _as_input(picture: Pixels) -> NDArray[np.float32]:
    """Values from -1 to 1, colours first, a batch of one: what both networks take."""
    values = picture.astype(np.float32)
    values *= 1 / 127.5
    values -= 1
    return np.ascontiguousarray(values.transpose(2, 0, 1))[np.newaxis]


def _boxes_of(scores: NDArray[np.float32]) -> Boxes:
    """Lines from the detector's map of text (differentiable binarisation, arXiv 1911.08947)."""
    mask = cv2.dilate((scores > TEXT_PIXEL).astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    boxes = [box for contour in contours[:MOST_LINES] if (box := _box_of(contour, scores)) is not None]
    return np.array(boxes, np.float32).reshape(-1, 4, 2)


def _box_of(contour: NDArray[Any], scores: NDArray[np.float32]) -> Corners | None:
    centre, (width, height), angle = cv2.minAreaRect(contour)
    if (
        min(width, height) < LEAST_SIDE
        or _mean_score(cv2.boxPoints((centre, (width, height), angle)), scores) < TEXT_LINE
    ):
        return None
    growth = 2 * GROWTH * width * height / (2 * (width + height))
    return _clockwise(cv2.boxPoints((centre, (width + growth, height + growth), angle)))


def _mean_score(corners: Corners, scores: NDArray[np.float32]) -> float:
    height, width = scores.shape
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, (width - 1, height - 1))
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int), 0, (width - 1, height - 1))
    mask = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    cv2.fillPoly(mask, [(corners - (left, top)).astype(np.int32)], (1,))
    return float(cv2.mean(scores[top : bottom + 1, left : right + 1], mask)[0])


def _clockwise(corners: Corners) -> Corners:
    """From the top left corner on: of the two leftmost corners the upper one is first, the lower one last."""
    left, right = np.split(corners[np.argsort(corners[:, 0], kind="stable")], 2)
    (top_left, bottom_left), (top_right, bottom_right) = (side[np.argsort(side[:, 1])] for side in (left, right))
    return np.array([top_left, top_right, bottom_right, bottom_left], np.float32)
