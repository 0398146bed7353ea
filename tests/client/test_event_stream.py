"""Server-Sent Events, in pieces of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywright.client.verifier._event_stream import EventStream, StreamBroken, StreamEvent


def read(*pieces: bytes) -> list[StreamEvent]:
    stream = EventStream()
    return [event for piece in pieces for event in stream.feed(piece)]


def test_an_event() -> None:
    """An event has a name, data and the id that stood last."""
    assert read(b"event: drop\nid: 7\ndata: {}\n\n") == [StreamEvent("drop", "{}", "7")]


def test_events_without_a_name_or_id() -> None:
    """Without a name it is a message; the last id stays."""
    assert read(b"id: 7\n\ndata: a\n\n") == [StreamEvent("message", "a", "7")]
    assert read(b"data: a\n\n") == [StreamEvent("message", "a", None)]


def test_several_lines_of_data() -> None:
    """Data lines are joined; one space after the colon is not data."""
    assert read(b"data: a\ndata:b\ndata\ndata:  c\n\n") == [StreamEvent("message", "a\nb\n\n c", None)]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_line_endings(ending: bytes) -> None:
    """All three line endings end a line."""
    lines = [b"event: beat", b"data: 1", b"", b"data: 2", b"", b""]
    events = read(ending.join(lines), b"\n" if ending == b"\r" else b"")
    assert events == [StreamEvent("beat", "1", None), StreamEvent("message", "2", None)]


def test_what_is_passed_over() -> None:
    """Comments, unknown fields, a byte order mark and events without data are passed over."""
    assert read(b"\xef\xbb\xbf: hello\nretry: 1\n\nevent: empty\n\ndata: a\n\n") == [StreamEvent("message", "a", None)]


def test_an_id_with_a_nul_does_not_count() -> None:
    """An id with a NUL in it leaves the last one standing, as the standard says."""
    assert read(b"id: 1\nid: 2\0\ndata: a\n\n") == [StreamEvent("message", "a", "1")]


def test_an_unfinished_event_is_not_given() -> None:
    """What is cut off before its blank line is nothing."""
    assert read(b"data: a\n") == []


@given(st.data())
def test_pieces_do_not_matter(data: st.DataObject) -> None:
    """However the bytes are cut, the events are the same."""
    text = "event: drop\r\nid: 7\rdata: ä€\n\r\n\r\n: x\ndata: 2\n\n".encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert read(*pieces) == read(text) == [StreamEvent("drop", "ä€", "7"), StreamEvent("message", "2", "7")]


def test_not_utf8() -> None:
    """What is no UTF-8 is no stream."""
    with pytest.raises(StreamBroken):
        read(b"data: \xff\n\n")


def test_endless() -> None:
    """A line or an event without an end is not collected for ever."""
    for piece in (b"x" * 100, b"data: " + b"x" * 100 + b"\n"):
        stream = EventStream(most_bytes=1000)
        for _ in range(9):
            list(stream.feed(piece))
        with pytest.raises(StreamBroken):
            list(stream.feed(piece * 2))
