"""What a process makes of a key once, when it is cached."""

from collections.abc import Callable

from keywright.keys.cache import WEIGHT_BYTES
from keywright.keys.usage import UsageBook
from keywright.keys.verdict import KeyFacts

Writer = Callable[[KeyFacts], int]
"""Writes a part of the answers on a key into its facts, and gives the bytes of memory that it takes."""


class Preparation:
    """
    Prepares facts for `Checker.accept`, which takes only keys that were prepared; see `DigestCache.prepare`.

    Args:
        usage: The usage book, which gives the key its number.
        writers: Write the parts of the answers on the key.
    """

    def __init__(self, usage: UsageBook, *writers: Writer) -> None:
        self._usage = usage
        self._writers = writers

    def __call__(self, digest: bytes, facts: KeyFacts) -> None:
        """Prepare the facts of the key with this digest; their weight grows by what is made."""
        made = sum(writer(facts) for writer in self._writers)
        facts.keep(number=0, weight=facts.weight - -made // WEIGHT_BYTES)
