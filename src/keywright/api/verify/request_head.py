"""
Reads plain heads of requests from their bytes: one regular expression for all headers.

A head is plain if the parser of all requests accepts it and keeps the connection alive, and if each header that this
service reads stands in it once, in its usual form. The expressions are stricter than the parser, never more tolerant;
every other head goes to the parser.
"""

import re

# Far below the limit of a head, so that no bound of a connection applies.
LONGEST_HEAD = 4096

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9a-z]"
TEXT = rb"[\t\x20-\x7e\x80-\xff]*+"
FIELD = TOKEN + rb"*+:" + TEXT + rb"\r\n"


def once(number: int, name: bytes, value: bytes) -> bytes:
    """Write the expression of a header that stands in a head once; *value* contains the group of that number."""
    return rb"%b:(?(%d)(?!))[ \t]*+%b\r\n" % (name, number, value)


def first(beginning: bytes, *known: bytes, other: bytes) -> bytes:
    """Write the expression of the headers that begin alike: the known ones, and all that *other* does not match."""
    return rb"%b(?:%b)" % (beginning, b"|".join((*known, rb"(?!%b)%b" % (other, FIELD))))


HOST_VALUE = b"()" + TEXT
KEEP_ALIVE = rb"onnection:[ \t]*+keep-alive\r\n"

# In the order in which the expression has them.
_TYPE, _LENGTH, _BEARER, _HOST = range(1, 5)
# Names are in lower case. A header that changes how a request is read or answered matches nothing, so its head is not
# plain. No group stands in a possessive one: early releases of Python 3.11 lose what it matched.
_FIELDS = (
    first(
        b"c",
        once(_TYPE, b"ontent-type", b"(application/json)"),
        once(_LENGTH, b"ontent-length", b"([0-9]{1,7})"),
        KEEP_ALIVE,
        other=b"ontent-type:|ontent-length:|ontent-encoding:|onnection:",
    ),
    first(b"a", once(_BEARER, b"uthorization", rb"bearer ([a-z0-9_]++)"), other=b"uthorization:"),
    first(b"h", once(_HOST, b"ost", HOST_VALUE), other=b"ost:"),
    rb"[!#$%&'*+\-.^_`|~0-9bdfgijl-nq-svwxyz]" + FIELD,
    # The answer to a page of another origin has headers that the application adds.
    first(b"o", other=b"rigin:"),
    first(b"u", other=b"pgrade:"),
    first(b"e", other=b"xpect:"),
    first(b"t", other=b"ransfer-encoding:"),
    first(b"p", other=b"roxy-connection:"),
    first(b"k", other=b"eywright-facts:"),
)
_ALL, _ALL_BUT_BEARER = (
    b"".join(rb"(?(%d)|(?!))" % group for group in groups)
    for groups in ((_HOST, _BEARER, _TYPE, _LENGTH), (_HOST, _TYPE, _LENGTH))
)
_HEAD = re.compile(rb"(?:%b)+%b\r\n" % (b"|".join(_FIELDS), _ALL))
_ANONYMOUS_HEAD = re.compile(rb"(?:%b)+%b\r\n" % (b"|".join(_FIELDS), _ALL_BUT_BEARER))


def read_verify_head(head: bytes, begin: int, *, anonymous: bool = False) -> tuple[bytes, int] | None:
    """
    Read the headers of a request to `/verify`.

    Args:
        head: A whole head.
        begin: Where its headers begin.
        anonymous: Whether it needs no credential, which is empty then.

    Returns:
        The credential and the length of the body; None where the head is not plain.
    """
    found = (_ANONYMOUS_HEAD if anonymous else _HEAD).fullmatch(head.lower(), begin)
    if found is None:
        return None
    at, end = found.span(_BEARER)
    return b"" if anonymous else head[at:end], int(found[_LENGTH])
