"""Wiring: the parts of verification, and the tasks that run beside requests."""

import os
import socket
import uuid
from dataclasses import dataclass

from keywright import __version__, rules, shared_wiring
from keywright.api.feed_stream import FeedParts
from keywright.api.verify.callers import Callers
from keywright.config import Settings
from keywright.keys.cache import WEIGHT_BYTES, KeyCache
from keywright.keys.usage import UsageBook
from keywright.plugs import Plugs, few_turns, turns_of
from keywright.service.background_tasks import KeyTasks, ProcessTasks, ProcessWork
from keywright.service.change_follower import ChangeFollower
from keywright.service.checking.verification import Checker
from keywright.service.checking.warm_up import WarmUp
from keywright.service.figures.tasks import FiguresTasks
from keywright.service.figures.verdict_counts import VerdictTally
from keywright.service.operator.bulk import BulkRevocations, OperatorTasks
from keywright.service.turns import Turns
from keywright.service.verifier_sessions import Session
from keywright.service.verifiers import VerifierCache, Verifiers


@dataclass(frozen=True, slots=True)
class CheckingParts:
    """The parts of verification: the checkers, the change feed, and the background tasks."""

    checker: Checker
    callers: Callers
    feed: FeedParts
    background: ProcessWork


def checking_parts(settings: Settings, plugs: Plugs) -> CheckingParts:
    """Build the parts; nothing of them runs yet."""
    usage, tally = UsageBook(), VerdictTally()
    cache, verifier_cache = shared_wiring.key_cache(settings), VerifierCache(10_000)
    follower = ChangeFollower(
        plugs.store, [cache, verifier_cache], monotonic=plugs.monotonic, read_every=settings.poll_seconds
    )
    verifiers = Verifiers(
        store=plugs.store,
        cache=verifier_cache,
        clock=plugs.clock,
        monotonic=plugs.monotonic,
        entropy=plugs.entropy,
        new_id=plugs.new_id,
        brand=settings.key_brand,
        outage_seconds=settings.outage_seconds,
        turns=few_turns(plugs),
    )
    callers = Callers(verifiers, plugs.authenticator, brand=settings.key_brand)
    counters = shared_wiring.metric_counters()
    checker = shared_wiring.checker(
        settings,
        plugs.store,
        cache,
        usage,
        plugs.limiter,
        counters={code: tally.counter(code, count) for code, count in counters.items()},
        now=plugs.now,
        monotonic=plugs.monotonic,
        turns=turns_of(plugs, "look-ups"),
    )
    return CheckingParts(
        checker,
        callers,
        FeedParts(store=plugs.store, follower=follower, clock=plugs.clock, monotonic=plugs.monotonic),
        _work(settings, plugs, follower, usage, tally, cache),
    )


def bulk_revocations(plugs: Plugs, turns: Turns) -> BulkRevocations:
    """Build the use cases of revocations of many keys."""
    return BulkRevocations(store=plugs.store, clock=plugs.clock, new_id=plugs.new_id, turns=turns)


def _work(
    settings: Settings,
    plugs: Plugs,
    follower: ChangeFollower,
    usage: UsageBook,
    tally: VerdictTally,
    cache: KeyCache,
) -> ProcessWork:
    return ProcessWork(
        follower,
        _process_tasks(settings, plugs, follower, usage),
        _key_tasks(settings, plugs),
        OperatorTasks(revocations=bulk_revocations(plugs, few_turns(plugs))),
        FiguresTasks(store=plugs.store, tally=tally, worker=uuid.uuid4(), clock=plugs.clock, epoch_seconds=plugs.now),
        _warm_up(settings, plugs, follower, cache),
    )


def _process_tasks(settings: Settings, plugs: Plugs, follower: ChangeFollower, usage: UsageBook) -> ProcessTasks:
    session = Session(
        id=uuid.uuid4(),
        verifier_id=None,
        name=f"{socket.gethostname()}:{os.getpid()}",
        outage_seconds=settings.outage_seconds,
        version=__version__,
    )
    return ProcessTasks(
        store=plugs.store,
        follower=follower,
        usage=usage,
        session=session,
        epoch_seconds=plugs.now,
        monotonic=plugs.monotonic,
    )


def _key_tasks(settings: Settings, plugs: Plugs) -> KeyTasks:
    return KeyTasks(store=plugs.store, clock=plugs.clock, new_id=plugs.new_id, retention=rules.retention(settings))


def _warm_up(settings: Settings, plugs: Plugs, follower: ChangeFollower, cache: KeyCache) -> WarmUp:
    half = settings.cache_mib * 1024 * 1024 // WEIGHT_BYTES // 2
    return WarmUp(plugs.store, cache, begun=follower.begun, most=settings.warm_keys, room=half)
