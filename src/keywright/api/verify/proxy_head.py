"""
Reads plain questions of proxies from their bytes: one regular expression for the headers.

A question is plain if the parser of all requests accepts its head, keeps the connection alive and finds no body, and if
the headers that this service reads stand in it once each, in their usual form, with the key in one of its two places.
The expression is stricter than the parser, never more tolerant; every other question goes to the parser.
tests/api/test_proxy_head.py compares the two.
"""

import re
from typing import NamedTuple

from keywright.api.verify.request_head import FIELD, HOST_VALUE, KEEP_ALIVE, LONGEST_HEAD, TEXT, first, once

QUESTION = re.compile(rb"(GET /forward-auth)|[A-Z]{3,7} /ext-authz").match
"""Matches the beginning of a proxy's question; that of Envoy has the method of its client and no group."""

# The query has only characters with one meaning.
_FORWARD_AUTH = re.compile(rb"GET /forward-auth(?:\?([A-Za-z0-9%&=+,.:;_~*/@!$'()-]*+))? HTTP/1\.1")
# Envoy repeats method, path and query of its client, and only the beginning of the path matters.
_EXT_AUTHZ = re.compile(
    rb"(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /ext-authz(?:[/?][!$%&'()*+,\-./0-9:;=?@A-Z_a-z~]*+)? HTTP/1\.1"
)

# In the order in which the expression has them.
_FORWARDED, _VERIFIER, _REQUIRED, _API_KEY, _BEARER, _HOST, _AGENT, _LENGTH = range(1, 9)


# Names are in lower case. A header that changes how a request is read matches nothing, so its head is not plain. No
# group stands in a possessive one: early releases of Python 3.11 lose what it matched.
_FIELDS = (
    first(
        b"x-",
        first(b"forwarded-", once(_FORWARDED, b"for", rb"([0-9a-f:., \t]*+)"), other=b"for:"),
        first(
            b"keywright-",
            once(_VERIFIER, b"verifier", rb"([!-~]++)"),
            once(_REQUIRED, b"require", rb"([!-~]*+)"),
            other=b"verifier:|require:",
        ),
        # Some proxies join headers of one name with a comma.
        once(_API_KEY, b"api-key", rb"([!-+\--~]++)"),
        other=b"forwarded-|keywright-|api-key:",
    ),
    first(b"a", once(_BEARER, b"uthorization", rb"bearer ([a-z0-9\-._~+/]++=*+)"), other=b"uthorization:"),
    rb"[!#$%&'*+\-.^_`|~0-9bdfgi-oq-svwyz]" + FIELD,
    first(b"h", once(_HOST, b"ost", HOST_VALUE), other=b"ost:"),
    # The family of the agent, as `keys.usage.agent_family` gives it; to Python two other letters are spaces.
    first(
        b"u",
        once(_AGENT, b"ser-agent", rb"(?![\x85\xa0])((?:[a-z][a-z0-9._+-]{0,31}+)?)" + TEXT),
        other=b"ser-agent:|pgrade:",
    ),
    first(
        b"c",
        once(_LENGTH, b"ontent-length", b"(0)"),
        KEEP_ALIVE,
        other=b"ontent-length:|onnection:",
    ),
    first(b"e", other=b"xpect:"),
    first(b"t", other=b"ransfer-encoding:"),
    first(b"p", other=b"roxy-connection:"),
    first(b"x", other=b"-"),
)
_ONE_KEY = rb"(?(%(bearer)d)(?(%(api_key)d)(?!))|(?(%(api_key)d)|(?!)))" % {b"bearer": _BEARER, b"api_key": _API_KEY}
_ONE_HOST = rb"(?(%d)|(?!))" % _HOST
_HEAD = re.compile(rb"(?:%b)+%b%b\r\n" % (b"|".join(_FIELDS), _ONE_HOST, _ONE_KEY))


class Question(NamedTuple):
    """
    A plain question of a proxy.

    `line` is its first line without the end. `credential` is the value of `X-Keywright-Verifier`, `forwarded` that of
    `X-Forwarded-For`, `required` that of `X-Keywright-Require`; None where the header is missing. `agent`
    is the family of the user agent, None where it has none.
    """

    line: bytes
    key: bytes
    credential: bytes | None
    forwarded: str | None
    required: bytes | None
    agent: str | None


def read_question(data: bytes) -> Question | None:
    """
    Read the headers of a question; its first line is for `query_of` and `is_ext_authz`.

    Args:
        data: Received bytes, from the beginning of a request.

    Returns:
        None where *data* is not one whole head, or the head is long or not plain.
    """
    end = data.find(b"\r\n")
    if end < 0 or len(data) > LONGEST_HEAD:
        return None
    head = _HEAD.fullmatch(data.lower(), end + 2)
    if head is None:
        return None
    key, credential = head.span(_BEARER), head.span(_VERIFIER)
    if key[0] < 0:
        key = head.span(_API_KEY)
    agent, required, forwarded = head.span(_AGENT), head.span(_REQUIRED), head.span(_FORWARDED)
    return Question(
        data[:end],
        data[key[0] : key[1]],
        data[credential[0] : credential[1]] if credential[0] > 0 else None,
        None if forwarded[0] < 0 else str(data[forwarded[0] : forwarded[1]], "ascii"),
        data[required[0] : required[1]] if required[0] > 0 else None,
        str(data[agent[0] : agent[1]], "ascii") or None,
    )


def query_of(line: bytes) -> bytes | None:
    """Give the query in the first line of a question to `/forward-auth`; None for any other line."""
    found = _FORWARD_AUTH.fullmatch(line)
    return None if found is None else found[1] or b""


def is_ext_authz(line: bytes) -> bool:
    """Tell whether the first line of a question asks `/ext-authz`, with any path behind it."""
    return _EXT_AUTHZ.fullmatch(line) is not None
