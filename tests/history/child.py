"""What the processes that verify have in common: the keys they are told of, and the file they record into."""

import random
import struct
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.history.checker import Outcome, Verify

NEWEST = 8
MOST_PASSING = 150
"""Keys of a short life that are verified at a time; beyond it the oldest are left alone."""
MOST_LASTING = 40
MOST_KEPT = 6
"""Keys of a nemesis that are verified more often than others, so that a belief of some tenths of a second shows."""

_RECORD = struct.Struct("<ddBIBB")


class Key(NamedTuple):
    """A key by the number that the history knows it by, and the text that is presented."""

    number: int
    text: str


class Keys:
    """
    The keys to be verified, told line by line on standard input: `passing NUMBER TEXT`, `lasting NUMBER TEXT`,
    `kept NUMBER TEXT`, `end`.

    `ended` is set by the last one, and when whoever tells is gone. `rest` and `work` say whether to verify meanwhile;
    a process with a verifier in it begins anew with another one after that.
    """

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.resting = threading.Event()
        self._passing: deque[Key] = deque(maxlen=MOST_PASSING)
        self._lasting: deque[Key] = deque(maxlen=MOST_LASTING)
        self._newest: deque[Key] = deque(maxlen=NEWEST)
        self._kept: deque[Key] = deque(maxlen=MOST_KEPT)
        threading.Thread(target=self._listen, daemon=True, name="listening").start()

    @property
    def wanted(self) -> bool:
        """Whether to verify."""
        return not self.ended.is_set() and not self.resting.is_set()

    def pick(self) -> Key | None:
        """Choose one: some that are new, some that never end, and mostly such as are about to end or have ended."""
        pile = random.choices((self._newest, self._lasting, self._passing, self._kept), (2, 1, 7, 5))[0]
        return random.choice(pile) if pile else None

    def _listen(self) -> None:
        for line in sys.stdin:
            word, *rest = line.split()
            if word == "end":
                break
            self._take(word, rest)
        self.ended.set()

    def _take(self, word: str, rest: Sequence[str]) -> None:
        if word == "rest":
            self.resting.set()
        elif word == "work":
            self.resting.clear()
        else:
            number, text = rest
            key = Key(int(number), text)
            (self._lasting if word == "lasting" else self._passing).append(key)
            self._newest.append(key)
            if word == "kept":
                self._kept.append(key)


class Recording:
    """
    A file of verifications, written as they end.

    Args:
        path: Where it is.
        names: The verifiers that this process plays.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._file = path.open("wb", buffering=1 << 16)
        self._places = {name: place for place, name in enumerate(names)}
        self._lock = threading.Lock()

    def note(self, start: float, end: float, verifier: str, key: int, outcome: Outcome, *, stale: bool = False) -> None:
        """Write one down; any thread may."""
        record = _RECORD.pack(start, end, self._places[verifier], key, outcome, stale)
        with self._lock:
            self._file.write(record)

    def close(self) -> None:
        """Write what is left."""
        self._file.close()


def recorded(path: Path, names: Sequence[str]) -> Iterator[Verify]:
    """Read a recording back."""
    records = path.read_bytes()
    outcomes = list(Outcome)
    for start, end, place, key, outcome, stale in _RECORD.iter_unpack(records):
        yield Verify(start, end, names[place], key, outcomes[outcome], bool(stale))


def wrong(verifier: str, key: int, detail: object) -> Outcome:
    """Tell standard error what is no answer, for whoever reads the violation."""
    print(f"{verifier}: key {key}: {detail!r}", file=sys.stderr, flush=True)
    return Outcome.WRONG
