"""A client that uploads one large text as fast as it is taken. `python -m bench.uploader URL KEY BYTES`.

It says when it is ready, waits for a line on standard input, and says how the upload went: `status`, `answer`, and by the
machine's monotonic clock when it began and ended.
"""

import contextlib
import http.client
import json
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from bench.processes import say
from bench.text import text_pieces

BOUNDARY = "bookwheel-bench-boundary"
HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfile-extract\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="large.txt"\r\n'
    "Content-Type: text/plain\r\n\r\n"
).encode()
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()


def upload(url: str, key: str, size_bytes: int) -> http.client.HTTPResponse:
    """Send it. A server that refuses in the middle may close before all is sent: its answer counts."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=600)
    headers = {
        "Authorization": f"Bearer {key}",
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Content-Length": str(len(HEAD) + size_bytes + len(TAIL)),
    }
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request("POST", "/v1/files", body=_body(size_bytes), headers=headers)
    return connection.getresponse()


def _body(size_bytes: int) -> Iterator[bytes]:
    yield HEAD
    yield from text_pieces(size_bytes)
    yield TAIL


def main() -> None:
    url, key, size_bytes = sys.argv[1], sys.argv[2], int(sys.argv[3])
    say(ready=True)
    sys.stdin.readline()
    began = time.monotonic()
    response = upload(url, key, size_bytes)
    answer = json.loads(response.read())
    say(status=response.status, answer=answer, began=began, ended=time.monotonic())


if __name__ == "__main__":
    main()
