"""Reads plain request heads with the parser of all requests, apart from a connection."""

import httptools

# Far below the limit of a head, so that no bound of a connection applies.
LONGEST_HEAD = 4096
_END = b"\r\n\r\n"
# Headers that change how a request is read or answered.
_PECULIAR = frozenset({b"expect", b"transfer-encoding", b"upgrade"})

Fields = list[tuple[bytes, bytes]]


def read_plain_head(data: bytes) -> tuple[bytes, Fields, int] | None:
    """
    Read the head that *data* begins with.

    Args:
        data: Received bytes, from the beginning of a request.

    Returns:
        The bytes of the head, its header fields with names in lower case, and the length of the body. None for a head
        that is incomplete, long, not HTTP/1.1, closes or upgrades the connection, has a body without a length, or not
        exactly one host.
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
        # Parser and reading refer to each other: without this, each pair would wait for the garbage collector.
        del reading.parser
    names = [name for name, _ in reading.fields]
    if not (reading.keeps_alive and _PECULIAR.isdisjoint(names)):
        return None
    if names.count(b"host") != 1:
        return None
    lengths = [value for name, value in reading.fields if name == b"content-length"]
    # A body without a length, or a length without a body, is not plain.
    if len(lengths) != reading.waits_for_body:
        return None
    return head, reading.fields, int(lengths[0]) if lengths else 0


class _Reading:
    """The results of the parser for one head."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.fields: Fields = []
        self.keeps_alive = self.waits_for_body = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.keeps_alive = self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive()
        self.waits_for_body = True

    def on_message_complete(self) -> None:
        self.waits_for_body = False
