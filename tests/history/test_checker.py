"""The checker of histories: it sees every kind of broken promise, and none where there is none."""

import random

import pytest

from tests.history.checker import (
    DELAYED_BEFORE_SECONDS,
    PATIENCE_SECONDS,
    Change,
    Deed,
    Delay,
    History,
    Outcome,
    Receipt,
    Verify,
    Violation,
    Window,
    summary,
    violations,
)

ALL = frozenset({"a", "b"})
CREATED = Change(10.0, 10.1, "a", 1, Deed.CREATE)
REVOKED = Change(20.0, 20.1, "a", 1, Deed.REVOKE)
DELETED = Change(30.0, 30.1, "a", 1, Deed.DELETE)
LIFE = (CREATED, REVOKED, DELETED)


def verify(
    start: float, outcome: Outcome, *, verifier: str = "b", stale: bool = False, seconds: float = 0.01
) -> Verify:
    return Verify(start, start + seconds, verifier, 1, outcome, stale)


def found(*verifies: Verify, changes: tuple[Change, ...] = LIFE, **more: object) -> list[Violation]:
    return violations(History(verifies=verifies, changes=changes, **more))  # type: ignore[arg-type]


def rules(*verifies: Verify, changes: tuple[Change, ...] = LIFE, **more: object) -> list[str]:
    return [violation.rule for violation in found(*verifies, changes=changes, **more)]


def test_nothing_to_object_to() -> None:
    """A history in which every promise is kept has no violation, whatever the order of its records."""
    verifies = [
        verify(10.1, Outcome.VALID),
        verify(19.995, Outcome.VALID),
        # The revocation has begun, and is not acknowledged yet.
        verify(20.05, Outcome.VALID, seconds=0.001),
        verify(21.1, Outcome.VALID),
        verify(20.0, Outcome.REVOKED, seconds=2.0),
        verify(21.2, Outcome.REVOKED),
        verify(31.09, Outcome.REVOKED),
        verify(31.2, Outcome.NOT_FOUND),
    ]
    for _ in range(20):
        random.shuffle(verifies)
        assert found(*verifies) == []


def test_a_stale_accept() -> None:
    """A key that is accepted later than the bound after its revocation was acknowledged is seen, and how late."""
    (violation,) = found(verify(21.1001, Outcome.VALID))
    assert violation.rule == "accepted after its end"
    assert violation.record == verify(21.1001, Outcome.VALID)
    assert rules(verify(31.2, Outcome.VALID), changes=(CREATED, DELETED)) == ["accepted after its end"]


def test_the_bound_counts_from_the_start_of_a_verification() -> None:
    """A verification that began in time may end as late as it likes."""
    assert rules(verify(21.1, Outcome.VALID, seconds=10.0)) == []


def test_a_revocation_that_is_undone() -> None:
    """A key that was refused to anybody is not accepted again, though nobody acknowledged the revocation."""
    unheard = REVOKED._replace(acknowledged=False)
    windows = (Window(19.0, 21.0, ALL),)
    refused = verify(20.5, Outcome.REVOKED)
    assert rules(refused, verify(21.5, Outcome.VALID), changes=(CREATED, unheard), windows=windows) == []
    assert rules(refused, verify(21.52, Outcome.VALID), changes=(CREATED, unheard), windows=windows) == [
        "accepted after its end"
    ]


def test_a_deleted_key_that_is_still_known() -> None:
    """A deleted key is not found, rather than revoked, once the bound is over."""
    assert rules(verify(31.2, Outcome.REVOKED)) == ["known after its deletion"]


def test_a_lost_creation() -> None:
    """A key that is not found, though its creation was acknowledged and nobody has begun to delete it, is seen."""
    assert rules(verify(10.2, Outcome.NOT_FOUND)) == ["lost"]
    assert rules(verify(22.0, Outcome.NOT_FOUND)) == ["lost"]
    assert rules(verify(29.995, Outcome.NOT_FOUND)) == []


def test_a_refusal_out_of_nothing() -> None:
    """A key that is refused as revoked before anybody began to revoke it is seen."""
    assert rules(verify(15.0, Outcome.REVOKED)) == ["refused as revoked before any revocation"]


@pytest.mark.parametrize("outcome", [Outcome.VALID, Outcome.REVOKED])
def test_stale_verdicts_outside_of_an_outage(outcome: Outcome) -> None:
    """A stale verdict counts against whoever could have asked somebody."""
    trouble = Window(20.0, 25.0, ALL)
    outage = Window(20.0, 25.0, frozenset({"b"}), away=True)
    given = verify(21.0, outcome, stale=True)
    seconds = {"a": 30.0, "b": 30.0}
    assert rules(given, outage_seconds=seconds) == ["stale though somebody could be asked"]
    assert rules(given, outage_seconds=seconds, windows=(trouble,)) == ["stale though somebody could be asked"]
    assert rules(given, outage_seconds=seconds, windows=(outage,)) == []
    assert rules(given._replace(verifier="a"), outage_seconds=seconds, windows=(outage,)) == [
        "stale though somebody could be asked"
    ]


