"""llama.cpp's server out of xllamacpp, with parameters as told, in a process of its own: see `engine_process.py`.

It needs nothing but xllamacpp, so that a build in another environment can be measured by running this file there.
"""

import json
import os
import sys
from typing import Any


def main() -> None:
    """Serve what the argument says, in JSON, until standard input ends; say the `address` once it listens."""
    told = json.loads(sys.argv[1])
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # llama.cpp writes to standard output too
    os.environ.update(told["environment"])  # before OpenMP is loaded, which reads it then
    os.nice(told["niceness"])

    import xllamacpp  # noqa: PLC0415

    params = xllamacpp.CommonParams()
    for name, value in told["fields"].items():
        set_field(params, name, value)
    server = xllamacpp.Server(params)
    print(json.dumps({"address": server.listening_address}), file=answer, flush=True)
    sys.stdin.read()
    os._exit(0)


def set_field(params: Any, name: str, value: Any) -> None:
    """Set `cpuparams.n_threads` and the like; the name of an enumeration's member stands for it."""
    *path, last = name.split(".")
    for step in path:
        params = getattr(params, step)
    now = getattr(params, last)
    is_member = isinstance(value, str) and not isinstance(now, str)
    setattr(params, last, type(now)[value] if is_member else value)


if __name__ == "__main__":
    main()
