"""
Records of usage, uses and refusals, and the bytes and ints that they are made of.

`usage.UsageBook` counts with these alone. Here is what they mean, and how records are made of them later.
"""

from collections.abc import Iterator
from heapq import merge
from itertools import islice
from typing import Final, NamedTuple

from keywright.keys.addresses import network_text
from keywright.keys.verdict import Code

HOUR_SECONDS = 3600

# A place, the key of the dict: the id of a key and the digest of its secret, then a network and a caller as one number.
# A place of refusals has one more byte, which stands for the code.
_ID_BYTES, _SECRET_BYTES = 16, 16 + 32
CALLER_BITS: Final = 16
SOURCE_BYTES: Final = 8 + CALLER_BITS // 8
_USE_BYTES = _SECRET_BYTES + SOURCE_BYTES
_CALLER = (1 << CALLER_BITS) - 1
# The numbers of callers from here on are those of one round.
FIRST_OF_ROUND = 1 << (CALLER_BITS - 1)

# A sum, the value: the first use, the number of uses, the last use. Times are milliseconds of the hour.
_TIME_BITS: Final = 22
_COUNT_BITS: Final = 46
FIRST_SHIFT: Final = _TIME_BITS + _COUNT_BITS
LAST: Final = (1 << _TIME_BITS) - 1
_COUNT = (1 << _COUNT_BITS) - 1
TICKS_PER_SECOND = 1000

_ORDERED_AT_ONCE = 500

_REFUSALS = tuple(code for code in Code if code not in (Code.VALID, Code.NOT_FOUND))
CODE_BYTE: Final[dict[Code, bytes]] = {code: bytes((number,)) for number, code in enumerate(_REFUSALS)}
"""The last byte of a place of refusals, for each code that a key with the right secret is refused with."""

CallerName = tuple[str, str | None]


def source_bytes(network: int, caller: int) -> bytes:
    """Write the end of a place; *network* is below 2 ** 64."""
    return (network << CALLER_BITS | caller).to_bytes(SOURCE_BYTES, "big")


class UsageSource(NamedTuple):
    """
    The source of uses, or of refusals with one code, in one hour; those with an equal source are added up.

    `digest` is the digest of the secret, `hour` counts hours since the epoch. `network` and `agent` are results of
    `network_of` and `agent_family`. `key_id` is the key's id, 16 bytes, and `verifier` the name of the caller that
    checked the key; in an in-process verifier they are zeros and empty, and the service adds them. `code` is `valid`
    for uses.
    """

    digest: bytes
    hour: int
    network: str | None
    agent: str | None
    key_id: bytes = bytes(_ID_BYTES)
    verifier: str = ""
    code: Code = Code.VALID


class UsageRecord(NamedTuple):
    """The uses or refusals from one source, and the times of the first and the last, to the millisecond below."""

    source: UsageSource
    uses: int
    first: float
    last: float


class Noted:
    """The sums of one hour, by their places, and the names of the callers; records are taken out of it."""

    __slots__ = ("_callers", "_hour", "_order", "_runs", "_unordered", "_verifiers", "sums")

    def __init__(
        self, hour: int, sums: dict[bytes, int], verifiers: list[CallerName], callers: list[CallerName]
    ) -> None:
        self.sums = sums
        self._hour = hour
        self._verifiers = verifiers
        self._callers = callers
        self._unordered: Iterator[bytes] | None = None
        self._runs: list[list[bytes]] = []
        self._order: Iterator[bytes] | None = None

    def order_some(self) -> bool:
        """Order a run of places; after the last one, merge them and give False."""
        if self._order is not None:
            return False
        if self._unordered is None:
            self._unordered, self._runs = iter(self.sums), []
        run = sorted(islice(self._unordered, _ORDERED_AT_ONCE))
        if run:
            self._runs.append(run)
        else:
            self._order = merge(*self._runs)
        return bool(run)

    def take(self, most: int) -> list[tuple[bytes, int]]:
        if self._order is not None:
            return [(place, self.sums.pop(place)) for place in islice(self._order, most)]
        self._unordered = None
        # From the end of the dict, where it costs the same however many were taken before.
        taken = [self.sums.popitem() for _ in range(min(most, len(self.sums)))]
        taken.reverse()
        return taken

    def record(self, place: bytes, found: int) -> UsageRecord:
        names, number = self._verifiers, int.from_bytes(place[_SECRET_BYTES:_USE_BYTES], "big")
        network, caller = number >> CALLER_BITS, number & _CALLER
        if caller >= FIRST_OF_ROUND:
            names, caller = self._callers, caller - FIRST_OF_ROUND
        verifier, agent = names[caller]
        key_id, digest = place[:_ID_BYTES], place[_ID_BYTES:_SECRET_BYTES]
        code = _REFUSALS[place[_USE_BYTES]] if len(place) > _USE_BYTES else Code.VALID
        source = UsageSource(digest, self._hour, network_text(network), agent, key_id, verifier, code)
        first, last = found >> FIRST_SHIFT, found & LAST
        if first > last:
            # The clock was set back.
            first, last = last, first
        begin = self._hour * HOUR_SECONDS
        count = found >> _TIME_BITS & _COUNT
        return UsageRecord(source, count, begin + first / TICKS_PER_SECOND, begin + last / TICKS_PER_SECOND)


class UsageRecords:
    """
    Records that were taken out of a book.

    They are made whenever they are read: to be read in the thread that writes them.
    """

    __slots__ = ("_noted", "_sums")

    def __init__(self, noted: Noted | None, sums: list[tuple[bytes, int]]) -> None:
        self._noted = noted
        self._sums = sums

    def __len__(self) -> int:
        return len(self._sums)

    def __iter__(self) -> Iterator[UsageRecord]:
        noted = self._noted
        return iter(()) if noted is None else (noted.record(place, found) for place, found in self._sums)
