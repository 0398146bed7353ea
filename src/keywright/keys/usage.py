"""
Usage: accepted uses of keys, and refusals of keys whose secret was right, added up in memory by source and hour until
they are written or reported.

A use costs one entry of one dict, with bytes as its key and an int as its value, so that nothing of it is tracked by
the garbage collector. Texts and records are made from them later, while records are read, in any thread.

Pure: times are arguments, and the caller locks. All times are seconds since the epoch.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from keywright.keys.usage_records import (
    CALLER_BITS,
    CODE_BYTE,
    FIRST_OF_ROUND,
    FIRST_SHIFT,
    HOUR_SECONDS,
    LAST,
    SOURCE_BYTES,
    TICKS_PER_SECOND,
    CallerName,
    Noted,
    UsageRecords,
    source_bytes,
)
from keywright.keys.verdict import Code

MOST_AT_ONCE = 100
"""The most records in one batch that the service writes: a few milliseconds of a processor, which others wait for."""

MOST_SOURCES = 65_536
"""The number of sources that are counted apart between two exchanges."""

MOST_SOURCES_OF_A_KEY = 50
"""The number of sources of a key that are counted apart between two exchanges, while the book has room."""

FEW_SOURCES_OF_A_KEY = 5
"""The same once half of the book is used: a flood on other keys leaves a key these."""

SHORTEST_ROUND_SECONDS = 5.0
LONGEST_ROUND_SECONDS = 60.0
RECORDS_PER_SECOND = 20
"""The records of a round, by this rate, give the time until the next one; see `UsageBook.begin_round`."""

REFUSED_PART = 8
"""Refusals have this part of the room of uses, beside it: none of a use, and none of each other's uses."""

LONGEST_AGENT = 256
"""The characters of a user agent that are read; its family is at the beginning."""

_FAMILY = re.compile(r"[A-Za-z][A-Za-z0-9._+-]{0,31}")

_MOST_AGENTS = FIRST_OF_ROUND // 2
_NO_RECORDS = UsageRecords(None, [])
_REFUSED = b"refused"


