"""`python -m tests.simulation.table`: takes each guard out, and prints how many seeds it takes to break a promise."""

from tests.simulation.guards import GUARDS
from tests.simulation.searching import search
from tests.simulation.test_guards import MOST_SEEDS


def main() -> None:
    """Print the table."""
    for name, guard in GUARDS.items():
        with guard.out():
            found = None if guard.covered_by else search(range(MOST_SEEDS))
        needed = guard.covered_by if found is None else f"{found.seed + 1} seeds: {found.broken.rule}"
        print(f"{name:55} {needed}", flush=True)


if __name__ == "__main__":
    main()
