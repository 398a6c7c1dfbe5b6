"""A child process that does as a test tells it: listens and answers, ends at once, or says something else than an address."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

CONFIG: dict[str, Any] = {}


class Handler(BaseHTTPRequestHandler):
    """Answers every call with what it was told and shown; `/v1/chat/completions` ends it where it was told `dies`."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if CONFIG.get("dies") == "when asked":
            os._exit(3)
        shown = {"told": CONFIG, "key": self.headers["authorization"], "body": body, "pid": os.getpid()}
        choice = {"index": 0, "message": {"role": "assistant", "content": json.dumps(shown)}, "finish_reason": "stop"}
        answer = json.dumps({"choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def main() -> None:
    CONFIG.update(json.loads(sys.stdin.readline()))
    sys.stderr.write("the child's own words\n")
    sys.stderr.flush()
    if CONFIG.get("says"):
        print(CONFIG["says"], flush=True)
        sys.stdin.read()
    if CONFIG.get("dies") == "at once" or _is_first_start():
        os._exit(3)
    if CONFIG.get("dies") == "never listens":
        sys.stdin.read()
        os._exit(0)
    server = ThreadingHTTPServer(("127.0.0.1", CONFIG["port"]), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"address": f"http://127.0.0.1:{CONFIG['port']}"}), flush=True)
    sys.stdin.read()
    os._exit(0)


def _is_first_start() -> bool:
    """Whether it is to die at its first start, and this is the first."""
    mark = CONFIG.get("dies_first")
    if not mark or Path(mark).exists():
        return False
    Path(mark).touch()
    return True


if __name__ == "__main__":
    main()
