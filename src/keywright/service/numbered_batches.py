"""
Numbered batches: each is counted once.

A transaction may be committed although its answer is lost. The store knows from the number whether a batch was written,
so the same batch is written again until there is an answer.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar
from uuid import UUID

from keywright.service.checking.ports import UsageBatch

Batch = TypeVar("Batch")


class NumberedBatches(Generic[Batch]):
    """
    Numbers and writes the batches of one reporter.

    Args:
        add: Writes a batch under its number, and does nothing where that was written before.
        reporter: The id of the reporter; only this object writes batches under it.
    """

    def __init__(self, add: Callable[[Batch, UsageBatch], Awaitable[None]], reporter: UUID) -> None:
        self._add = add
        self._name = UsageBatch(reporter, 0)
        self._unanswered: Batch | None = None

    async def write(self, batches: Iterable[Batch]) -> None:
        """
        Write the unanswered batch, if there is one, and then *batches*; each is taken after the one before was written.

        Raises:
            StorageUnavailable: A batch had no answer. It keeps its number, and the next call begins with it.
            ValueError: The database refuses a batch and wrote nothing of it. It is dropped.
        """
        await self._write()
        for batch in batches:
            self._name = self._name._replace(number=self._name.number + 1)
            self._unanswered = batch
            await self._write()

    async def _write(self) -> None:
        if self._unanswered is None:
            return
        try:
            await self._add(self._unanswered, self._name)
        except ValueError:
            self._unanswered = None
            raise
        self._unanswered = None
