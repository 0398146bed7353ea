"""`keywright keys` in a process of its own, on a pseudo-terminal."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.cli.fake_service import FakeService
from tests.live import PATIENCE_SECONDS, clean_environment

_STYLE = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Terminal:
    """Both ends of a pseudo-terminal: a process has `theirs`, the test reads and types at `ours`."""

    ours: int
    theirs: int

    def shown(self) -> str:
        """Give all that was shown, without styles, when every process has closed its end."""
        os.close(self.theirs)
        shown = b""
        while chunk := self._read():
            shown += chunk
        return without_styles(shown.decode().replace("\r\n", "\n"))

    def _read(self) -> bytes:
        try:
            return os.read(self.ours, 65536)
        except OSError:
            # The other end is closed; Linux says so with an error, others with an empty read.
            return b""


@contextmanager
def terminal(width: int = 300) -> Iterator[Terminal]:
    """Give a terminal *width* cells wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, width, 0, 0))
    try:
        yield Terminal(ours, theirs)
    finally:
        os.close(ours)


def without_styles(text: str) -> str:
    """Remove bold and colours."""
    return _STYLE.sub("", text)


def command(*arguments: str) -> list[str]:
    """Give the command line of `keywright keys`."""
    return [sys.executable, "-m", "keywright", "keys", *arguments]


def environment(service: FakeService, **more: str) -> dict[str, str]:
    """Give the environment of a command that calls *service* and asks the terminal itself for its width."""
    settings: Mapping[str, str] = {
        "KEYWRIGHT_URL": service.url,
        "KEYWRIGHT_TOKEN": "a.b.c",
        "NO_COLOR": "1",
        "TERM": "xterm",
        **more,
    }
    inherited = clean_environment(settings)
    return {name: value for name, value in inherited.items() if name not in ("COLUMNS", "LINES") or name in more}


def answered(service: FakeService, answer: bytes, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a command whose standard input is a terminal, and type *answer* there."""
    with (
        terminal() as screen,
        subprocess.Popen(
            command(*arguments),
            env=environment(service),
            stdin=screen.theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        os.close(screen.theirs)
        os.write(screen.ours, answer)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