class UsageBook:
    """
    The uses that this process accepted, and the refusals, that it has not yet written or reported.

    Noted uses are exchanged whole: the dict that grows is set aside, records are taken out of it, and new uses go to a
    new one. It is exchanged when all records before it are taken.

    Between two exchanges it counts at most *most_sources* sources apart, and of each key `MOST_SOURCES_OF_A_KEY`, or
    `FEW_SOURCES_OF_A_KEY` once half of all are used. Uses of a key beyond that are added up without network and agent:
    one more sum for each key and verifier. Refusals have bounds of their own, of the same kind: whoever has a revoked
    secret takes no place of a use, nor of the refusals of other keys.

    Args:
        most_sources: The number of sources of uses; of refusals it is an eighth.
        most_records: The number of records of uses, and an eighth of refusals; what is beyond is only counted, as
            `lost`. None for no bound.
    """

    def __init__(self, *, most_sources: int = MOST_SOURCES, most_records: int | None = None) -> None:
        self._most_sources = most_sources
        self._most_records = most_records
        # Number 0 has no name.
        self._verifiers: list[CallerName] = [("", None)]
        self._number_by_verifier = {"": 0}
        self._callers: list[CallerName] = []
        self._number_by_caller: dict[CallerName, int] = {}
        self._hour = 0
        self._sums: dict[bytes, int] = {}
        self._sources: dict[bytes, int] = {}
        # Of hours that are over; and what was exchanged.
        self._over: list[Noted] = []
        self._taken: list[Noted] = []
        # Since the last exchange: sums of refusals, and agents that were named by refusals.
        self._refusals = self._refused_agents = 0
        self._began, self._round_seconds = 0.0, 0.0
        # One use now, and the times between which `now` has to lie for it: a millisecond.
        self._use = 1
        self._from = self._to = 0.0
        self.lost = 0

    def __len__(self) -> int:
        return len(self._sums) + sum(len(noted.sums) for noted in (*self._over, *self._taken))

    def verifier_number(self, verifier: str) -> int:
        """
        Give the number of a verifier without an agent, for `note`; it is good as long as the book.

        For the verifiers of the operator, of which there are few: from the 32,768th on they have no name.
        """
        found = self._number_by_verifier.get(verifier)
        if found is not None:
            return found
        if len(self._verifiers) >= FIRST_OF_ROUND:
            return 0
        self._number_by_verifier[verifier] = len(self._verifiers)
        self._verifiers.append((verifier, None))
        return self._number_by_verifier[verifier]

    def caller_of(self, verifier: str, agent: str | None) -> int:
        """
        Give the number of a verifier and an agent, for the next call of `note`: to be asked for each use.

        From the 16,384th pair between two exchanges on, the agent is left out: clients choose their agents, and take no
        place of the names of callers. From the 32,768th on, the name of a caller that is no verifier with a number is,
        too.
        """
        found = self._number_by_caller.get((verifier, agent))
        return self._new_caller(verifier, agent) if found is None else found

    def note(self, key_id: bytes, digest: bytes, network: int, caller: int, now: float) -> None:
        """
        Add one use at *now*.

        Args:
            key_id: The id of the key, 16 bytes; zeros where it is not known.
            digest: The digest of its secret, 32 bytes.
            network: Of `addresses.network_number`, 0 for unknown; below 2 ** 64.
            caller: Of `verifier_number` or `caller_of`.
            now: The time.
        """
        if not self._from <= now < self._to:
            self._set_time(now)
        # As `source_bytes` does, without a call.
        place = key_id + digest + (network << CALLER_BITS | caller).to_bytes(SOURCE_BYTES, "big")
        sums = self._sums
        found = sums.get(place)
        if found is None:
            self._add(key_id, digest, network, caller)
        else:
            # All ones, and one more: the carry counts, and zeros are left for the time.
            sums[place] = (found | LAST) + self._use

    def note_refusal(
        self, key_id: bytes, digest: bytes, network: int, caller: CallerName, code: Code, now: float
    ) -> None:
        """
        Add one refusal at *now*.

        Args:
            key_id: As for `note`.
            digest: As for `note`.
            network: As for `note`.
            caller: The verifier and the agent. A new agent is named only for a source that is counted apart.
            code: Any but `valid` and `not_found`.
            now: The time.
        """
        if not self._from <= now < self._to:
            self._set_time(now)
        secret, byte = key_id + digest, CODE_BYTE[code]
        number = self._known_caller(*caller)
        place = b"" if number is None else secret + source_bytes(network, number) + byte
        found = self._sums.get(place)
        if found is None:
            self._add_refusal(secret, network, caller, byte)
        else:
            self._sums[place] = (found | LAST) + self._use

    def take(self, most: int = MOST_AT_ONCE) -> UsageRecords:
        """Remove and give at most *most* records, of one hour; none when the book is empty."""
        if not self._taken:
            self._exchange()
        return self._take(most)

    def begin_round(self, now: float) -> None:
        """
        Begin a round if one is due and the last one is over: all records that there are become due.

        The time until the next round grows with their number, from 5 to 60 seconds: so a few keys are written at once,
        and many keys once a minute.
        """
        if self._taken or 0 <= now - self._began < self._round_seconds:
            return
        self._exchange()
        seconds = self.due / RECORDS_PER_SECOND
        self._began, self._round_seconds = now, min(max(seconds, SHORTEST_ROUND_SECONDS), LONGEST_ROUND_SECONDS)

    def order_some(self) -> bool:
        """
        Order some of the due records by their keys, in a fraction of a millisecond; give False when all are.

        It is for the database: keys in the order of their ids have their rows beside each other.
        """
        return any(noted.order_some() for noted in self._taken)

    def take_due(self) -> UsageRecords:
        """Remove and give at most `MOST_AT_ONCE` records of this round, of one hour; none when it is over."""
        return self._take(MOST_AT_ONCE)

    def take_all(self) -> Iterator[UsageRecords]:
        """Remove and give all records, in batches of at most `MOST_AT_ONCE`."""
        while records := self.take():
            yield records

    @property
    def due(self) -> int:
        """The number of records of this round that are left."""
        return sum(len(noted.sums) for noted in self._taken)

    def _add(self, key_id: bytes, digest: bytes, network: int, caller: int) -> None:
        """Add one use at the time of `_set_time` from a source that has no sum yet."""
        secret = key_id + digest
        sources = self._sources.get(secret, 0)
        if sources < _share(self._used(), self._most_sources):
            self._sources[secret] = sources + 1
        else:
            network, caller = 0, self._without_agent(caller)
        place = secret + source_bytes(network, caller)
        found = self._sums.get(place)
        if found is None:
            if self._most_records is not None and self._used() >= self._most_records:
                self.lost += 1
                return
            found = (self._use - 1) << FIRST_SHIFT
        self._sums[place] = (found | LAST) + self._use

    def _add_refusal(self, secret: bytes, network: int, caller: CallerName, byte: bytes) -> None:
        """Add one refusal at the time of `_set_time` from a source that has no sum yet."""
        # One number for the refusals of all codes, beside that of the uses.
        refused = secret + _REFUSED
        sources = self._sources.get(refused, 0)
        if sources < _share(self._refusals, self._most_sources // REFUSED_PART):
            self._sources[refused] = sources + 1
            number = self._refused_caller(*caller)
        else:
            network, number = 0, self.caller_of(caller[0], None)
        place = secret + source_bytes(network, number) + byte
        found = self._sums.get(place)
        if found is None:
            if self._most_records is not None and self._refusals >= self._most_records // REFUSED_PART:
                self.lost += 1
                return
            self._refusals += 1
            found = (self._use - 1) << FIRST_SHIFT
        self._sums[place] = (found | LAST) + self._use

    def _used(self) -> int:
        """Count the sums of uses since the last exchange."""
        return len(self._sums) + sum(len(noted.sums) for noted in self._over) - self._refusals

    def _known_caller(self, verifier: str, agent: str | None) -> int | None:
        known = self._number_by_verifier.get(verifier) if agent is None else None
        return self._number_by_caller.get((verifier, agent)) if known is None else known

    def _refused_caller(self, verifier: str, agent: str | None) -> int:
        """Give the number of the caller of a refusal, whose agent takes no place of those of uses."""
        known = self._known_caller(verifier, agent)
        if known is not None:
            return known
        if agent is None or self._refused_agents >= _MOST_AGENTS // REFUSED_PART:
            return self.caller_of(verifier, None)
        self._refused_agents += 1
        return self._name_caller(verifier, agent)

    def _new_caller(self, verifier: str, agent: str | None) -> int:
        known = self._number_by_verifier.get(verifier)
        if known is not None and agent is None:
            return known
        if agent is not None and len(self._callers) - self._refused_agents >= _MOST_AGENTS:
            return self.caller_of(verifier, None)
        return self._name_caller(verifier, agent)

    def _name_caller(self, verifier: str, agent: str | None) -> int:
        if len(self._callers) >= FIRST_OF_ROUND:
            return 0
        number = self._number_by_caller[verifier, agent] = FIRST_OF_ROUND + len(self._callers)
        self._callers.append((verifier, agent))
        return number

    def _without_agent(self, caller: int) -> int:
        return caller if caller < FIRST_OF_ROUND else self.caller_of(self._callers[caller - FIRST_OF_ROUND][0], None)

    def _set_time(self, now: float) -> None:
        hour = hour_of(now)
        if hour != self._hour:
            self._end_hour()
            self._hour = hour
        self._use = _ticks(now, hour) + 1
        self._from, self._to = now, min(now + 1 / TICKS_PER_SECOND, hour_end(now))

    def _end_hour(self) -> None:
        if self._sums:
            self._over.append(Noted(self._hour, self._sums, self._verifiers, self._callers))
        self._sums, self._sources = {}, {}

    def _exchange(self) -> None:
        self._end_hour()
        self._taken, self._over = self._over, []
        self._callers, self._number_by_caller = [], {}
        self._refusals = self._refused_agents = 0

    def _take(self, most: int) -> UsageRecords:
        if not self._taken:
            return _NO_RECORDS
        noted = self._taken[0]
        sums = noted.take(most)
        if not noted.sums:
            del self._taken[0]
        return UsageRecords(noted, sums)


def _share(used: int, most: int) -> int:
    """Give the number of sources that a key may have apart, when so many of all are used."""
    if used >= most:
        return 0
    return MOST_SOURCES_OF_A_KEY if 2 * used < most else FEW_SOURCES_OF_A_KEY


def _ticks(now: float, hour: int) -> int:
    return int((now - hour * HOUR_SECONDS) * TICKS_PER_SECOND)


def hour_of(now: float) -> int:
    """Count the hours from the epoch until *now*."""
    return int(now // HOUR_SECONDS)


def hour_end(now: float) -> float:
    """Give the end of the hour of *now*."""
    return (now // HOUR_SECONDS + 1) * HOUR_SECONDS


def agent_family(user_agent: str | None) -> str | None:
    """
    Give the family of a user agent: the name of its first product, such as `python-httpx` of `python-httpx/0.28.1`.

    Args:
        user_agent: Anything at all, from anyone.

    Returns:
        At most 32 letters, digits, dots, underscores, pluses and hyphens; None where there is no such name.
    """
    # A stranger makes a user agent as long as a head may be, and thousands are remembered.
    return None if user_agent is None else _family(user_agent[:LONGEST_AGENT])


@lru_cache(maxsize=4096)
def _family(user_agent: str) -> str | None:
    match = _FAMILY.match(user_agent.strip())
    return None if match is None else match[0]
