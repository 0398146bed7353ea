"""
Checks a history of verifications and changes against what Keywright promises of revocation. Pure: records in,
violations out.

All times are seconds on one monotonic clock of one machine, read by the clients: `start` before a request is sent,
`end` after its answer is there. Nothing is believed of what happened in between.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import accumulate
from math import inf
from typing import NamedTuple

from keywright.keys.cache import BOUND_SECONDS


class Outcome(IntEnum):
    """
    How a verification ended. `UNAVAILABLE` is a 503, a connection that broke, or no answer in time; `WRONG` is whatever
    is never an answer to a key that exists: another verdict, a 401, a 500, an error of the client's own.
    """

    VALID = 0
    REVOKED = 1
    NOT_FOUND = 2
    UNAVAILABLE = 3
    WRONG = 4


class Deed(IntEnum):
    """What was done to a key."""

    CREATE = 0
    REVOKE = 1
    DELETE = 2


class Verify(NamedTuple):
    """A verification: by whom, of which key; `stale` where the verdict came with that mark."""

    start: float
    end: float
    verifier: str
    key: int
    outcome: Outcome
    stale: bool = False


class Change(NamedTuple):
    """A change of a key, through which node; one that is not acknowledged may have been made or not."""

    start: float
    end: float
    node: str
    key: int
    deed: Deed
    acknowledged: bool = True


class Receipt(NamedTuple):
    """The receipt of a revocation or deletion; `may_accept_until` is None where it says that everybody confirmed."""

    start: float
    end: float
    key: int
    may_accept_until: float | None


class Window(NamedTuple):
    """
    A time in which something was done to the system, the time to recover included.

    Those named may meet errors. With `away` they may give stale verdicts, too: nobody could be asked by them.
    """

    start: float
    end: float
    names: frozenset[str]
    away: bool = False
    what: str = ""


class Delay(NamedTuple):
    """
    A time of which somebody's process was ready to run for some *seconds*, and did not: other processes had all cores.

    `names` are those whose requests pass the process.
    """

    start: float
    end: float
    names: frozenset[str]
    seconds: float


PATIENCE_SECONDS = 2.0
"""How long the least patient clients of a history wait; who waited longer than that had more patience."""
MOST_DELAYED = 1.0
"""
The share of the patience that delays take at most where an error is judged: what adds up to all of it may be the only
cause. It is added up over all processes that a request passes, because it passes one after the other.
"""
DELAYED_BEFORE_SECONDS = 1.0
"""How long before a request a delay may be its cause: for so long what is held counts after the last reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """
    All that was recorded.

    `outage_seconds` says for each verifier how long it may serve what it holds; `share_of_others` which share of the
    time of all cores was taken by processes that do not belong to the system.
    """

    verifies: Sequence[Verify]
    changes: Sequence[Change]
    receipts: Sequence[Receipt] = ()
    windows: Sequence[Window] = ()
    outage_seconds: Mapping[str, float] = field(default_factory=dict)
    delays: Sequence[Delay] = ()
    share_of_others: float = 0.0


class Violation(NamedTuple):
    """A broken promise, and the record that shows it."""

    rule: str
    record: Verify | Change
    detail: str


@dataclass(slots=True)
class _Life:
    """What is known of one key: when its end may have begun, and since when everybody must know of it."""

    revoke_began: float = inf
    delete_began: float = inf
    ended_by: float = inf
    deleted_by: float = inf


def violations(history: History) -> list[Violation]:
    """Give every broken promise, in the order of the rules."""
    lives = _lives(history)
    troubled = _Windows(history.windows)
    away = _Windows([window for window in history.windows if window.away])
    return [
        *_late_accepts(history, lives),
        *_stale(history, lives, away),
        *_unexplained_refusals(history.verifies, lives),
        *_believed_for_too_long(history),
        *_wrong_answers(history.verifies),
        *(error for error, judged in _errors(history, troubled) if judged),
    ]


