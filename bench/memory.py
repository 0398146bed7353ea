"""
What a held key costs in memory, at a million of them: resident bytes of this process, per key.

    python -m bench.memory [--keys 1000000]

Keys arrive as from the service's answers, each with an id, an organisation and a name of its own. Measured as the
growth of the resident set, so allocator overhead is in it.
"""

import gc
import os
from collections.abc import Iterator

import httpx
import psutil

from bench import figures
from bench.figures import Section, Table
from keywright.client.verifier._answers import read_answer
from keywright.client.verifier._checker import LocalChecker, UncachedRequest

KEYS_OF_AN_ORGANISATION = 10
SAYS = "Growth of the resident set of the process, allocator overhead included, when it takes the service's answers."


def answers(count: int, keys_of_an_organisation: int) -> Iterator[tuple[UncachedRequest, httpx.Response]]:
    """Make up keys, and what the service says of them."""
    for number in range(count):
        shown = (
            f'{{"id":"{os.urandom(16).hex()}","org_id":"{number // keys_of_an_organisation:032x}",'
            f'"name":"Billing export {number}","environment":"live","scopes":["reports:read"],"expires_at":null}}'
        )
        body = f'{{"valid":true,"code":"valid","api_key":{shown},"facts":{{"revoked":false,"expires_at":null}}}}'
        yield UncachedRequest("", (os.urandom(32), (), None, None, None)), httpx.Response(200, content=body.encode())


def bytes_per_key(count: int, keys_of_an_organisation: int) -> float:
    """Fill a verifier's memory and see what it takes."""
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    checker = LocalChecker(brand="kw", capacity=2 * count, outage_seconds=300)
    for request, response in answers(count, keys_of_an_organisation):
        checker.end(checker.begin(request), read_answer(response))
    gc.collect()
    taken = process.memory_info().rss - before
    assert len(checker) == count
    return taken / count


def main() -> None:
    """Measure and print."""
    arguments = figures.arguments(__doc__, keys=1_000_000)
    per_key = bytes_per_key(arguments.keys, KEYS_OF_AN_ORGANISATION)
    table = Table("A held key", ("keys", "of each organisation", "bytes a key"))
    table.rows.append((arguments.keys, KEYS_OF_AN_ORGANISATION, per_key))
    figures.publish(Section("Memory of the in-process verifier", SAYS, [table]), arguments.json)


if __name__ == "__main__":
    main()
