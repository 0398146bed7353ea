"""
Creation and verification of keys by peers, each in turns with Keywright in the same rounds.

    python -m bench.peers.measure [--seconds 0.8] [--rounds 3]

The name of a peer in `BENCH_PEERS` measures that one alone; several are separated by commas.
"""

import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import asking, cores, figures
from bench.asking import Round, Server
from bench.figures import Cell, Section, Table, median, median_ratio
from bench.load import request_bytes
from bench.peers import protocol
from bench.peers.contestants import CONTESTANTS, Contestant
from bench.peers.installing import PeerFailed, command, installed, scrubbed
from bench.programs import started
from bench.service import DURABLE, KEYS, Running, running
from keywright.client import Verifier
from tests.postgres import PostgresCluster, fresh_database, migrated_database, start_cluster

VERIFIERS = (1, 16, 64, 256)
CREATORS = (1, 16, 64)
US = "Keywright"
HEADS = (
    "peer", "connections", "a second", f"{US} a second", f"{US} ×", "p50 ms", f"{US} p50 ms", "p99 ms", f"{US} p99 ms",
)  # fmt: skip
INSIDE = ("who", "µs a verification", "× SHA-256 and look-up there", "that in µs")
WHO = ("peer", "release", "database", "set-up", "work beside ours", "outcome")
SAYS = f"""\
Each peer in its own environment with one worker on the first core, asked over HTTP from the second, in turns with
{US} on the same kind of database: "{US} ×" is how many times as many answers a second {US} gave, the median
of the ratios of the rounds; nobody is asked before the other has nothing left to do. SQLite writes ahead with
`synchronous = FULL`, PostgreSQL has `fsync` and `synchronous_commit` on, for all alike. {US} checks a signed token
for each creation and keeps an audit trail, and its verification recognises who asks; what a peer does more or less
is said below. The processor time of PostgreSQL is nobody's here."""
_SCHEDULE_SECONDS = 120


@dataclass
class Findings:
    """The tables, filled one peer after another."""

    verified: Table = field(default_factory=lambda: Table("Verification", HEADS))
    created: Table = field(default_factory=lambda: Table("Creation", HEADS))
    inside: Table = field(default_factory=lambda: Table("In process, without HTTP", INSIDE))
    who: Table = field(default_factory=lambda: Table("What was measured", WHO))

    def section(self) -> Section:
        """Give what has been found so far."""
        return Section("Peers on the same work", SAYS, [self.verified, self.created, self.inside, self.who])


def main() -> None:
    """Measure every peer that can be, name those that cannot, and print."""
    arguments = figures.arguments(__doc__, seconds=0.8, rounds=3)
    chosen = [name for name in os.environ.get("BENCH_PEERS", "").split(",") if name]
    found = Findings()
    cluster = start_on_the_serving_core()
    try:
        found.inside.rows.append(ourselves())
        for contestant in CONTESTANTS:
            if chosen and contestant.name not in chosen:
                continue
            outcome = measure(contestant, cluster, found, arguments.seconds, arguments.rounds)
            found.who.rows.append(introduced(contestant, outcome))
            # What is known survives, should there be no time for the others.
            figures.publish(found.section(), arguments.json)
    finally:
        cluster.remove()


def measure(contestant: Contestant, cluster: PostgresCluster, found: Findings, seconds: float, rounds: int) -> str:
    """Measure one peer, and say in a few words what came of it."""
    try:
        with facing(contestant, cluster) as (us, told):
            found.inside.rows.extend(in_process(contestant.name, told))
            servers = pairs(contestant.name, us, told)
            found.verified.rows.extend(compared(servers["verify"], VERIFIERS, seconds, rounds))
            if contestant.creates:
                found.created.rows.extend(compared(servers["create"], CREATORS, seconds, rounds))
    except PeerFailed as failed:
        return f"not measured. {failed}"
    except (RuntimeError, OSError, ValueError) as error:
        return f"failed while it was measured. {scrubbed(str(error))}"
    return "measured"


def start_on_the_serving_core() -> PostgresCluster:
    """Start PostgreSQL beside those who ask it."""
    with cores.serving():
        return start_cluster(**DURABLE)


