"""
A process that creates and rotates keys until it is ended: `python -m tests.storage.creating_child DATABASE_URL`.

It prints a line for each secret once the store has acknowledged it: the organization, the key, the digest of the secret
and that of the request, in hex.
"""

import asyncio
import sys
from dataclasses import replace

from keywright.keys.record import ApiKey
from keywright.service.management.ports import SealedAnswer
from keywright.storage.engine import RunningStore, open_store
from tests.storage.making import a_rotation, a_sealed_answer, an_organization, new_key

CREATORS = 32


async def main(url: str) -> None:
    """Create and rotate without end."""
    store = open_store(url)
    await store.start()
    await asyncio.gather(*[_create(store) for _ in range(CREATORS)])


async def _create(store: RunningStore) -> None:
    organization = an_organization()
    while True:
        new = replace(new_key(organization), sealed_answer=a_sealed_answer())
        await store.create(new)
        _acknowledge(new.api_key, new.secret_digest, new.sealed_answer)
        rotation = a_rotation(new.api_key, sealed_answer=a_sealed_answer())
        await store.rotate(rotation)
        _acknowledge(new.api_key, rotation.secret_digest, rotation.sealed_answer)


def _acknowledge(key: ApiKey, digest: bytes, sealed_answer: SealedAnswer | None) -> None:
    assert sealed_answer is not None
    sys.stdout.write(f"{key.org_id} {key.id} {digest.hex()} {sealed_answer.request_digest.hex()}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
