"""A dict of bounded size, for what is made anew where it is missing."""

from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedDict(dict[Key, Value]):
    """
    A dict of at most *most* entries; a new entry beyond it takes the place of all others.

    A read costs what it costs in a dict, and changes nothing. Keys in use are soon there again.

    Args:
        most: The number of entries, at least 1.
    """

    __slots__ = ("_most",)

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def keep(self, key: Key, value: Value) -> Value:
        """Add an entry, and give its value."""
        if len(self) >= self._most:
            self.clear()
        self[key] = value
        return value
