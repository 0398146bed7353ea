"""A network cuts what it carries into pieces of any size; that changes nothing of what is read."""

import asyncio
import json
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api.protocol import Wire
from tests.api.raw import answers_in


class Message(NamedTuple):
    """What a client sends: the body that the application gets to see, None where it is none, and what comes after."""

    sent: bytes
    body: str | None
    goes_on: bool = True


LENGTH = b"Content-Length: 5\r\n\r\nhello"
CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n"
UPGRADE = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
GOOD = [
    Message(b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n", ""),
    Message(b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    Message(b"POST / HTTP/1.1\r\nHost: x\r\n" + LENGTH, "hello"),
    Message(b"POST / HTTP/1.1\r\nHost: x\r\n" + CHUNKS + b"\r\n", "hello"),
    Message(b"POST / HTTP/1.1\r\nHost: x\r\n" + CHUNKS + b"X-Secret: trailer\r\n\r\n", "hello"),
]
LAST = [
    Message(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "", goes_on=False),
    Message(b"POST / HTTP/1.0\r\n" + LENGTH, "hello", goes_on=False),
    Message(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + LENGTH, "hello", goes_on=False),
    Message(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "", goes_on=False),
    Message(UPGRADE + LENGTH, "hello", goes_on=False),
    Message(UPGRADE + CHUNKS + b"X-Secret: trailer\r\n\r\n", "hello", goes_on=False),
    Message(b"GARBAGE\r\n\r\n", None, goes_on=False),
    Message(b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n", None, goes_on=False),
    Message(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\nZZ\r\n", None, goes_on=False),
    Message(b"GET / HTTP/1.1\r\n\r\n", None, goes_on=False),
    Message(b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", None, goes_on=False),
    Message(b"CONNECT a:443 HTTP/1.1\r\nHost: x\r\n" + LENGTH, None, goes_on=False),
    Message(UPGRADE + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", None, goes_on=False),
    Message(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", None, goes_on=False),
]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[Message], list[bytes]]:
    """Messages, and what they are cut into."""
    messages = draw(st.lists(st.sampled_from(GOOD), max_size=4)) + draw(st.lists(st.sampled_from(LAST), max_size=2))
    messages += draw(st.lists(st.sampled_from(GOOD), max_size=2))
    sent = b"".join(message.sent for message in messages)
    cuts = sorted(draw(st.lists(st.integers(0, len(sent)), max_size=12)))
    return messages, [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]


def expected(messages: list[Message]) -> list[str]:
    """The bodies that the application gets to see."""
    bodies = []
    for message in messages:
        if message.body is not None:
            bodies.append(message.body)
        if not message.goes_on:
            break
    return bodies


@settings(max_examples=500)
@given(conversations())
def test_pieces(conversation: tuple[list[Message], list[bytes]]) -> None:
    """However it is cut, each whole request is answered once, in order, up to the first that ends the connection."""
    messages, pieces = conversation

    async def converse() -> Wire:
        wire = Wire()
        for piece in pieces:
            await wire.receive(piece)
        return wire

    wire = asyncio.run(converse())
    answers = [answer for answer in answers_in(wire.transport.written) if answer.status != 100]
    told = [json.loads(answer.body) for answer in answers if answer.status == 200]
    assert [answer["body"] for answer in told] == expected(messages)
    assert b"trailer" not in wire.transport.written
    assert {answer.status for answer in answers[len(told) :]} <= {400, 431}
    assert len(answers) <= len(told) + 1
    assert wire.transport.closed is not all(message.goes_on for message in messages)
