"""
Creations over HTTP on both stores, beside the cheapest answer of that process.

    python -m bench.management [--seconds 1] [--rounds 3]

One worker; `/livez` is the reference, since it goes through the same server and layers and does nothing.
"""

from bench import asking, figures
from bench.asking import Server
from bench.figures import Section, Table
from bench.load import request_bytes
from bench.service import KEYS, databases, running

CONNECTIONS = (1, 16, 64)
REFERENCE = "`/livez`"
SAYS = """\
`POST /api/v2/api-keys` with a signed token, one worker on one core, the load from the other. Every answer is of a key
that is on disk with its event: SQLite with `synchronous = FULL`, PostgreSQL with `fsync` and `synchronous_commit` on,
sharing the worker's core. The reference is the cheapest route of the same process."""


def main() -> None:
    """Measure and print."""
    arguments = figures.arguments(__doc__, seconds=1.0, rounds=3)
    tables = []
    with databases() as urls:
        for engine, url in urls.items():
            table = Table(f"On {engine}", asking.HEADS)
            with running(url) as service:
                requests = {
                    "create": request_bytes("POST", KEYS, service.token, b'{"name":"bench"}'),
                    "get the newest": request_bytes("GET", f"{KEYS}?limit=1", service.token),
                    REFERENCE: request_bytes("GET", "/livez", None),
                }
                service.create()
                servers = {name: Server(service.url, service.process_id, [each]) for name, each in requests.items()}
                for connections in CONNECTIONS:
                    results = asking.interleaved(
                        servers, connections=connections, seconds=arguments.seconds, rounds=arguments.rounds
                    )
                    table.rows.extend(asking.rows(connections, results, reference=REFERENCE))
            tables.append(table)
    figures.publish(Section("Creating keys over HTTP", SAYS, tables), arguments.json)


if __name__ == "__main__":
    main()
