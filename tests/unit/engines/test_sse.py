"""A stream is the same stream of events however the network cuts it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.engines import sse
from bookwheel.engines.sse import EventTooLarge, SseParser

STREAMS = [
    (b"data: one\n\n", [b"one"]),
    (b"data: one\r\n\r\n", [b"one"]),
    (b"data:one\n\ndata:  two\n\n", [b"one", b" two"]),
    (b"data: one\ndata: two\n\n", [b"one\ntwo"]),
    (b"data: one\r\ndata:\r\ndata: two\r\n\r\n", [b"one\n\ntwo"]),
    (b": keep-alive\n\ndata: one\n\n", [b"one"]),
    (b": comment\ndata: one\n\n", [b"one"]),
    (b"event: message\nid: 7\nretry: 10\ndata: one\n\n", [b"one"]),
    (b"event: ping\n\n", []),
    (b"\n\n\ndata: one\n\n\n\n\ndata: two\n\n", [b"one", b"two"]),
    (b"data\n\n", []),
    (b"database: no\n\n", []),
    (b"data: one\n\ndata: not ended\n", [b"one"]),
    (b"data: \xe5\xad\x94\xe4\xb9\x99\n\ndata: [DONE]\n\n", ["孔乙".encode(), b"[DONE]"]),
    (b"data: a \r b\n\n", [b"a \r b"]),
    (b"", []),
]

LINE = st.sampled_from(
    [b"data: a", b"data:b", b"data:", b": c", b"event: e", b"data: \xe5\xad\x94", b"", b"data: [DONE]"]
)
STREAM = st.builds(
    lambda lines, end: b"".join(line + end for line in lines) + end,
    st.lists(LINE, max_size=12),
    st.sampled_from([b"\n", b"\r\n"]),
)


@pytest.mark.parametrize(("stream", "events"), STREAMS)
def test_a_stream_has_its_events(stream: bytes, events: list[bytes]) -> None:
    assert SseParser().feed(stream) == events


@pytest.mark.parametrize(("stream", "events"), STREAMS)
def test_a_stream_that_comes_byte_by_byte_has_the_same_events(stream: bytes, events: list[bytes]) -> None:
    assert feed_all([stream[i : i + 1] for i in range(len(stream))]) == events


@given(STREAM, st.lists(st.integers(0, 200), max_size=12))
def test_any_cuts_of_a_stream_give_the_same_events(stream: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(places)]
    assert feed_all(pieces) == SseParser().feed(stream)


@given(st.lists(st.binary(max_size=12), max_size=8))
def test_any_bytes_are_read_without_an_error(pieces: list[bytes]) -> None:
    assert all(isinstance(event, bytes) for event in feed_all(pieces))


@given(st.lists(st.text(alphabet="ab:字 ", max_size=8), min_size=1, max_size=5))
def test_lines_sent_are_lines_received(lines: list[str]) -> None:
    sent = "".join(f"data: {line}\n" for line in lines) + "\n"
    assert SseParser().feed(sent.encode()) == ["\n".join(lines).encode()]


def test_an_event_is_given_as_soon_as_it_is_whole() -> None:
    parser = SseParser()
    assert parser.feed(b"data: one\n") == []
    assert parser.feed(b"\nda") == [b"one"]
    assert parser.feed(b"ta: two\n\n") == [b"two"]


def test_an_event_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LARGEST_EVENT_BYTES", 100)
    parser = SseParser()
    assert parser.feed(b"data: " + b"x" * 90 + b"\n\n" + b"data: ") == [b"x" * 90]
    assert parser.feed(b"x" * 90) == []
    with pytest.raises(EventTooLarge):
        parser.feed(b"x" * 10)


def feed_all(pieces: list[bytes]) -> list[bytes]:
    parser = SseParser()
    return [event for piece in pieces for event in parser.feed(piece)]


def test_an_event_that_comes_in_very_many_pieces_is_one_event() -> None:
    parser = SseParser()
    assert all(parser.feed(piece) == [] for piece in (b"data: ", *[b"one\ndata:"] * 10_000, b"end\n"))
    assert parser.feed(b"\n") == [b"one\n" * 10_000 + b"end"]


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\n\r\n", b"\r\n\n"])
def test_an_event_ends_wherever_its_blank_line_is_cut(end: bytes) -> None:
    stream = b"data: one" + end
    for cut in range(len(stream) + 1):
        parser = SseParser()
        assert parser.feed(stream[:cut]) + parser.feed(stream[cut:]) == [b"one"]
