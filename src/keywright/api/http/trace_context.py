"""
The trace of a request: `traceparent` (W3C Trace Context, level 1).

Its trace id goes into the log lines of the request and nowhere else. Anybody can send any trace id, so nothing is
decided by it, and a malformed header counts as none.
"""

import re
from collections.abc import Iterable

_TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_LONGEST = 512


def trace_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """
    Give the trace id of a request: 32 hexadecimal digits.

    Args:
        headers: All headers, names in lower case.

    Returns:
        None without a valid header, or with more than one.
    """
    values = [value for name, value in headers if name == b"traceparent"]
    if len(values) != 1 or len(values[0]) > _LONGEST:
        return None
    match = _TRACEPARENT.fullmatch(values[0])
    # Version 00 has four parts; a later version may have more.
    if match is None or (match[1] == b"00" and match[3] is not None):
        return None
    return match[2].decode()


def traced(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Give the trace id as a field of a log line; no field without one."""
    trace_id = trace_id_of(headers)
    return {} if trace_id is None else {"trace_id": trace_id}
