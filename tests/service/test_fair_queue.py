"""The fair queue: whose item is next, and what is refused."""

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


@pytest.mark.parametrize(("longest", "longest_of_share"), [(100, 3), (3, 100)])
def test_a_full_queue(longest: int, longest_of_share: int) -> None:
    """An item above the bound of its share, or of all, is refused, and taken once there is room."""
    queue = filled(["a1", "a2", "a3"], longest=longest, longest_of_share=longest_of_share)
    assert not queue.push("a", "a4")
    assert queue.push("b", "b1") is (longest > 3)
    queue.pop()
    assert queue.push("a", "a4")


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
    queue = filled(["a1", "a2"], longest=2)
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
