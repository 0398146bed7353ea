"""`python -m tests.simulation 12345` or `0-999999`: runs seeds, and explains the first that breaks a promise."""

import sys
import time

from tests.simulation.searching import explanation, search

_STEP = 1000


def main(seeds: str) -> int:
    """Run seeds, written as one or as a range; give the exit code."""
    first, _, last = seeds.partition("-")
    numbers = range(int(first), int(last or first) + 1)
    began = time.process_time()
    for start in range(0, len(numbers), _STEP):
        found = search(numbers[start : start + _STEP])
        if found is not None:
            print(explanation(found))
            return 1
        done = min(start + _STEP, len(numbers))
        spent = (time.process_time() - began) / done * 1000
        print(f"{done} of {len(numbers)} schedules, {spent:.2f} ms each, nothing broken", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
