"""
Creations and lists a second over HTTP on both stores, 1 and 64 clients, beside the cheapest answer of that process.

    python -m bench.management [--seconds 5]

One worker; `/livez` is the reference, since it goes through the same server and layers and does nothing.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from bench import load
from keywright.dev.issuer import DevIssuer
from tests.live import LiveService, environment, start_service
from tests.postgres import migrated_database, start_cluster

KEYS = "/api/v2/api-keys"
CONNECTIONS = (1, 64)


@contextmanager
def services(issuer: DevIssuer) -> Iterator[dict[str, LiveService]]:
    """Run the service on each store."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = start_cluster(fsync="on", full_page_writes="on")
        urls = {"SQLite": f"sqlite:///{folder}/keywright.db", "PostgreSQL": migrated_database(cluster)}
        running = {name: start_service(environment(issuer, database_url=url)) for name, url in urls.items()}
        try:
            yield running
        finally:
            for service in running.values():
                service.stop()
            cluster.remove()


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    seconds = parser.parse_args().seconds
    print("| store | operation | clients | a second | × /livez | p50 ms | p99 ms |")
    print("|---|---|---|---|---|---|---|")
    with DevIssuer() as issuer, services(issuer) as running:
        token = issuer.token("acme", expires_in=36_000)
        requests = {
            "reference `/livez`": load.request_bytes("GET", "/livez", token),
            "create": load.request_bytes("POST", KEYS, token, b'{"name":"bench"}'),
            "list 100": load.request_bytes("GET", KEYS, token),
        }
        for store, service in running.items():
            for connections in CONNECTIONS:
                reference = 0.0
                for operation, request in requests.items():
                    result = asyncio.run(load.run(service.base_url, request, connections=connections, seconds=seconds))
                    reference = reference or result.rate
                    assert set(result.statuses) <= {200, 201}, result.statuses
                    print(
                        f"| {store} | {operation} | {connections} | {result.rate:,.0f} | {result.rate / reference:.2f} "
                        f"| {result.percentile(0.5):.2f} | {result.percentile(0.99):.2f} |"
                    )


if __name__ == "__main__":
    main()
