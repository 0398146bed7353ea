"""
Scopes: what a key may do, as `resource:action`, each part a word or `*` for any.

    reports:read      reads reports
    reports:*         does anything with reports
    *:read            reads anything
    *:*               does anything

A word has 1 to 63 letters, digits, dots, underscores and hyphens, and begins with a letter or digit. Case counts.
"""

import re
from collections.abc import Collection, Iterable
from functools import lru_cache

MOST_SCOPES = 100

_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
PATTERN = rf"^({_WORD}|\*):({_WORD}|\*)$"
_SCOPE = re.compile(PATTERN[1:-1])


def is_scope(text: str) -> bool:
    """Tell whether *text* is of the grammar."""
    return _SCOPE.fullmatch(text) is not None


def missing(granted: tuple[str, ...], required: Iterable[str]) -> list[str]:
    """
    Name what is wanted and not granted, in the order it is wanted.

    A wanted `*` is a wish for everything, which only a granted `*` in that place fulfils. A wish that is not of the
    grammar is never granted.
    """
    return [scope for scope in required if not _grants(granted, scope)]


# A list may be long, and each may be another one: few are kept.
@lru_cache(maxsize=2048)
def are_granted(granted: tuple[str, ...], required: tuple[str, ...]) -> bool:
    """Tell whether nothing of *wanted* is `missing`."""
    return not missing(granted, required)


def is_of(catalogue: Collection[str], scope: str) -> bool:
    """Tell whether a catalogue, which holds no wildcards, has a scope; a wildcard when it grants one that it has."""
    return scope in catalogue or ("*" in scope and any(scope in _granting_scopes(entry) for entry in catalogue))


@lru_cache(maxsize=16_384)
def _grants(granted: tuple[str, ...], required: str) -> bool:
    return is_scope(required) and not _granting_scopes(required).isdisjoint(granted)


def _granting_scopes(required: str) -> set[str]:
    """Give the scopes that each grant what is wanted."""
    resource, _, action = required.partition(":")
    return {required, f"{resource}:*", f"*:{action}", "*:*"}
