"""One seed for all that a run of the tests leaves to chance; a failure prints it with a command that repeats it."""

import os
import random
import secrets

VARIABLE = "TEST_SEED"


def seed_of_run() -> str:
    """Give the seed of this run; processes that the tests start inherit it."""
    return os.environ.setdefault(VARIABLE, str(secrets.randbelow(2**32)))


def begin(name: str) -> None:
    """Let `random` begin at the seed of this run, in another place for each *name*."""
    random.seed(f"{seed_of_run()} {name}")


def again(test: str) -> str:
    """Write the command that runs *test*, a node id of pytest, as it was run."""
    return f"{VARIABLE}={seed_of_run()} make test ARGS=\"-n0 '{test}'\""