@contextmanager
def facing(contestant: Contestant, cluster: PostgresCluster) -> Iterator[tuple[Running, dict[str, Any]]]:
    """Run a peer and Keywright on the same kind of database; give ours, and what the peer tells of itself."""
    environment = installed(contestant)
    on_postgres = contestant.database == "PostgreSQL"
    program = str(Path(__file__).with_name(contestant.program))
    with tempfile.TemporaryDirectory() as folder:
        words = [*command(contestant, environment), program, folder, *contestant.arguments]
        words += [fresh_database(cluster)] if on_postgres else []
        words += [str(environment)] if contestant.registry == "npm" else []
        log = Path(folder, "said")
        ours = migrated_database(cluster) if on_postgres else None
        with running(ours) as us, started(words, log=log) as (line, process):
            if not line.startswith("{"):
                raise PeerFailed("start", f"{line}\n{log.read_text()}")
            yield us, json.loads(line) | {"process_id": process.pid}


def pairs(name: str, us: Running, told: Mapping[str, Any]) -> dict[str, dict[str, Server]]:
    """Give both servers for each of the two questions."""
    key = us.create()
    ours = {
        "verify": request_bytes("POST", f"{KEYS}/verify", us.credential, json.dumps({"key": key}).encode()),
        "create": request_bytes("POST", KEYS, us.token, b'{"name":"bench"}'),
    }
    return {
        question: {
            US: Server(us.url, us.process_id, [request]),
            name: Server(told["url"], told["process_id"], [written(told[question])]),
        }
        for question, request in ours.items()
    }


def written(asked: Mapping[str, Any]) -> bytes:
    """Write a request that a peer has told."""
    headers = {"Host": "localhost", **asked["headers"]}
    body = asked["body"].encode()
    if body:
        headers["Content-Length"] = str(len(body))
    lines = [f"{asked['method']} {asked['path']} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def compared(
    servers: Mapping[str, Server], counts: tuple[int, ...], seconds: float, rounds: int
) -> Iterator[list[Cell]]:
    """Ask both in turns at each number of connections; a peer that gives no good answer has an empty row."""
    name = next(name for name in servers if name != US)
    for connections in counts:
        try:
            results = asking.interleaved(servers, connections=connections, seconds=seconds, rounds=rounds)
        except asking.NoGoodAnswer as none:
            yield [f"{name} ({none})".replace(f"{name}: ", ""), connections, *[None] * (len(HEADS) - 2)]
            continue
        ours, theirs = results[US], results[name]
        ratio = median_ratio([each.rate for each in ours], [each.rate for each in theirs])
        latencies = [*_beside(theirs, ours, "p50"), *_beside(theirs, ours, "p99")]
        yield [name, connections, *_beside(theirs, ours, "rate"), ratio, *latencies]


def _beside(theirs: list[Round], ours: list[Round], figure: str) -> list[float]:
    return [median(getattr(each, figure) for each in rounds) for rounds in (theirs, ours)]


def in_process(name: str, told: Mapping[str, Any]) -> Iterator[list[Cell]]:
    """Give the row of a peer that has told what a call costs."""
    if told["in_process_ns"]:
        yield [name, told["in_process_ns"] / 1000, told["in_process_ns"] / told["bare_ns"], told["bare_ns"] / 1000]


def ourselves() -> list[Cell]:
    """Measure the SDK's verifier in this process, as peers measure theirs in theirs."""
    with running() as us, cores.asking(), Verifier(us.url, us.credential) as verifier:
        key = us.create()
        deadline = time.monotonic() + _SCHEDULE_SECONDS
        while not (verifier.following and verifier.verify(key)) and time.monotonic() < deadline:
            time.sleep(0.01)
        taken, bare = protocol.call_ns(lambda: verifier.verify(key)), protocol.bare_ns(key)
    return [f"{US}, `Verifier.verify`", taken / 1000, taken / bare, bare / 1000]


def introduced(contestant: Contestant, outcome: str) -> list[Cell]:
    """Say who a peer is, how it was set up, and what became of it."""
    releases = ", ".join(contestant.requirements)
    return [contestant.name, releases, contestant.database, contestant.configured, contestant.differs, outcome]


if __name__ == "__main__":
    main()
