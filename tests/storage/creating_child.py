"""
A process that creates keys until it is ended: `python -m tests.storage.creating_child DATABASE_URL`.

It prints a line for each key once the store has acknowledged it: the organisation, the key, and the digest in hex.
"""

import asyncio
import sys

from keywright.storage.engine import RunningStore, open_store
from tests.storage.making import an_organization, new_key

CREATORS = 32


async def main(url: str) -> None:
    """Create without end."""
    store = open_store(url)
    await store.start()
    await asyncio.gather(*[_create(store) for _ in range(CREATORS)])


async def _create(store: RunningStore) -> None:
    organization = an_organization()
    while True:
        new = new_key(organization)
        await store.create(new)
        sys.stdout.write(f"{new.api_key.org_id} {new.api_key.id} {new.secret_digest.hex()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
