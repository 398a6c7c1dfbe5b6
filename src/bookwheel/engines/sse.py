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
        self._held = bytearray()
        """What has come of an event that has not ended. It is looked through when it has: it may come in very many pieces."""

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that end in what has arrived so far, in order. Raises EventTooLarge."""
        if not self._held and _is_plain(data):
            return [data[6:-2]]
        *events, rest = self._joined(data).split(b"\n\n")
        self._held += rest
        if len(self._held) > LARGEST_EVENT_BYTES:
            raise EventTooLarge
        return [found for event in events if (found := _data_of(event)) is not None]

    def _joined(self, data: bytes) -> bytes:
        """What arrived, and before it what is held, where the event that is held ends in it. Lines end in LF."""
        if self._held:
            seam = self._held[-2:] + data
            if b"\n\n" not in seam and b"\n\r\n" not in seam:
                return data
            data = bytes(self._held) + data
            self._held.clear()
        return data.replace(b"\r\n", b"\n") if b"\r" in data else data


def _is_plain(data: bytes) -> bool:
    """Whether this is one whole event of one line, as nearly all that arrives is."""
    return (
        data.endswith(b"\n\n")
        and data.startswith(b"data: ")
        and data.find(b"\n") == len(data) - 2
        and b"\r" not in data
    )


def _data_of(event: bytes) -> bytes | None:
    if event.startswith(b"data: ") and b"\n" not in event:  # nearly all
        return event[6:]
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None
