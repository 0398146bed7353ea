"""A checker out of a verification, for tests of what it decides."""

from collections import Counter
from functools import partial

from keywright.keys.usage import UsageBook
from keywright.keys.verdict import Code
from keywright.service.checking.failure_limit import FailureLimit
from keywright.service.checking.ports import RateLimiter
from keywright.service.checking.verdicts import Caller
from keywright.service.checking.verification import Checker, OnRefused, Verification
from tests.service.fake_checking_store import FakeTime
from tests.service.fake_rate_limiter import FakeRateLimiter

CALLER = Caller("edge", None, None)


class Verdicts(Counter[str]):
    """Counts verdicts by code."""

    def counters(self) -> dict[Code, "partial[None]"]:
        """Give what `Checker` counts with."""
        return {code: partial(self._add, code) for code in Code}

    def _add(self, code: Code, times: int) -> None:
        self[code.value] += times


def a_checker(
    verification: Verification,
    monotonic: FakeTime,
    *,
    now: FakeTime | None = None,
    usage: UsageBook | None = None,
    failures: FailureLimit | None = None,
    limiter: RateLimiter | None = None,
    verdicts: Verdicts | None = None,
    on_refused: OnRefused = lambda _caller, _code, _network: None,
) -> Checker:
    """Make a checker; whatever is not given is made, too."""
    return Checker(
        verification=verification,
        usage=UsageBook() if usage is None else usage,
        failures=FailureLimit() if failures is None else failures,
        limiter=FakeRateLimiter(monotonic) if limiter is None else limiter,
        counters=(Verdicts() if verdicts is None else verdicts).counters(),
        now=FakeTime(1_000_000.0) if now is None else now,
        monotonic=monotonic,
        on_refused=on_refused,
    )
