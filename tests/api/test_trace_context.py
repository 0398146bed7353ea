"""`traceparent`: the trace id goes to the log where the header is valid, and the header does nothing else."""

import pytest

from keywright.api.http.access_log import trace_id_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


def read(*values: str) -> str | None:
    return trace_id_of([(b"host", b"x"), *((b"traceparent", value.encode("latin-1")) for value in values)])


@pytest.mark.parametrize(
    "value", [GOOD, f"00-{TRACE}-{SPAN}-00", f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-more"]
)
def test_valid(value: str) -> None:
    """A header of this or a later version gives its trace id."""
    assert read(value) == TRACE


@pytest.mark.parametrize(
    "value",
    [
        "",
        TRACE,
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"{GOOD}-more",
        f"01-{TRACE}-{SPAN}-01more",
        f"{GOOD} ",
        f"{GOOD}\n",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01-{'x' * 1000}",
    ],
)
def test_malformed(value: str) -> None:
    """Any other text is as good as no header."""
    assert read(value) is None


def test_none_and_two() -> None:
    """Without a header there is no trace, and with two of them neither counts."""
    assert read() is None
    assert read(GOOD, GOOD) is None
