"""One connection to Redis: who gets which answer, and when there is none."""

import asyncio
import select
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keywright.rate_limiting.connection import Connection, RedisCallFailed, RedisConnectionLost, connect
from keywright.rate_limiting.url import RedisUrl, read
from tests.live import PATIENCE_SECONDS
from tests.rate_limiting.certificates import make_certificate
from tests.redis_server import RedisServer

SHORT = 0.05


@asynccontextmanager
async def connected(place: RedisUrl | str, *, patience: float = PATIENCE_SECONDS) -> AsyncIterator[Connection]:
    connection = await connect(read(place) if isinstance(place, str) else place, patience=patience)
    try:
        yield connection
    finally:
        connection.end("the test is over")


@asynccontextmanager
async def peer(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Run a server that does *talk* with whoever connects, and give its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]


async def test_everybody_gets_their_own_answer(redis_server: RedisServer) -> None:
    """Of many concurrent calls each gets its own answer, and an error reaches only its caller."""
    async with connected(redis_server.url) as connection:
        calls = [connection.call("ECHO", number) if number % 10 else connection.call("NO") for number in range(1000)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(answer, RedisCallFailed) for answer in answers] == [number % 10 == 0 for number in range(1000)]
    assert [answer for answer in answers if isinstance(answer, bytes)] == [
        b"%d" % number for number in range(1000) if number % 10
    ]


async def test_calls_of_one_turn_leave_together(own_redis: RedisServer) -> None:
    """Redis reads once what many requests ask for in the same moment."""

    async with connected(own_redis.url) as connection:

        async def reads() -> int:
            lines = (await connection.call("INFO", "stats")).decode().splitlines()
            return next(int(line.partition(":")[2]) for line in lines if line.startswith("total_reads_processed:"))

        before = await reads()
        await asyncio.gather(*(connection.call("ECHO", number) for number in range(50)))
        # Asking is a reading, too.
        assert await reads() - before == 2


async def test_a_caller_who_went_away(redis_server: RedisServer) -> None:
    """The answer to a cancelled call goes to no other call."""
    async with connected(redis_server.url) as connection:
        first = asyncio.ensure_future(connection.call("ECHO", "first"))
        second = asyncio.ensure_future(connection.call("ECHO", "second"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == b"second"
        assert await connection.call("ECHO", "third") == b"third"


async def test_no_answer_in_time(own_redis: RedisServer) -> None:
    """When an answer is overdue, all waiting calls fail, and later ones fail at once."""
    async with connected(own_redis.url, patience=SHORT) as connection:
        own_redis.stand_still()
        told = await asyncio.gather(*(connection.call("PING") for _ in range(3)), return_exceptions=True)
        assert {str(error) for error in told} == {f"Redis did not answer within {SHORT} s"}
        assert await connection.lost == f"Redis did not answer within {SHORT} s"
        with pytest.raises(RedisConnectionLost):
            await connection.call("PING")


async def test_a_process_that_stood_still(redis_server: RedisServer) -> None:
    """An answer that came in time counts, however late this process comes to read it."""
    async with connected(redis_server.url, patience=SHORT) as connection:
        assert connection._transport is not None
        arrived = connection._transport.get_extra_info("socket")
        answer = asyncio.ensure_future(connection.call("ECHO", "in time"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert select.select([arrived.fileno()], [], [], PATIENCE_SECONDS)[0]
        time.sleep(2 * SHORT)
        assert await answer == b"in time"


async def test_too_many_wait() -> None:
    """A bounded number of calls waits; one more is refused without effect on the others."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass

    async with peer(silent) as port, connected(f"redis://127.0.0.1:{port}") as connection:
        connection._most = 3
        waiting = [asyncio.ensure_future(connection.call("PING")) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(RedisConnectionLost, match="3 calls wait"):
            await connection.call("PING")
        assert not any(call.done() for call in waiting)
        connection.end("enough")
        assert {str(error) for error in await asyncio.gather(*waiting, return_exceptions=True)} == {"enough"}


async def test_not_redis() -> None:
    """Something else that answers is not mistaken for Redis."""

    async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read()

    async with peer(http) as port, connected(f"redis://127.0.0.1:{port}") as connection:
        with pytest.raises(RedisConnectionLost, match="does not speak"):
            await connection.call("PING")


async def test_too_many_clients(own_redis: RedisServer) -> None:
    """An answer without a call becomes the reason of the lost connection."""
    async with connected(own_redis.url) as first:
        await first.call("CONFIG", "SET", "maxclients", 1)
        async with connected(own_redis.url) as second:
            assert "max number of clients" in await second.lost


async def test_the_end_of_redis(own_redis: RedisServer) -> None:
    """When Redis dies, waiting calls fail at once."""
    async with connected(own_redis.url) as connection:
        own_redis.stand_still()
        waiting = asyncio.ensure_future(connection.call("PING"))
        await asyncio.sleep(0)
        own_redis.kill()
        with pytest.raises(RedisConnectionLost, match="ended"):
            await waiting


async def test_nobody_there(own_redis: RedisServer) -> None:
    """An unreachable Redis is an error that says so, on a port and on a socket."""
    own_redis.kill()
    for url in (own_redis.url, "unix:///nowhere/redis.sock", "redis://nowhere.invalid"):
        with pytest.raises(RedisConnectionLost, match="cannot be reached"):
            await connect(read(url))


async def test_login_and_database(own_redis: RedisServer) -> None:
    """It logs in with the password, and with a name where there is one, and works in the database it was told."""
    own_redis.execute("ACL", "SETUSER", "me", "on", ">mine", "~*", "+@all")
    own_redis.execute("CONFIG", "SET", "requirepass", "s3cret/!")
    ours = f"redis://:s3cret%2F!@127.0.0.1:{own_redis.port}"
    async with connected(f"{ours}/3") as connection:
        assert "db=3" in (await connection.call("CLIENT", "LIST")).decode()
    async with connected(f"unix://me:mine@{own_redis.socket_path}?db=2") as connection:
        assert await connection.call("ACL", "WHOAMI") == b"me"
    for wrong in (":hunter22", "me:hunter22"):
        with pytest.raises(RedisCallFailed, match="WRONGPASS") as refusal:
            await connect(read(ours.replace(":s3cret%2F!", wrong)))
        assert "hunter22" not in str(refusal.value)
    with pytest.raises(RedisCallFailed, match="out of range"):
        await connect(read(f"{ours}/999"))


async def test_tls(redis_server: RedisServer, tmp_path: Path) -> None:
    """Over TLS it connects only to a server with a certificate of a trusted authority."""
    ours, tls = make_certificate(tmp_path, "ours")
    others, _ = make_certificate(tmp_path, "others")

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", redis_server.port)
        while asked := await reader.read(1000):
            back.write(asked)
            writer.write(await there.read(1000))
        back.close()

    async with peer(forward, tls) as port:
        async with connected(f"rediss://localhost:{port}?ssl_ca_certs={ours}") as connection:
            assert await connection.call("ECHO", "x") == b"x"
        for url in (f"rediss://localhost:{port}?ssl_ca_certs={others}", f"rediss://localhost:{port}"):
            with pytest.raises(RedisConnectionLost, match="TLS with Redis failed"):
                await connect(read(url))
        with pytest.raises(RedisConnectionLost, match="No such file"):
            await connect(read(f"rediss://localhost:{port}?ssl_ca_certs={tmp_path}/absent.pem"))
