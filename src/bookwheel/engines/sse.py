"""Server-sent events from bytes that arrive in any pieces.

After https://html.spec.whatwg.org/multipage/server-sent-events.html: events end at a blank line, lines end in LF or CRLF,
`data` lines of one event are joined by LF, comments and other fields are skipped.
"""

LARGEST_EVENT_BYTES = 16 * 1024 * 1024


class EventTooLarge(Exception):
    """An event that does not end."""


class SseParser:
    """Feed it what arrives; it gives the data of each event that is whole."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that end in what has arrived so far, in order."""
        buffer = self._rest + data if self._rest else data
        if b"\r" in buffer:
            buffer = buffer.replace(b"\r\n", b"\n")
        *events, self._rest = buffer.split(b"\n\n")
        if len(self._rest) > LARGEST_EVENT_BYTES:
            raise EventTooLarge
        return [found for event in events if (found := _data_of(event)) is not None]


def _data_of(event: bytes) -> bytes | None:
    if event.startswith(b"data: ") and b"\n" not in event:  # nearly all
        return event[6:]
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None
