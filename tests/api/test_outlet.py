"""The head of an answer goes with its body, and waits for nothing else."""

import asyncio
from collections.abc import Iterable

import pytest

from keywright.api.outlet import Outlet


class Wire:
    """What arrives of a connection, piece by piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.pieces.append(data)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.write(b"".join(pieces))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def outlet(wire: Wire) -> Outlet:
    return Outlet(wire, asyncio.get_running_loop())  # type: ignore[arg-type]


async def test_head_and_body_are_one_piece(wire: Wire, outlet: Outlet) -> None:
    """What is written without a pause behind the head leaves with it; what comes then leaves at once, in order."""
    outlet.write(b"head")
    assert wire.pieces == []
    outlet.write(b"body")
    outlet.write(b"more")
    await asyncio.sleep(0)
    outlet.write(b"still more")
    assert wire.pieces == [b"headbody", b"more", b"still more"]


async def test_a_head_without_a_body_yet(wire: Wire, outlet: Outlet) -> None:
    """The head of an answer that streams leaves by itself, in the loop's next turn."""
    outlet.write(b"head")
    await asyncio.sleep(0)
    assert wire.pieces == [b"head"]
    outlet.write(b"event")
    assert wire.pieces == [b"head", b"event"]


async def test_an_empty_body(wire: Wire, outlet: Outlet) -> None:
    """An answer without a body is its head."""
    outlet.write(b"head")
    outlet.write(b"")
    assert wire.pieces == [b"head"]


async def test_an_answer_without_a_body(wire: Wire, outlet: Outlet) -> None:
    """An answer that ends with its head leaves at its end, before whatever is answered next."""
    outlet.write(b"first")
    outlet.end()
    assert wire.pieces == [b"first"]
    outlet.write(b"second")
    outlet.write(b"body")
    outlet.end()
    assert wire.pieces == [b"first", b"secondbody"]


async def test_close(wire: Wire, outlet: Outlet) -> None:
    """What was written leaves before the connection is closed."""
    outlet.write(b"head")
    outlet.close()
    assert (wire.pieces, outlet.is_closing()) == ([b"head"], True)
    await asyncio.sleep(0)
    assert wire.pieces == [b"head"]


async def test_a_connection_that_is_gone(wire: Wire, outlet: Outlet) -> None:
    """Nothing is written to a connection that was closed while the head waited."""
    outlet.write(b"head")
    wire.close()
    await asyncio.sleep(0)
    assert wire.pieces == []
