"""The pings of a supervisor: each worker answers for the server that it runs."""

import inspect
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import httpx
import uvicorn
from uvicorn.supervisors.multiprocess import Process

from keywright.cli.server.start import StartClock
from keywright.cli.server.workers import Worker
from tests.live import PATIENCE_SECONDS
from tests.waiting import eventually

# The property that makes the server when it is first read, and the line in it that is reached where there is none yet.
_GETTER: Any = inspect.getattr_static(Process, "server").fget
_LINES, _FIRST = inspect.getsourcelines(_GETTER)
_MAKING = _FIRST + next(number for number, line in enumerate(_LINES) if "Server(" in line)


class Meeting:
    """
    Holds the main thread of a worker where it makes its server until the thread that answers is there as well.

    The main thread then goes first, and the other one follows when the main thread has its server, `running`. A worker
    that has no such thread yet is not held.
    """

    def __init__(self, main: threading.Thread) -> None:
        self.running: uvicorn.Server | None = None
        self._main = main
        self._others = set(threading.enumerate())
        self._both = threading.Barrier(2)
        self._main_is_through = threading.Event()

    def trace(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        """Follow what a thread does in the property; see `sys.settrace`."""
        if frame.f_code is not _GETTER.__code__:
            return None
        is_main = threading.current_thread() is self._main
        if event == "line" and frame.f_lineno == _MAKING:
            self._meet(is_main)
        if event == "return" and is_main and not self._main_is_through.is_set():
            assert isinstance(argument, uvicorn.Server)
            self.running = argument
            self._main_is_through.set()
        return self.trace

    def _meet(self, is_main: bool) -> None:
        if is_main and set(threading.enumerate()) <= {self._main, *self._others}:
            return
        self._both.wait(PATIENCE_SECONDS)
        if not is_main:
            self._main_is_through.wait(PATIENCE_SECONDS)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer every request with 204."""
    if scope["type"] == "lifespan":
        for done in ("lifespan.startup.complete", "lifespan.shutdown.complete"):
            await receive()
            await send({"type": done})
        return
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@contextmanager
def running(process: Process, listener: socket.socket) -> Iterator[Meeting]:
    """Run what *process* runs in a thread of this process, its two threads meeting, until it answers requests."""
    main = threading.Thread(target=process.target, args=([listener],), name="main thread of a worker")
    meeting = Meeting(main)
    # The ping that the second thread answers at once.
    process.parent_conn.send(b"ping")
    former = threading.gettrace()
    threading.settrace(meeting.trace)
    main.start()
    try:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert httpx.get(url, trust_env=False, timeout=PATIENCE_SECONDS).status_code == 204
        assert process.parent_conn.poll(PATIENCE_SECONDS)
        process.parent_conn.recv()
        yield meeting
    finally:
        threading.settrace(former)  # type: ignore[arg-type]
        if meeting.running is not None:
            meeting.running.should_exit = True
        main.join(PATIENCE_SECONDS)


def config() -> uvicorn.Config:
    return uvicorn.Config(application, log_config=None, lifespan="on", ws="none")


def test_a_server_for_each_thread() -> None:
    """uvicorn's own worker can make two servers; it then answers requests and never reports that it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = Process(config(), [listener])
        with running(process, listener) as meeting:
            assert meeting.running is not None
            assert process.server is not meeting.running
            assert [process.is_ready(PATIENCE_SECONDS) for _ in range(3)] == [False, False, False]


def test_one_server_for_both_threads() -> None:
    """A worker makes one server before its second thread, and reports that it is ready when it answers requests."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        worker = Worker(config(), [listener], StartClock(0, 60))
        with running(worker, listener) as meeting:
            assert worker.server is meeting.running

            def says_that_it_is_up() -> bool:
                worker.look(time.monotonic())
                return worker.is_up

            eventually(says_that_it_is_up)