def test_stale_accepts_beyond_the_outage_time() -> None:
    """During an outage a revoked key may be accepted for the verifier's outage time and the bound, and no longer."""
    outage = (Window(20.0, 60.0, ALL, away=True),)
    seconds = {"b": 5.0}
    assert rules(verify(26.1, Outcome.VALID, stale=True), windows=outage, outage_seconds=seconds) == []
    assert rules(verify(26.11, Outcome.VALID, stale=True), windows=outage, outage_seconds=seconds) == [
        "accepted beyond the outage time"
    ]
    # A mark is no excuse for being late without an outage, nor an outage for a missing mark.
    assert "accepted after its end" in rules(verify(22.0, Outcome.VALID), windows=outage, outage_seconds=seconds)


def test_a_receipt_that_says_too_little() -> None:
    """Nobody accepts a key after a receipt said that all confirmed, nor after the moment that it names."""
    outage = {"windows": (Window(20.0, 60.0, ALL, away=True),), "outage_seconds": {"b": 30.0}}
    accepted = verify(25.0, Outcome.VALID, stale=True)
    for may_accept_until, read_at, expected in [
        (None, 24.0, ["believed for longer than its receipt says"]),
        (None, 25.5, []),
        (24.9, 21.0, ["believed for longer than its receipt says"]),
        (25.1, 21.0, []),
    ]:
        receipt = Receipt(read_at - 0.1, read_at, 1, may_accept_until)
        assert rules(accepted, receipts=(receipt,), **outage) == expected


def test_errors_without_a_cause() -> None:
    """An error counts unless something was done to whoever met it while it was being met."""
    failed = verify(15.0, Outcome.UNAVAILABLE, seconds=2.0)
    assert rules(failed) == ["unavailable without a cause"]
    assert rules(failed, windows=(Window(10.0, 14.9, ALL), Window(17.1, 18.0, ALL))) == ["unavailable without a cause"]
    assert rules(failed, windows=(Window(16.0, 20.0, frozenset({"a"})),)) == ["unavailable without a cause"]
    for window in (Window(10.0, 15.5, ALL), Window(16.9, 20.0, ALL), Window(15.5, 16.0, ALL), Window(1.0, 99.0, ALL)):
        assert rules(failed, windows=(window,)) == []


def test_wrong_answers() -> None:
    """What is no answer to a key that exists counts at any time."""
    everything = (Window(0.0, 99.0, ALL, away=True),)
    assert rules(verify(15.0, Outcome.WRONG), windows=everything) == ["wrong answer"]


def test_changes_that_are_not_acknowledged_without_a_cause() -> None:
    """A change that fails counts as an error does."""
    failed = REVOKED._replace(acknowledged=False)
    assert rules(changes=(CREATED, failed)) == ["not acknowledged without a cause"]
    assert rules(changes=(CREATED, failed), windows=(Window(20.05, 21.0, ALL),)) == []


LONG = 1.001 * PATIENCE_SECONDS
"""More seconds than an error is judged with that a client with the least patience met."""


@pytest.mark.parametrize(
    ("delays", "judged"),
    [
        ((Delay(15.0, 15.5, ALL, LONG),), False),
        ((Delay(15.0, 15.5, ALL, 0.999 * PATIENCE_SECONDS),), True),
        ((Delay(15.0, 15.5, frozenset({"a"}), LONG),), True),
        # Of several processes, or at several times: what adds up.
        ((Delay(15.0, 16.0, ALL, LONG / 2), Delay(15.0, 16.0, frozenset({"b"}), LONG / 2)), False),
        ((Delay(14.5, 15.0, ALL, LONG / 2), Delay(17.0, 17.5, ALL, LONG / 2)), False),
        ((Delay(14.5, 15.0, ALL, LONG / 2), Delay(17.1, 17.5, ALL, LONG / 2)), True),
        ((Delay(10.0, 14.9 - DELAYED_BEFORE_SECONDS, ALL, LONG), Delay(17.1, 30.0, ALL, LONG)), True),
        ((Delay(10.0, 15.1 - DELAYED_BEFORE_SECONDS, ALL, LONG),), False),
    ],
)
def test_errors_that_delays_explain(delays: tuple[Delay, ...], judged: bool) -> None:
    """An error is left out, and counted, when whoever met it waited for a core for as long as it had patience."""
    failed = verify(15.0, Outcome.UNAVAILABLE, seconds=2.0)
    assert rules(failed, delays=delays) == ["unavailable without a cause"] * judged
    unheard = Change(15.0, 17.0, "b", 2, Deed.CREATE, acknowledged=False)
    assert rules(changes=(unheard,), delays=delays) == ["not acknowledged without a cause"] * judged
    history = History(verifies=[failed], changes=[unheard], delays=delays)
    assert summary(history).not_judged == (0 if judged else 2)


