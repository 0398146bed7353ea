"""The table of cases: what is measured, in the order of the report."""

from collections.abc import Mapping
from dataclasses import dataclass, field

NGINX, ASGI, NODE = "nginx", "bare ASGI", "Node"
ALL = (NGINX, ASGI, NODE)
BRIEF = (NGINX, ASGI)
BEFORE, AFTER = "before", "after"
"""The trees, where two are measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """
    The API keys that a case needs.

    Args:
        times: How many times as many as a database gets else.
        networks: How many networks each is bound to.
        family: 4 for a /24 each, 6 for a /48.
        limited: How many per cent have a rate limit, which is never reached.
    """

    times: float = 1
    networks: int = 3
    family: int = 4
    limited: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """
    One case.

    Args:
        name: What `--only` calls it.
        title: What the report calls it.
        script: The script of bench/traffic, or the client of bench/clients, that sends its requests; a case without one
            has a module that measures it.
        options: What makes the script's traffic another kind, as bench/traffic/common.lua says, without `BENCH_`.
        references: What is sent the same requests in the same rounds.
        connections: How many requests are under way at a time; a table row for each.
        place: Which database the keys are in: the engine, and after a hyphen what sets it apart.
        keys: Which keys.
        warm: Whether the service has seen every key before.
        fresh: Whether the service is started anew before every round.
        single: Whether a request is small and alone, so that nginx's p99 tells a busy machine.
        long: Whether a round takes so long that uses are written in it.
        changes: Whether keys are created and revoked meanwhile, `bench.changes.EACH_SECOND` of each.
    """

    name: str
    title: str
    script: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    references: tuple[str, ...] = ALL
    connections: tuple[int, ...] = (64,)
    place: str = "sqlite"
    keys: Keys = Keys()
    warm: bool = False
    fresh: bool = False
    single: bool = True
    long: bool = False
    changes: bool = False


def _verify(name: str, title: str, **more: object) -> Case:
    """Give a case of verify.lua on keys that the service has seen."""
    fields: dict[str, object] = {"script": "verify", "references": BRIEF, "warm": True, **more}
    return Case(name=f"verify-{name}", title=f"verify, {title}", **fields)  # type: ignore[arg-type]


MANY, SLICES = Keys(times=10), {"SLICES": "10"}
"""Ten times as many keys: what is seen first is a tenth of them in every round."""

CASES = (
    # First, because whatever comes later has shown its keys.
    Case(
        name="first-sight", title="verify, first sight of a key", script="first_sight", options=SLICES, keys=MANY,
        place="sqlite-many", fresh=True, single=False,
    ),
    Case(
        name="first-sight-postgresql", title="verify, first sight of a key, PostgreSQL", script="first_sight",
        options=SLICES, keys=MANY, place="postgresql-many", references=BRIEF, fresh=True, single=False,
    ),
    Case(name="verify", title="verify, varied", script="verify", connections=(64, 1), warm=True, long=True),
    _verify("zipf", "Zipf popularity", options={"POPULARITY": "zipf"}),
    _verify("200k", "ten times as many keys", keys=MANY, place="sqlite-many"),
    _verify("addresses", "another address each", options={"ADDRESSES": "new"}),
    _verify("ipv6", "IPv6", keys=Keys(family=6), options={"ADDRESSES": "new"}),
    _verify("heads", "another head each", options={"HEADS": "new"}),
    _verify("junk", "5 % junk, 1 % revoked", options={"JUNK": "5"}),
    _verify("limits-some", "limits on 10 % of keys", keys=Keys(limited=10)),
    _verify("limits", "limits on every key", keys=Keys(limited=100)),
    _verify("limits-redis", "limits on every key, in Redis", keys=Keys(limited=100), place="sqlite-redis"),
    _verify("changes", "while keys are created and revoked", long=True, changes=True),
    _verify("key", '`{"key"}` only', script="verify_key_only", keys=Keys(networks=0)),
    _verify("httpx", "through httpx", script="httpx", single=False),
    _verify("fetch", "through fetch (undici)", script="fetch", single=False),
    _verify("net-http", "through Go's net/http", script="net-http", single=False),
    Case(
        name="batch", title="batch of 100, varied", script="batch", options={"ADDRESSES": "new"}, warm=True,
        single=False,
    ),
    Case(name="forward-auth", title="forward auth, varied", script="forward_auth", warm=True, long=True),
    Case(name="create", title="create", script="create", references=(NGINX,), connections=(64, 1)),
    Case(name="create-options", title="create with all options", script="create_options", references=(NGINX,)),
    Case(
        name="create-postgresql", title="create, PostgreSQL", script="create", references=(NGINX,),
        place="postgresql",
    ),
    Case(name="read", title="read one key", script="read", references=(NGINX,)),
    Case(name="list", title="list 20 keys", script="list", references=(NGINX,)),
    Case(name="forward-auth-repeated", title="forward auth, repeated", script="forward_auth_repeated", warm=True),
    Case(name="verify-repeated", title="verify, repeated (best case)", script="verify_repeated", warm=True),
    Case(name="revocation", title="Revocation delay"),
    Case(name="store", title="Creations and the disk"),
    Case(name="in-process", title="The in-process verifier"),
    Case(name="start", title="Start and memory of the service"),
    Case(name="neighbours", title="A neighbour under attack"),
    Case(name="fleet", title="A fleet of verifiers"),
    Case(name="regions", title="Far regions"),
    Case(name="console", title="The console and the element"),
    Case(name="peers", title="Peers"),
)  # fmt: skip
