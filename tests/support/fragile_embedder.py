"""A child process as the embedding engine's own, with a model that breaks: for `E5Config.module`."""

import os
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bookwheel.engines.e5_server import serve

DEADLY = "deadly"
"""The process ends of a text with this word."""
STUCK = "stuck "
"""A text that begins so is never done with by the first process that reads it: what follows is a file, which it makes."""


class FragileModel:
    """A token a word; a text's vector points to where the number of its words says."""

    def token_count(self, text: str, _is_query: bool) -> int:
        return len(text.split())

    def encode(self, text: str, _is_query: bool) -> NDArray[np.float32]:
        if DEADLY in text:
            os._exit(1)
        if text.startswith(STUCK):
            self._be_stuck_once(Path(text.removeprefix(STUCK)))
        vector = np.zeros(4, np.float32)
        vector[len(text.split()) % 4] = 1
        return vector

    def _be_stuck_once(self, mark: Path) -> None:
        if not mark.exists():
            mark.touch()
            threading.Event().wait()


if __name__ == "__main__":
    serve(FragileModel)