def _lives(history: History) -> dict[int, _Life]:
    lives: dict[int, _Life] = defaultdict(_Life)
    for change in history.changes:
        life = lives[change.key]
        if change.deed is Deed.REVOKE:
            life.revoke_began = min(life.revoke_began, change.start)
        elif change.deed is Deed.DELETE:
            life.delete_began = min(life.delete_began, change.start)
        if change.acknowledged and change.deed is not Deed.CREATE:
            life.ended_by = min(life.ended_by, change.end)
        if change.acknowledged and change.deed is Deed.DELETE:
            life.deleted_by = min(life.deleted_by, change.end)
    for verify in history.verifies:
        # Who was refused a key was told of its end, whether or not whoever ended it heard of that.
        if verify.outcome in (Outcome.REVOKED, Outcome.NOT_FOUND) and not verify.stale:
            life = lives[verify.key]
            life.ended_by = min(life.ended_by, verify.end)
            if verify.outcome is Outcome.NOT_FOUND:
                life.deleted_by = min(life.deleted_by, verify.end)
    return lives


def _late_accepts(history: History, lives: Mapping[int, _Life]) -> Iterator[Violation]:
    """A key whose end was told is nowhere accepted, and a deleted one nowhere known, once the bound is over."""
    for verify in history.verifies:
        if verify.stale:
            continue
        late = verify.start - lives[verify.key].ended_by - BOUND_SECONDS
        if verify.outcome is Outcome.VALID and late > 0:
            yield Violation("accepted after its end", verify, f"{late:.3f} s beyond the bound")
        late = verify.start - lives[verify.key].deleted_by - BOUND_SECONDS
        if verify.outcome is Outcome.REVOKED and late > 0:
            yield Violation("known after its deletion", verify, f"{late:.3f} s beyond the bound")


def _stale(history: History, lives: Mapping[int, _Life], away: "_Windows") -> Iterator[Violation]:
    """Stale verdicts are given only where nobody can be asked, and accept a key for the outage time at most."""
    for verify in history.verifies:
        if not verify.stale:
            continue
        if not away.overlap(verify.verifier, verify.start, verify.end):
            yield Violation("stale though somebody could be asked", verify, "")
        longest = BOUND_SECONDS + history.outage_seconds.get(verify.verifier, 0.0)
        late = verify.start - lives[verify.key].ended_by - longest
        if verify.outcome is Outcome.VALID and late > 0:
            yield Violation("accepted beyond the outage time", verify, f"{late:.3f} s beyond it")


def _unexplained_refusals(verifies: Iterable[Verify], lives: Mapping[int, _Life]) -> Iterator[Violation]:
    """A key that was created is refused only once somebody has begun to end it, and for that reason."""
    for verify in verifies:
        life = lives[verify.key]
        if verify.outcome is Outcome.REVOKED and verify.end < life.revoke_began:
            yield Violation("refused as revoked before any revocation", verify, "")
        if verify.outcome is Outcome.NOT_FOUND and verify.end < life.delete_began:
            yield Violation("lost", verify, "")


def _believed_for_too_long(history: History) -> Iterator[Violation]:
    """Nobody accepts a key, in whatever way, after the moment until which its receipt says it may be believed."""
    may_accept_until: dict[int, float] = {}
    for receipt in history.receipts:
        # Who was told that everybody confirmed relies on it from then on, not before.
        until = receipt.end if receipt.may_accept_until is None else receipt.may_accept_until
        may_accept_until[receipt.key] = min(until, may_accept_until.get(receipt.key, inf))
    for verify in history.verifies:
        late = verify.start - may_accept_until.get(verify.key, inf)
        if verify.outcome is Outcome.VALID and late > 0:
            yield Violation("believed for longer than its receipt says", verify, f"by {late:.3f} s")


def _wrong_answers(verifies: Iterable[Verify]) -> Iterator[Violation]:
    """Some answers are wrong at any time."""
    for verify in verifies:
        if verify.outcome is Outcome.WRONG:
            yield Violation("wrong answer", verify, "")


def _errors(history: History, troubled: "_Windows") -> Iterator[tuple[Violation, bool]]:
    """Nothing fails while nothing is done to the system; judged unless the machine was busy with something else."""
    delays = _Delays(history.delays)
    for verify in history.verifies:
        if verify.outcome is Outcome.UNAVAILABLE and not troubled.overlap(verify.verifier, verify.start, verify.end):
            judged = not delays.explain(verify.verifier, verify.start, verify.end)
            yield Violation("unavailable without a cause", verify, ""), judged
    for change in history.changes:
        if not change.acknowledged and not troubled.overlap(change.node, change.start, change.end):
            judged = not delays.explain(change.node, change.start, change.end)
            yield Violation("not acknowledged without a cause", change, ""), judged


