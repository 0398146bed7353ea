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
        The bytes of the head, its header fields with names in lower case, and the length of the body behind it. None
        for a head that is not whole, not HTTP/1.1, long, or peculiar: one after which the connection does not go on as
        before, or with a body of another kind.
    """
    end = data.find(_END, 0, LONGEST_HEAD)
    if end < 0:
        return None
    head = data[: end + len(_END)]
    reading = _Reading()
    try:
        reading.parser.feed_data(head)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    finally:
        # It holds the reading, too: the two would be left to the garbage collector, for every request.
        del reading.parser
    if not (reading.goes_on and _PECULIAR.isdisjoint(name for name, _ in reading.fields)):
        return None
    lengths = [value for name, value in reading.fields if name == b"content-length"]
    # A head without a body that says how long it is, is a head that says it in a peculiar way.
    if len(lengths) != reading.waits_for_body:
        return None
    return head, reading.fields, int(lengths[0]) if lengths else 0


class _Reading:
    """What the parser says of a head."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.fields: Fields = []
        self.goes_on = self.waits_for_body = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.goes_on = self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive()
        self.waits_for_body = True

    def on_message_complete(self) -> None:
        self.waits_for_body = False
