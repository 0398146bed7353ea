"""
The first sight of a key, for requests that are answered without a task: the look-up, and the end of one without a key.

`Checker.accept` decides on a key that was found.
"""

from keywright.keys.addresses import network_of
from keywright.keys.verdict import NO_REQUIREMENTS, Code
from keywright.service.checking.look_ups import Waiter
from keywright.service.checking.verdicts import Caller
from keywright.service.checking.verification import Checker
from keywright.service.faults import Overloaded


class FirstSight:
    """
    Looks up keys that are not cached, as `Checker.check` does.

    Args:
        checker: Has the look-ups, the failure limit and the counts.
    """

    def __init__(self, checker: Checker) -> None:
        self._checker = checker
        self._verification = checker.verification

    def look_up(self, caller: Caller, text: str, address: str | None) -> Waiter | None:
        """
        Look up the key of a request that `Checker.accept` could not accept; None where `Checker.check` has to decide.

        None is for a key that is cached, or whose verdict takes no look-up; for a cache that is not fresh, so that it
        would not have the key afterwards; and for a caller above its failure limit or with a full queue.

        Args:
            caller: The caller, which is a verifier.
            text: The presented text: anything at all.
            address: The address of the request.
        """
        monotonic = self._checker.monotonic()
        if not self._verification.is_fresh(monotonic) or self._checker.failures.exceeded(caller, address, monotonic):
            return None
        if self._verification.verify_now(text, NO_REQUIREMENTS) is not None:
            return None
        try:
            return self._verification.look_up(text, caller.share)
        except Overloaded:
            return None

    def refuse(self, caller: Caller, address: str | None) -> None:
        """Count a request whose look-up found no key."""
        self._checker.failures.note(caller, address, self._checker.monotonic())
        self._checker.refuse(caller, Code.NOT_FOUND, network_of(address))
