"""
Each peer in its own environment with one worker on the first core, in turns with Keywright on the same kind of
database. "Keywright ×" is how many times as many answers a second Keywright gave. Both verify fifty keys at random.
SQLite writes ahead with `synchronous = FULL`, PostgreSQL has `fsync` and `synchronous_commit` on, for all alike.
Keywright checks a signed token for each creation and keeps an audit log, and its verification authenticates the
verifier; what a peer does more or less is said below. PostgreSQL's own CPU time is nobody's here.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from inspect import cleandoc
from itertools import islice
from pathlib import Path
from typing import Any

from bench.figures import Cell, Section, Table
from bench.goals import DJANGO
from bench.peers.installing import CONTESTANTS, Contestant, PeerFailed, installed
from bench.peers.protocol import KEYS
from bench.processes import Server, first_line, started
from bench.report import scrubbed
from bench.rounds import Contender, Plan, Rounds, interleaved
from bench.service import UNBOUND, Tree
from bench.wrk import stored, written

CONNECTIONS = 64
HEADS = (
    "peer", "question", "connections", "a second", "Keywright a second", "Keywright ×", "CPU µs", "Keywright CPU µs",
    "p99 ms", "Keywright p99 ms",
)  # fmt: skip
WHO = ("peer", "release", "database", "set-up", "work beside ours", "outcome")


def section(tree: Tree, plan: Plan) -> Section:
    """Measure every peer that can be, name those that cannot, and give the section of the report."""
    compared, who = Table("In turns with Keywright", HEADS), Table("What was measured", WHO)
    for contestant in CONTESTANTS:
        print(f"  {contestant.name}", flush=True)
        outcome = "measured"
        try:
            for question, rounds in _measured(contestant, [tree], plan, ["verify", "create"]):
                compared.rows.append(_row(contestant.name, question, rounds, tree.name))
        except (RuntimeError, OSError, ValueError) as error:
            outcome = f"failed. {scrubbed(str(error))}"
        releases = ", ".join(contestant.requirements)
        said = (contestant.configured, contestant.differs, outcome)
        who.rows.append((contestant.name, releases, contestant.engine, *said))
    return Section("Peers", cleandoc(__doc__), [compared, who])


def creations(trees: Sequence[Tree], plan: Plan) -> Rounds:
    """Give the rounds of creations by the trees and by the peer that a goal names."""
    contestant = next(each for each in CONTESTANTS if each.name == DJANGO)
    ((_, rounds),) = _measured(contestant, trees, plan, ["create"])
    return rounds


def _measured(
    contestant: Contestant, trees: Sequence[Tree], plan: Plan, questions: Sequence[str]
) -> Iterator[tuple[str, Rounds]]:
    with tempfile.TemporaryDirectory() as name, facing(contestant, trees[0], Path(name)) as (server, told):
        for question in questions:
            theirs = told[question] if question == "verify" else [told[question]]
            requests = stored(map(written, theirs), Path(name, question))
            peer = Contender(contestant.name, server.itself, "requests", requests)
            contenders = [*(_ours(question, contestant.engine, tree, Path(name)) for tree in trees), peer]
            for each in contenders:
                each.server().pause()
            yield question, interleaved(contenders, plan, CONNECTIONS)


def _ours(question: str, engine: str, tree: Tree, folder: Path) -> Contender:
    """Give Keywright with as many keys as the peer has."""
    keys = folder / f"{tree.name}.keys"
    with tree.filled(engine, UNBOUND).open() as lines:
        keys.write_text("".join(islice(lines, KEYS)))
    script = "verify_key_only" if question == "verify" else "create"
    return Contender(tree.name, partial(tree.running, engine), script, tree.database(engine).traffic(keys))


def _row(name: str, question: str, rounds: Rounds, ours: str) -> list[Cell]:
    def beside(figure: str) -> Sequence[float]:
        return [rounds.median(each, figure) for each in (name, ours)]

    rates = [*beside("rate"), rounds.ratio(ours, name, "rate")]
    return [name, question, CONNECTIONS, *rates, *beside("cpu_us"), *beside("p99")]


@contextmanager
def facing(contestant: Contestant, tree: Tree, folder: Path) -> Iterator[tuple[Server, Mapping[str, Any]]]:
    """Run a peer, and give its server and what it tells of itself."""
    environment, interpreter = installed(contestant)
    words = [interpreter, Path(__file__).with_name(contestant.program), folder]
    words += [tree.postgres.database()] if contestant.engine == "postgresql" else []
    words += [environment] if contestant.registry == "npm" else []
    log = folder / "said"
    with started(words, log=log) as process:
        line = first_line(process)
        if not line.startswith("{"):
            raise PeerFailed("start", f"{line}\n{log.read_text()}")
        told = json.loads(line)
        yield Server(told["url"], process), told
