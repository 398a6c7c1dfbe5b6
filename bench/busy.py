"""Work of the kind that reading a document is, without pause, as nice as told, until standard input ends."""

import os
import re
import sys
import threading

import numpy as np

from bench.processes import say

PATTERN = re.compile(r"(\w+) (\w+)|[0-9.]+")
TEXT = "The quick brown fox, 12.5 percent of it; " * 500


def main() -> None:
    os.nice(int(sys.argv[1]))
    ended = threading.Event()
    threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
    scores = np.random.default_rng(1).random((100_000,))
    say(ready=True)
    while not ended.is_set():
        PATTERN.findall(TEXT)
        sorted(TEXT.split())
        np.argsort(scores * 0.9)


def _wait_for_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    main()
