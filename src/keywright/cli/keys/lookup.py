"""Finds the key that a command names: by its id, the id's beginning, its name, its display, or its public key."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING
from uuid import UUID

from keywright.cli import exits
from keywright.cli.tables import printable

if TYPE_CHECKING:
    from keywright.client import ManagementClient
    from keywright.contract import ApiKeyResponse

SHORTEST_ID = 4
"""The least number of characters of an id's beginning; fewer are taken as a name only."""

MOST_CANDIDATES = 10

_PAGE_SIZE = 1000
_ID_BEGINNING = re.compile(rf"[0-9a-f-]{{{SHORTEST_ID},36}}", re.IGNORECASE)
# The display of a private key has its first and last characters, and a narrow list the last ones; the service searches
# for those.
_DISPLAY = re.compile(r"(.*)(?:\.\.\.|…)(.+)")


def id_of(client: "ManagementClient", text: str) -> UUID:
    """
    Return the id of the key that *text* names.

    An id is returned as it is, without a request, so that it also names a deleted key. If no key or more than one
    matches, the command ends; the error lists the keys that match.
    """
    try:
        return UUID(text)
    except ValueError:
        pass
    found = list(islice(_matching(client, text), MOST_CANDIDATES + 1))
    if len(found) != 1:
        exits.stop("\n".join(_candidates(text, found)) if found else _absence(text), exits.FAILED)
    return found[0].id


def _matching(client: "ManagementClient", text: str) -> Iterator["ApiKeyResponse"]:
    display = _DISPLAY.fullmatch(text)
    keys = client.iterate(page_size=_PAGE_SIZE, q=display[2] if display else text)
    named = [key for key in keys if text in (key.name, key.public_key) or (display and _is_of(key, *display.groups()))]
    yield from named
    if _ID_BEGINNING.fullmatch(text):
        known = {key.id for key in named}
        beginning = text.replace("-", "").lower()
        yield from (key for key in _beginning_with(client, beginning) if key.id not in known)


def _beginning_with(client: "ManagementClient", beginning: str) -> Iterator["ApiKeyResponse"]:
    """Yield the keys whose ids begin so; newest first is the order of ids, so the search ends below them."""
    for key in client.iterate(page_size=_PAGE_SIZE):
        if key.id.hex.startswith(beginning):
            yield key
        elif key.id.hex < beginning:
            return


def _is_of(key: "ApiKeyResponse", beginning: str, end: str) -> bool:
    return key.private_key_display.startswith(beginning) and key.private_key_display.endswith(end)


def _absence(text: str) -> str:
    return f"There is no key whose id, name, display or public key is {printable(text)}; see `keywright keys list`."


def _candidates(text: str, found: list["ApiKeyResponse"]) -> Iterator[str]:
    yield f"More than one key matches {printable(text)}; give the id of one:"
    for key in found[:MOST_CANDIDATES]:
        yield f"  {key.id}  {key.private_key_display}  {key.status.value}  {printable(key.name)}"
    if len(found) > MOST_CANDIDATES:
        yield "  and others"
