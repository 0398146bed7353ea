"""The table of cases: what is measured, in the order of the report."""

from dataclasses import dataclass

NGINX, ASGI, NODE = "nginx", "bare ASGI", "Node"
ALL = (NGINX, ASGI, NODE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """
    One case.

    Args:
        name: What `--only` calls it.
        title: What the report calls it.
        script: The script of bench/traffic that sends its requests; a case without one has a module that measures it.
        references: What is sent the same requests in the same rounds.
        connections: How many requests are under way at a time; a table row for each.
        engine: Which database the keys are in.
        unbound: Whether the keys are bound to no network.
        warm: Whether the service has seen every key before.
        fresh: Whether the service is started anew before every round.
        single: Whether a request is small and alone, so that nginx's p99 tells a busy machine.
    """

    name: str
    title: str
    script: str = ""
    references: tuple[str, ...] = ALL
    connections: tuple[int, ...] = (64,)
    engine: str = "sqlite"
    unbound: bool = False
    warm: bool = False
    fresh: bool = False
    single: bool = True


CASES = (
    Case(name="verify", title="verify, varied", script="verify", connections=(64, 1), warm=True),
    Case(name="verify-addresses", title="verify, another address each", script="verify_addresses", warm=True),
    Case(name="verify-key", title='verify, `{"key"}` only', script="verify_key_only", unbound=True, warm=True),
    Case(name="first-sight", title="verify, first sight of a key", script="first_sight", fresh=True),
    Case(name="batch", title="batch of 100, varied", script="batch", warm=True, single=False),
    Case(name="forward-auth", title="forward auth, varied", script="forward_auth", warm=True),
    Case(name="create", title="create", script="create", references=(NGINX,), connections=(64, 1)),
    Case(name="create-options", title="create with all options", script="create_options", references=(NGINX,)),
    Case(
        name="create-postgresql", title="create, PostgreSQL", script="create", references=(NGINX,),
        engine="postgresql",
    ),
    Case(name="read", title="read one key", script="read", references=(NGINX,)),
    Case(name="list", title="list 20 keys", script="list", references=(NGINX,)),
    Case(name="forward-auth-repeated", title="forward auth, repeated", script="forward_auth_repeated", warm=True),
    Case(name="verify-repeated", title="verify, repeated", script="verify_repeated", warm=True),
    Case(name="revocation", title="Revocation delay"),
    Case(name="store", title="Creations and the disk"),
    Case(name="in-process", title="The in-process verifier"),
    Case(name="start", title="Start and memory of the service"),
    Case(name="neighbours", title="A neighbour under attack"),
    Case(name="peers", title="Peers"),
)  # fmt: skip
