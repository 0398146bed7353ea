"""The fair queue: whose item is next, and what is refused."""

from collections import Counter
from collections.abc import Iterable

import pytest

from keywright.service.fair_queue import FairQueue


def filled(items: Iterable[str], *, longest: int = 100, longest_of_share: int = 100) -> FairQueue[str]:
    """Give a queue of items, each of the share with its first letter."""
    queue: FairQueue[str] = FairQueue(longest=longest, longest_of_share=longest_of_share)
    for item in items:
        assert queue.push(item[0], item)
    return queue


def emptied(queue: FairQueue[str]) -> list[str]:
    """Take every item out, in turn."""
    taken = []
    while queue.ready:
        taken.append(queue.pop())
    return taken


def test_a_lone_share_is_first_in_first_out() -> None:
    """Items of one share come in the order in which they went in."""
    assert emptied(filled(["a1", "a2", "a3"])) == ["a1", "a2", "a3"]


def test_shares_take_turns() -> None:
    """One item of every share comes before a second one of any, however many wait."""
    queue = filled(["a1", "a2", "a3", "a4", "b1", "b2", "c1"])
    assert queue.turn == "a"
    assert emptied(queue) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]
    assert len(queue) == 0


def test_a_late_share_waits_for_one_item() -> None:
    """The first item of a share passes all but the next item of a share that was there before."""
    queue = filled([f"a{number}" for number in range(50)])
    assert queue.pop() == "a0"
    assert queue.push("b", "b0")
    assert [queue.pop(), queue.pop()] == ["a1", "b0"]


def test_a_full_share() -> None:
    """An item above the bound of its share is refused, and taken once there is room; other shares are not concerned."""
    queue = filled(["a1", "a2", "a3"], longest_of_share=3)
    assert not queue.push("a", "a4")
    assert queue.push("b", "b1")
    queue.pop()
    assert queue.push("a", "a4")


def test_a_full_queue() -> None:
    """Without a free place every share is refused."""
    queue = filled("abc", longest=3)
    assert not queue.push("d", "d")
    queue.pop()
    assert queue.push("d", "d")


@pytest.mark.parametrize("greedy", [1, 4, 10])
def test_places_are_left_for_the_next_share(greedy: int) -> None:
    """Whatever a few shares send, the next one finds places at once, and soon as many as each of them has."""
    queue: FairQueue[str] = FairQueue(longest=4096, longest_of_share=1024)
    waiting: Counter[str] = Counter()

    def fill(share: str) -> None:
        while queue.push(share, f"{share} {numbers[share]}"):
            numbers[share] += 1
            waiting[share] += 1

    numbers: Counter[str] = Counter()
    shares = [f"greedy {number}" for number in range(greedy)]
    for share in shares:
        fill(share)
    assert queue.push("next", "next first")
    waiting["next"] += 1
    for _ in range(8 * 4096):
        waiting[queue.pop().rpartition(" ")[0]] -= 1
        for share in [*shares, "next"]:
            fill(share)
    assert waiting["next"] >= min(1024, 4096 // (greedy + 2)) - 1
    assert max(waiting.values()) - waiting["next"] <= 1
    assert len(queue) < 4096


def test_a_held_share_is_passed_over() -> None:
    """A share that is held keeps its items in order, takes more within its bound, and comes last after `resume`."""
    queue = filled(["a1", "b1"], longest_of_share=3)
    queue.hold("a")
    assert queue.push("a", "a2")
    assert queue.push("a", "a3")
    assert not queue.push("a", "a4")
    assert emptied(queue) == ["b1"]
    assert len(queue) == 3
    queue.resume("a")
    assert queue.push("c", "c1")
    assert emptied(queue) == ["a1", "c1", "a2", "a3"]


def test_nothing_to_hold() -> None:
    """A share without items is neither held nor resumed."""
    queue = filled([])
    queue.hold("a")
    queue.resume("a")
    assert queue.push("a", "a1")
    assert emptied(queue) == ["a1"]


@pytest.mark.parametrize("held", [False, True])
def test_an_item_leaves(held: bool) -> None:
    """An item that is taken out is not given, and leaves its place; one that does not wait changes nothing."""
    queue = filled(["a1", "a2"], longest_of_share=2)
    if held:
        queue.hold("a")
    queue.remove("a", "a1")
    queue.remove("a", "a1")
    queue.remove("b", "b1")
    assert len(queue) == 1
    queue.remove("a", "a2")
    assert (len(queue), queue.ready) == (0, False)
    assert queue.push("a", "a3")
    assert emptied(queue) == ["a3"]
