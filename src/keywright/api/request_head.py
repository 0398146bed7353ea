"""Heads of requests without any peculiarity, read by the parser that reads all requests, apart from a connection."""

import httptools

# Far below what a head may have, so that no bound of a connection is touched.
LONGEST_HEAD = 4096
_END = b"\r\n\r\n"
# What changes how a request is read or answered beyond its own bytes.
_PECULIAR = frozenset({b"expect", b"transfer-encoding", b"upgrade"})

Fields = list[tuple[bytes, bytes]]


def read_plain_head(data: bytes) -> tuple[bytes, Fields, int] | None:
    """
    Read the head that *data* begins with.

    Args:
        data: What came in where a request may begin.

    Returns:
        The bytes of the head, its header fields with names in lower case, and the length of the body behind it, above
        0. None for a head that is not whole, not HTTP/1.1, long, or peculiar: one after which the connection does
        not go on as before, or with a body of another kind.
    """
    end = data.find(_END, 0, LONGEST_HEAD)
    if end < 0:
        return None
    head = data[: end + len(_END)]
    reading = _Reading()
    parser = httptools.HttpRequestParser(reading)
    try:
        parser.feed_data(head)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    lengths = [value for name, value in reading.fields if name == b"content-length"]
    plain = reading.waits_for_body and parser.get_http_version() == "1.1" and parser.should_keep_alive()
    if not plain or len(lengths) != 1 or not _PECULIAR.isdisjoint(name for name, _ in reading.fields):
        return None
    return head, reading.fields, int(lengths[0])


class _Reading:
    """What the parser says of a head."""

    def __init__(self) -> None:
        self.fields: Fields = []
        self.waits_for_body = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.waits_for_body = True

    def on_message_complete(self) -> None:
        self.waits_for_body = False