class _Delays:
    """Looks up whether delays may be the cause of an error."""

    def __init__(self, delays: Iterable[Delay]) -> None:
        by_name: dict[str, list[Delay]] = defaultdict(list)
        for delay in delays:
            for name in delay.names:
                by_name[name].append(delay)
        self._begun = {name: _sums((delay.start, delay.seconds) for delay in own) for name, own in by_name.items()}
        self._ended = {name: _sums((delay.end, delay.seconds) for delay in own) for name, own in by_name.items()}

    def explain(self, name: str, start: float, end: float) -> bool:
        return self._seconds(name, start, end) > MOST_DELAYED * max(PATIENCE_SECONDS, end - start)

    def _seconds(self, name: str, start: float, end: float) -> float:
        if name not in self._begun:
            return 0.0
        # All that had begun by the end, without those that had ended before the start.
        moments, sums = self._begun[name]
        begun = sums[bisect_right(moments, end)]
        moments, sums = self._ended[name]
        return begun - sums[bisect_left(moments, start - DELAYED_BEFORE_SECONDS)]


def _sums(delays: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Give the moments in order, and for each the sum of what came before it; the sum of all at the end."""
    ordered = sorted(delays)
    return [moment for moment, _ in ordered], list(accumulate((seconds for _, seconds in ordered), initial=0.0))


class _Windows:
    """Looks up whether a moment falls into a window of somebody's."""

    def __init__(self, windows: Iterable[Window]) -> None:
        by_name: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for window in windows:
            for name in window.names:
                by_name[name].append((window.start, window.end))
        # By their ends, and for each how early it or a later one starts: so one look tells.
        self._windows = {
            name: _earliest_starts(sorted(spans, key=lambda span: span[1])) for name, spans in by_name.items()
        }

    def overlap(self, name: str, start: float, end: float) -> bool:
        spans = self._windows.get(name)
        if spans is None:
            return False
        ends, starts = spans
        place = bisect_left(ends, start)
        return place < len(ends) and starts[place] <= end


def _earliest_starts(spans: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    starts: list[float] = []
    for start, _ in reversed(spans):
        starts.append(min(start, starts[-1] if starts else inf))
    return [end for _, end in spans], starts[::-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """
    What a history holds, so that a test can tell an empty proof from a proof.

    `not_judged` are the errors that were left out because of delays, `delayed` the verifications, whatever their
    outcome, of which an error would have been.
    """

    outcomes: Mapping[str, int]
    stale_accepts_after_end: int
    soon_after_end: Mapping[str, int]
    soon_after_creation: Mapping[str, int]
    changes: Mapping[str, int]
    receipts: int
    not_judged: int
    delayed: int


def summary(history: History, *, soon: float = 5.0) -> Summary:
    """
    Count what the rules had to work on.

    Args:
        soon: How many seconds after the bound, and after a creation, count as soon.
    """
    lives = _lives(history)
    created = {change.key: change.end for change in history.changes if change.deed is Deed.CREATE}
    outcomes: dict[str, int] = defaultdict(int)
    after_end: dict[str, int] = defaultdict(int)
    after_creation: dict[str, int] = defaultdict(int)
    stale_accepts = 0
    for verify in history.verifies:
        outcomes[verify.outcome.name.lower() + (" (stale)" if verify.stale else "")] += 1
        late = verify.start - lives[verify.key].ended_by - BOUND_SECONDS
        after_end[verify.verifier] += 0 < late < soon and verify.outcome is not Outcome.UNAVAILABLE
        after_creation[verify.verifier] += (
            verify.outcome is Outcome.VALID and 0 <= verify.start - created.get(verify.key, inf) < soon
        )
        stale_accepts += late > 0 and verify.stale and verify.outcome is Outcome.VALID
    delays = _Delays(history.delays)
    changes: dict[str, int] = defaultdict(int)
    for change in history.changes:
        changes[change.deed.name.lower() + ("" if change.acknowledged else " (not acknowledged)")] += 1
    return Summary(
        outcomes=dict(sorted(outcomes.items())),
        stale_accepts_after_end=stale_accepts,
        soon_after_end=dict(after_end),
        soon_after_creation=dict(after_creation),
        changes=dict(sorted(changes.items())),
        receipts=len(history.receipts),
        not_judged=sum(not judged for _, judged in _errors(history, _Windows(history.windows))),
        delayed=sum(delays.explain(verify.verifier, verify.start, verify.end) for verify in history.verifies),
    )
