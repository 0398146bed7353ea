"""
All decisions of an in-process verifier: from a presented text to a verdict, or to the question for the service.

No I/O and no tasks: `session` carries out what is decided here, for threads and for asyncio alike. Every method may be
called from any thread.

What is held counts only for the bound after the time to which the feed was followed. So a process that was stopped, a
service that is slow and a connection that is cut need no special case: trust lapses by itself, and then every key is
asked for. Only when the service cannot be asked either does what is held count for longer, and such a verdict says so.
"""

from collections.abc import Collection, Iterable
from math import inf
from threading import Lock
from typing import NamedTuple
from uuid import uuid4

from keywright.client import clocks
from keywright.client.clocks import Clock
from keywright.client.service_answers import Answer
from keywright.client.uses import LONGEST_AGENT, NEVER_REPEATED, CachedVerdict, CachedVerdicts, RequestKey
from keywright.client.verdicts import NOT_FOUND, KeyInfo, Verdict
from keywright.keys.digest import digest, digest_of
from keywright.keys.format import MAX_LENGTH, is_private_key
from keywright.keys.known import BOUND_SECONDS, KnownKeys, LookUp
from keywright.keys.spending import UNLIMITED, InMemoryRateLimiter, LimitState
from keywright.keys.usage import UsageRecord
from keywright.keys.verdict import ANY_USE, Ask, Code, KeyFacts, explain, judge


class Question(NamedTuple):
    """A presented text that memory cannot answer, and all that was said with it."""

    text: str
    digest: bytes
    ask: Ask
    user_agent: str | None
    explain: bool
    cost: int


