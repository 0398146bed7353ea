"""
How a use of a key is described: enough for a person to recognise the place, too little to follow a person around.

Shared by the service and the in-process verifier, so that one place has one description.
"""

import re
from functools import lru_cache

_FAMILY = re.compile(r"[A-Za-z][A-Za-z0-9._+-]{0,31}")


@lru_cache(maxsize=4096)
def agent_family(user_agent: str | None) -> str | None:
    """
    Give the family of a user agent: the name of its first product, such as `python-httpx` of `python-httpx/0.28.1`.

    Args:
        user_agent: Anything at all, from anyone.

    Returns:
        At most 32 letters, digits, dots, underscores, pluses and hyphens; None where there is no such name.
    """
    match = _FAMILY.match((user_agent or "").strip())
    return None if match is None else match[0]
