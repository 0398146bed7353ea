"""The dict of bounded size."""

from keywright.keys.bounded import BoundedDict


def test_it_is_bounded() -> None:
    """A new entry beyond the bound takes the place of all others; a known one costs nothing."""
    found: BoundedDict[int, str] = BoundedDict(3)
    for number in range(3):
        assert found.keep(number, str(number)) == str(number)
    assert found == {0: "0", 1: "1", 2: "2"}
    assert found.keep(3, "3") == "3"
    assert found == {3: "3"}
    assert found.get(0) is None