def test_more_patience_takes_more_delays() -> None:
    """An error after a long time is judged unless delays take all of that time."""
    failed = verify(15.0, Outcome.UNAVAILABLE, seconds=15.0)
    assert rules(failed, delays=(Delay(15.0, 30.0, ALL, 14.9),)) == ["unavailable without a cause"]
    assert rules(failed, delays=(Delay(15.0, 30.0, ALL, 15.1),)) == []


def test_delays_are_added_up_among_many() -> None:
    """Looking delays up gives what adding up each of them gives."""
    chance = random.Random(8)
    for _ in range(300):
        delays = []
        for _ in range(chance.randint(1, 8)):
            start = chance.uniform(0, 20)
            end = start + chance.expovariate(1)
            delays.append(Delay(start, end, frozenset(chance.sample("ab", 1)), chance.expovariate(1)))
        failed = verify(chance.uniform(0, 20), Outcome.UNAVAILABLE, seconds=chance.expovariate(1))
        begin = failed.start - DELAYED_BEFORE_SECONDS
        involved = [d for d in delays if failed.verifier in d.names and d.start <= failed.end and begin <= d.end]
        long = max(PATIENCE_SECONDS, failed.end - failed.start)
        explained = sum(delay.seconds for delay in involved) > long
        assert (rules(failed, delays=tuple(delays)) == []) is explained


def test_delays_explain_nothing_else() -> None:
    """Whatever is not an error of availability is judged as it is without delays."""
    delays = (Delay(0.0, 99.0, ALL, 99.0),)
    for record, expected in [
        (verify(21.2, Outcome.VALID), "accepted after its end"),
        (verify(31.2, Outcome.REVOKED), "known after its deletion"),
        (verify(10.2, Outcome.NOT_FOUND), "lost"),
        (verify(15.0, Outcome.REVOKED), "refused as revoked before any revocation"),
        (verify(15.0, Outcome.VALID, stale=True), "stale though somebody could be asked"),
        (verify(15.0, Outcome.WRONG), "wrong answer"),
    ]:
        assert rules(record, delays=delays) == rules(record) == [expected]
    outage = {"windows": (Window(20.0, 60.0, ALL, away=True),), "outage_seconds": {"b": 5.0}}
    assert rules(verify(26.2, Outcome.VALID, stale=True), delays=delays, **outage) == [
        "accepted beyond the outage time"
    ]
    receipts = (Receipt(20.2, 20.3, 1, None),)
    assert rules(verify(20.5, Outcome.VALID), delays=delays, receipts=receipts) == [
        "believed for longer than its receipt says"
    ]


def test_windows_are_found_among_many() -> None:
    """Looking windows up gives what comparing with each of them gives."""
    chance = random.Random(7)
    for _ in range(300):
        windows = []
        for _ in range(chance.randint(1, 8)):
            start = chance.uniform(0, 50)
            windows.append(Window(start, start + chance.expovariate(0.2), frozenset(chance.sample("ab", 1))))
        failed = verify(chance.uniform(0, 60), Outcome.UNAVAILABLE, seconds=chance.expovariate(1))
        excused = any(
            failed.verifier in window.names and window.start <= failed.end and failed.start <= window.end
            for window in windows
        )
        assert (rules(failed, windows=tuple(windows)) == []) is excused


def test_summary() -> None:
    """A summary tells how often each verifier was put to the test, so that an empty proof shows."""
    told = summary(
        History(
            verifies=[
                verify(10.2, Outcome.VALID, verifier="a"),
                verify(21.05, Outcome.VALID, verifier="a"),
                verify(21.2, Outcome.REVOKED, verifier="a"),
                verify(21.3, Outcome.VALID, stale=True),
                verify(21.4, Outcome.UNAVAILABLE),
            ],
            changes=(*LIFE, DELETED._replace(acknowledged=False)),
            receipts=(Receipt(20.2, 20.3, 1, None),),
            delays=(Delay(21.35, 21.5, frozenset({"b"}), LONG),),
        )
    )
    assert told.outcomes == {"valid": 2, "revoked": 1, "valid (stale)": 1, "unavailable": 1}
    assert told.stale_accepts_after_end == 1
    assert told.soon_after_end == {"a": 1, "b": 1}
    assert told.soon_after_creation == {"a": 1, "b": 0}
    assert told.changes == {"create": 1, "revoke": 1, "delete": 1, "delete (not acknowledged)": 1}
    assert told.receipts == 1
    assert (told.not_judged, told.delayed) == (1, 1)