class Checking:
    """
    What one process knows, from its start to its end.

    Args:
        brand: What a key of the service begins with.
        capacity: How many keys to hold.
        outage_seconds: How long what is held may serve after it was last followed, while nobody can be asked.
        limit_share: How much of every rate limit is this process's own.
        clock: A monotonic clock.
        wall: Seconds of the epoch, as this machine believes; the service knows better.
    """

    def __init__(
        self,
        *,
        brand: str,
        capacity: int,
        outage_seconds: int,
        limit_share: float = 1.0,
        clock: Clock = clocks.monotonic,
        wall: Clock = clocks.epoch,
    ) -> None:
        self.session = uuid4()
        self.clock_error_seconds: float | None = None
        """By how many seconds this machine's own clock is off, as far as that is proved; None before it is known."""
        self._brand = brand
        self._outage_seconds = outage_seconds
        self._clock = clock
        self._wall = wall
        self._lock = Lock()
        self._known = KnownKeys(capacity)
        self._rate_limiter = InMemoryRateLimiter(capacity, share=limit_share)
        self._verdicts = CachedVerdicts()
        # The same time as in `_known`, the bound added: the hot path compares two numbers.
        self._trusted_until = -inf
        # Counts the times at which something was dropped; a verdict that was given before may be wrong now.
        self._changes = 0
        # What to add to the monotonic clock for seconds of the epoch.
        self._epoch = wall() - clock()

    def __len__(self) -> int:
        return len(self._known)

    @property
    def following(self) -> bool:
        """Whether what is held counts right now."""
        return self._clock() <= self._trusted_until

    @property
    def ever_followed(self) -> bool:
        """Whether the feed was followed at any time since the start."""
        return self._trusted_until > -inf

    def verify_now(
        self,
        text: str,
        scopes: tuple[str, ...],
        environment: str | None,
        client_ip: str | None,
        user_agent: str | None,
        with_explanation: bool,
        cost: int = 1,
    ) -> Verdict | None:
        """Decide from memory alone; None when the service has to be asked."""
        if len(text) > MAX_LENGTH:
            return NOT_FOUND
        try:
            presented = digest_of(text.encode("ascii"))
        except UnicodeEncodeError:
            return NOT_FOUND
        if user_agent is not None and len(user_agent) > LONGEST_AGENT:
            user_agent = user_agent[:LONGEST_AGENT]
        request = (presented, scopes, environment, client_ip, user_agent)
        now = self._clock()
        with self._lock:
            if now > self._trusted_until:
                # What is held belongs to exactly one text, so a text that is held needs no parsing.
                if self._known.get(presented) is not None:
                    return None
            else:
                now += self._epoch
                # Nothing has changed since this request got its verdict from the cache, and the key has not expired.
                cached = self._verdicts.recent.get(request)
                if cached is not None and cached.changes == self._changes and now < cached.until:
                    cached.count += 1
                    cached.last = now
                    return cached.verdict
                facts = self._known.get(presented)
                if facts is not None:
                    return self._judge(request, facts, now, with_explanation, cost)
        return None if is_private_key(text, brand=self._brand) else NOT_FOUND

    def question(
        self,
        text: str,
        scopes: tuple[str, ...],
        environment: str | None,
        client_ip: str | None,
        user_agent: str | None,
        with_explanation: bool,
        cost: int = 1,
    ) -> Question:
        """Describe what `verify_now` could not decide."""
        agent = None if user_agent is None else user_agent[:LONGEST_AGENT]
        return Question(text, digest(text), _ask(scopes, environment, client_ip), agent, with_explanation, cost)

    def decide_now(self, question: Question) -> Verdict | None:
        """Do as `verify_now` with what a question holds."""
        text, _, ask, user_agent, with_explanation, cost = question
        return self.verify_now(text, ask.scopes, ask.environment, ask.client_ip, user_agent, with_explanation, cost)

    def begin(self, question: Question) -> LookUp:
        """Note that the service is about to be asked; to be ended by `end`."""
        with self._lock:
            return self._known.begin(question.digest)

    def end(self, look_up: LookUp, answer: Answer | None) -> bool:
        """
        Hold what the service said, None if it said nothing; tell whether a change overtook it.

        A stale answer is not held, nor one with facts that this version does not know how to weigh.
        """
        with self._lock:
            self._known.end(look_up, answer.facts if answer is not None and answer.to_hold else None)
            return look_up.overtaken

    def answered(self, question: Question, answer: Answer) -> Verdict | None:
        """
        Decide by a fresh answer; None when only the service itself can weigh all that this key is bound to.

        The service was not told what the request asks of the key, so that one answer serves many; that is judged here.
        """
        if answer.facts is None:
            return answer.verdict
        if not answer.complete:
            return None
        # What depends on time was judged by the service's own clock just now, whatever this machine believes. What
        # depends on the request was judged for whoever asked first.
        timely = answer.code in (Code.REVOKED, Code.EXPIRED)
        code = answer.code if timely else judge(answer.facts, question.ask, -inf)
        with self._lock:
            return self._answer(question, answer.facts, code, self._clock() + self._epoch, stale=answer.stale)

    def in_outage(self, question: Question) -> Verdict | None:
        """Decide by what is held although nobody can be asked; None when it is not held, or too old."""
        with self._lock:
            facts = self._known.get(question.digest)
            now = self._clock()
            # Counted from when it was last followed, so without the bound that `trusted_at` begins with.
            if facts is None or not self._known.trusted_at(now, grace=self._outage_seconds - BOUND_SECONDS):
                return None
            code = judge(facts, question.ask, now + self._epoch)
            return self._answer(question, facts, code, now + self._epoch, stale=now > self._trusted_until)

    def followed(self, since: float) -> None:
        """Note that all changes acknowledged before *since*, on the monotonic clock, have been dropped."""
        with self._lock:
            self._known.followed(since)
            self._trusted_until = max(self._trusted_until, since + BOUND_SECONDS)

    def drop(self, digests: Iterable[bytes]) -> None:
        """Forget keys that changed."""
        with self._lock:
            self._changes += 1
            self._known.drop(digests)

    def drop_all(self) -> None:
        """Forget everything, because nobody knows what changed."""
        with self._lock:
            self._changes += 1
            self._known.drop_all()

    def forget(self) -> None:
        """Forget everything and trust nothing any more, because this is the end."""
        with self._lock:
            self._changes += 1
            self._known.drop_all()
            self._rate_limiter.clear()
            self._outage_seconds = 0
            self._trusted_until = -inf

    def hear_time(self, time: float, slack: float, received: float) -> float:
        """
        Set the clock by the service's, which showed *time*, in seconds of the epoch, at most *slack* before *received*.

        What is believed so far is moved no further than that proves.

        Returns:
            By how many seconds this machine's own clock is off, as far as that is proved.
        """
        with self._lock:
            self._epoch = min(max(received + self._epoch, time), time + slack) - received
        shown = self._wall()
        self.clock_error_seconds = shown - min(max(shown, time), time + slack)
        return self.clock_error_seconds

    def set_uses_aside(self) -> None:
        """Begin to add up the uses noted so far."""
        with self._lock:
            self._verdicts.turn()

    def settle_uses(self, most: int) -> bool:
        """Add up at most *most* of them; tell whether there are more."""
        with self._lock:
            return self._verdicts.settle(most)

    def take_uses(self, most: int) -> list[UsageRecord]:
        """Take out at most *most* of what was added up, to be reported."""
        with self._lock:
            return self._verdicts.usage.take(most)

    def _answer(self, question: Question, facts: KeyFacts, code: Code, now: float, *, stale: bool) -> Verdict:
        """Make the verdict on what was asked; only under the lock."""
        ask = question.ask
        request = (question.digest, ask.scopes, ask.environment, ask.client_ip, question.user_agent)
        verdict = self._decide(request, facts, ask, code, now, question.explain, question.cost)
        return verdict._replace(stale=True) if stale else verdict

    def _judge(self, request: RequestKey, facts: KeyFacts, now: float, with_explanation: bool, cost: int) -> Verdict:
        ask = _ask(request[1], request[2], request[3] if facts.allowed_ips else None)
        code = judge(facts, ask, now)
        if code is Code.VALID and not facts.rate_limits:
            return self._accept(request, facts, now)
        return self._decide(request, facts, ask, code, now, with_explanation, cost)

    def _decide(
        self, request: RequestKey, facts: KeyFacts, ask: Ask, code: Code, now: float, with_explanation: bool, cost: int
    ) -> Verdict:
        """Have the request pay, where all other rules let it pass and the key has limits."""
        decision = UNLIMITED
        if code is Code.VALID and facts.rate_limits:
            # On the clock that is never set.
            decision = self._rate_limiter.acquire(facts.id, facts.rate_limits, self._clock(), cost)
            if not decision.allowed:
                code = Code.RATE_LIMITED
        if code is Code.VALID:
            return self._accept(request, facts, now, decision.states)
        explanation = explain(code, facts, ask, now) if with_explanation else None
        return Verdict(code, KeyInfo(facts), False, explanation, decision.states, decision.retry_after)

    def _accept(self, request: RequestKey, facts: KeyFacts, now: float, limits: tuple[LimitState, ...] = ()) -> Verdict:
        # Counted as it will be once the service can be asked again: the same request gets the same verdict then.
        verdict = Verdict(Code.VALID, KeyInfo(facts), False, None, limits)
        if limits and self._verdicts.count_again(request, now):
            return verdict
        # What is not held, because a change overtook it or the service was not sure, is not heard of when it changes.
        # And a key with limits has to pay for each request.
        repeated = not limits and self._known.get(request[0]) is facts
        until, changes = min(facts.expires_at, facts.retires_at), self._changes if repeated else NEVER_REPEATED
        self._verdicts.add(request, CachedVerdict(verdict, now, until=until, changes=changes))
        return verdict


def wanted_scopes(scopes: Collection[str]) -> tuple[str, ...]:
    """
    Bring the scopes that a caller asks for into the form they are compared in.

    Raises:
        TypeError: They are one string, which would be taken for its letters.
    """
    if isinstance(scopes, str):
        raise TypeError("scopes must be a collection of strings, not one string")
    return tuple(scopes)


def _ask(scopes: tuple[str, ...], environment: str | None, client_ip: str | None) -> Ask:
    if not scopes and environment is None and client_ip is None:
        return ANY_USE
    return Ask(environment=environment, scopes=scopes, client_ip=client_ip)
