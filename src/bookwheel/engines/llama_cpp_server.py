"""The child process of the embedded engine: llama.cpp's own server, out of the xllamacpp wheel.

It is told what to serve by one line of JSON on standard input, answers with one line of JSON when it listens, and ends
when its standard input ends: it cannot outlive the process that started it. llama.cpp's log goes to standard error.
"""

import json
import os
import sys
from typing import Any

BATCH_TOKENS = 128
"""Read at once. A batch is what a cancelled request still costs, and how long other answers stand still: two seconds on two
cores. llama.cpp's own 2,048 would be half a minute, and read no faster: 14.8 s of one core for 1,000 tokens of a model of
0.5B, against 14.8 with 256, 16.3 with 2,048 and 15.6 with 64."""


def main() -> None:
    """Serve until standard input ends."""
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # llama.cpp writes to standard output too
    config = json.loads(sys.stdin.readline())
    os.umask(0o077)  # what it writes is the text of documents

    import xllamacpp  # noqa: PLC0415 - not before standard output is out of its reach

    server = xllamacpp.Server(_params(xllamacpp, config))
    print(json.dumps({"address": server.listening_address}), file=answer, flush=True)
    sys.stdin.read()
    os._exit(0)  # at once: a prompt half read is nobody's any more


def _params(xllamacpp: Any, config: dict[str, Any]) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = config["weights"]
    params.model_alias = {config["model"]}
    params.hostnames = ["127.0.0.1"]
    params.port = config["port"]
    params.api_keys = [config["api_key"]]
    params.n_ctx = config["slots"] * config["window_tokens"]
    params.n_predict = config["max_output_tokens"]
    params.n_parallel = config["slots"]
    params.kv_unified = False  # in one pool, two answers that fill it together both end with an error
    params.n_batch = params.n_ubatch = BATCH_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = config["threads"]
    params.cache_prompt = True
    params.cache_ram_mib = 0  # nothing can be taken out of it when a file is deleted
    params.slot_save_path = f"{config['states_folder']}/"
    params.ui = False
    params.endpoint_slots = False
    params.warmup = False
    return params


if __name__ == "__main__":
    main()
