"""
Forward auth and batches over HTTP, beside the same work as raw ASGI on uvicorn and on Node's http server, and beside
nginx that does nothing; then two workers beside one.

    python -m bench.front [--seconds 1.5] [--rounds 3]
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from bench import asking, figures
from bench.asking import Server
from bench.figures import Section, Table
from bench.load import request_bytes
from bench.programs import HERE, PYTHON_PATH, nginx, node, python_module, started
from bench.service import KEYS, Running, running

VERIFY = f"{KEYS}/verify"
BATCH = f"{VERIFY}/batch"
FORWARD_AUTH = "/forward-auth"
BATCH_SIZE = 100
CONNECTIONS = (1, 16, 64, 256)
SERVICE, REFERENCE = "Keywright", "raw ASGI"
FORWARD, BATCHES = "forward auth", f"batch of {BATCH_SIZE}"
SAYS = f"""\
One worker on one core, the load from the other. Forward auth: the proxy shows its credential and the client's key in
headers; the answer is four identity headers and no body. A batch asks about {BATCH_SIZE} different keys at once. The
references do the SHA-256, the look-up, and the JSON of the same answers; they recognise nobody, count no use, and know
no expiry. nginx answers `return 200` with as many bytes. "Two workers" share both cores with the load, so they gain
what is left of the second core."""

Mode = Mapping[str, Server]


def main() -> None:
    """Measure and print."""
    arguments = figures.arguments(__doc__, seconds=1.5, rounds=3)
    tables = []
    with modes() as measured:
        for name, servers in measured.items():
            table = Table(name, asking.HEADS)
            for connections in CONNECTIONS:
                results = asking.interleaved(
                    servers, connections=connections, seconds=arguments.seconds, rounds=arguments.rounds
                )
                table.rows.extend(asking.rows(connections, results, reference=REFERENCE))
            tables.append(table)
    tables.append(two_workers(arguments.seconds, arguments.rounds))
    figures.publish(Section("Forward auth and batches over HTTP", SAYS, tables), arguments.json)


@contextmanager
def modes() -> Iterator[dict[str, Mode]]:
    """Run everything, and give the servers of each of the two kinds of question."""
    with tempfile.TemporaryDirectory() as folder, running() as service, ExitStack() as held:
        keys = [service.create() for _ in range(BATCH_SIZE)]
        body = json.dumps({"keys": [{"key": key} for key in keys]}).encode()
        answers = service.post(BATCH, json.loads(body)).json()
        proxied = {"Authorization": f"Bearer {keys[0]}", "X-Keywright-Verifier": service.credential}
        identity = service.get(FORWARD_AUTH, proxied)
        assert all(each["valid"] for each in answers["results"]), answers
        assert identity.status_code == 200, identity.text
        requests = {
            FORWARD: request_bytes("GET", FORWARD_AUTH, keys[0], X_Keywright_Verifier=service.credential),
            BATCHES: request_bytes("POST", BATCH, service.credential, body),
        }
        of_references = {
            FORWARD: requests[FORWARD],
            BATCHES: requests[BATCHES].replace(BATCH.encode(), b"/batch", 1),
        }
        servers: dict[str, dict[str, Server]] = {FORWARD: {}, BATCHES: {}}
        add(servers, SERVICE, (service.url, service.process_id), requests)
        told = told_to_references(keys, answers["results"], identity)
        for name, where in references(held, told).items():
            add(servers, name, where, of_references)
        if shutil.which("nginx"):
            same_size = {FORWARD: ("", told[2]), BATCHES: (json.dumps(answers, separators=(",", ":")), [])}
            for kind, (text, headers) in same_size.items():
                place = Path(folder, kind.replace(" ", "-"))
                place.mkdir()
                url, process_id = held.enter_context(nginx(place, text, headers))
                servers[kind]["nginx `return 200`"] = Server(url, process_id, [requests[kind]])
        yield servers


def add(
    servers: Mapping[str, dict[str, Server]], name: str, where: tuple[str, int], requests: Mapping[str, bytes]
) -> None:
    """Note a server under each kind of question."""
    for kind, request in requests.items():
        servers[kind][name] = Server(*where, [request])


def told_to_references(
    keys: Sequence[str], answers: Sequence[object], identity: httpx.Response
) -> tuple[Sequence[str], Sequence[object], list[tuple[str, str]]]:
    """Give what the references know: keys, what is said of each, and the headers of forward auth."""
    # The server itself writes these two, and an id for each request is none of the least.
    own = {"date", "server", "x-request-id"}
    return keys, answers, [(name, value) for name, value in identity.headers.items() if name not in own]


def references(
    held: ExitStack, told: tuple[Sequence[str], Sequence[object], list[tuple[str, str]]]
) -> dict[str, tuple[str, int]]:
    """Start the references, and give the URL and the process of each."""
    keys, answers, headers = told
    asgi = python_module("bench.reference_asgi", keys=keys, answers=answers, headers=headers)
    url, process = held.enter_context(started(asgi, env=PYTHON_PATH))
    found = {REFERENCE: (url, process.pid)}
    if (binary := node()) is not None:
        command = [binary, HERE / "reference_node.mjs", *(json.dumps(each) for each in told)]
        url, process = held.enter_context(started(command))
        found["Node http"] = (url, process.pid)
    return found


def two_workers(seconds: float, rounds: int) -> Table:
    """Ask one worker and two in turn, verifications and forward auth."""
    table = Table("Two workers beside one", ("question", *asking.HEADS))
    with running(workers=1) as one, running(workers=2) as two:
        for kind, build in {"verify": _verify, FORWARD: _forward}.items():
            servers = {
                name: Server(service.url, service.process_id, [build(service)])
                for name, service in {"1 worker": one, "2 workers": two}.items()
            }
            for connections in CONNECTIONS[2:]:
                results = asking.interleaved(servers, connections=connections, seconds=seconds, rounds=rounds)
                rows = asking.rows(connections, results, reference="1 worker")
                table.rows.extend((kind, *row) for row in rows)
    return table


def _verify(service: Running) -> bytes:
    return request_bytes("POST", VERIFY, service.credential, json.dumps({"key": service.create()}).encode())


def _forward(service: Running) -> bytes:
    return request_bytes("GET", FORWARD_AUTH, service.create(), X_Keywright_Verifier=service.credential)


if __name__ == "__main__":
    main()
