"""What a schema cannot say of good requests, for schemathesis: loaded by its own process, see `test_openapi.py`."""

import re
from datetime import UTC, datetime
from itertools import count
from typing import Any

import schemathesis
from hypothesis import strategies as st

_LATER = st.datetimes(datetime(2100, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
_NUMBERS = count()
_SHOWN = {"name", "description", "external_id", "q", "subject"}
_BEYOND_THE_PATTERN = re.compile(
    "[\u180b-\u180f\u200c\u200d\ufe00-\ufe0f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

schemathesis.openapi.format("date-time", _LATER.map(datetime.isoformat))
schemathesis.openapi.format("ip-network", st.ip_addresses().map(str))


@schemathesis.hook
def before_call(_context: Any, case: Any, _arguments: dict[str, Any]) -> None:
    """
    Make a request mean what the document's sentences ask for.

    An idempotency key is fresh for every request, and whoever uses one again is right to be refused. A key expires in
    the future, and moments that were read in an earlier answer are past. No two limits of a key have the same name.
    """
    key = (case.headers or {}).get("Idempotency-Key")
    if key is not None and re.fullmatch("[!-~]{22,255}", key):
        case.headers["Idempotency-Key"] = f"{key[:-8]}{next(_NUMBERS):08}"
    if isinstance(case.body, dict) and str(case.body.get("expires_at")).startswith("20"):
        case.body["expires_at"] = "2100-01-01T00:00:00Z"
    if isinstance(case.body, dict):
        _name_apart(case.body.get("rate_limits"))
    for texts in (case.body, case.query):
        if isinstance(texts, dict):
            texts.update({name: _visible(texts[name]) for name in _SHOWN & texts.keys()})


def _visible(text: Any) -> Any:
    """Put a visible character in the place of those whose place decides, or that the pattern cannot name."""
    return _BEYOND_THE_PATTERN.sub("x", text) if isinstance(text, str) else text


def _name_apart(limits: Any) -> None:
    """Give limits other names where they have one that was there before."""
    seen: list[Any] = []
    for number, limit in enumerate(limits if isinstance(limits, list) else []):
        if isinstance(limit, dict) and isinstance(limit.get("name"), str):
            if limit["name"] in seen:
                limit["name"] = f"another-{number}"
            seen.append(limit["name"])
