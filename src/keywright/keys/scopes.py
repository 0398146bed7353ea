"""
Scopes: what a key may do, as `resource:action`. Each part is a word, or `*` for any word.

    reports:read      reads reports
    reports:*         does anything with reports
    *:read            reads anything
    *:*               does anything

A word has 1 to 63 letters, digits, dots, underscores and hyphens, and begins with a letter or digit. Case counts.
"""

import re
from collections.abc import Collection, Iterable

MOST_SCOPES = 100

_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
PATTERN = rf"^({_WORD}|\*):({_WORD}|\*)$"

is_scope = re.compile(PATTERN[1:-1]).fullmatch
"""Gives a match where a text is of the grammar, and None where it is not."""


def missing(granted: tuple[str, ...], required: Iterable[str]) -> list[str]:
    """
    List the required scopes that are not granted, in the order of *required*.

    A required `*` is granted only by a `*` in the same part. Text that is no scope is never granted: *granted* contains
    scopes only.
    """
    return [scope for scope in required if scope not in granted and not _grants(granted, scope)]


def are_granted(granted: tuple[str, ...], required: Iterable[str]) -> bool:
    """Tell whether no scope of *required* is `missing`."""
    for scope in required:  # noqa: SIM110 - a generator would take twice as long
        if scope not in granted and not _grants(granted, scope):
            return False
    return True


def is_of(catalogue: Collection[str], scope: str) -> bool:
    """Tell whether *scope* is in a catalogue, which has no wildcards, or is a wildcard that grants one of it."""
    return scope in catalogue or ("*" in scope and any(scope in _granting_scopes(entry) for entry in catalogue))


def _grants(granted: tuple[str, ...], required: str) -> bool:
    return not _granting_scopes(required).isdisjoint(granted)


def _granting_scopes(required: str) -> frozenset[str]:
    """Give all scopes that grant *required*; none for text that is no scope."""
    if is_scope(required) is None:
        return frozenset()
    resource, _, action = required.partition(":")
    return frozenset((required, f"{resource}:*", f"*:{action}", "*:*"))
