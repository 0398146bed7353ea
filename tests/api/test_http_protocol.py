"""What is built on uvicorn's own protocol class still fits the uvicorn that is installed."""

import inspect
from importlib.metadata import version

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from keywright.api.http_protocol import BoundedHttpProtocol

OVERRIDDEN = {
    "data_received": ["self", "data"],
    "on_message_begin": ["self"],
    "on_url": ["self", "url"],
    "on_header": ["self", "name", "value"],
    "on_headers_complete": ["self"],
    "on_body": ["self", "body"],
    "on_message_complete": ["self"],
    "send_400_response": ["self", "msg"],
}


def test_what_is_overridden_is_still_there() -> None:
    """Every method that is overridden exists in uvicorn with the same parameters; if not, read its changes first."""
    ours = {name for name, value in vars(BoundedHttpProtocol).items() if inspect.isfunction(value)}
    assert {name for name in ours if hasattr(HttpToolsProtocol, name)} == OVERRIDDEN.keys()
    for name, parameters in OVERRIDDEN.items():
        assert list(inspect.signature(getattr(HttpToolsProtocol, name)).parameters) == parameters


def test_what_is_read_is_still_there() -> None:
    """The attributes of uvicorn's that are read are still written by it."""
    source = inspect.getsource(HttpToolsProtocol) + inspect.getsource(RequestResponseCycle)
    for attribute in ("self.transport", "self.cycle", "self.response_complete = True"):
        assert attribute in source
    assert STATUS_LINE[431].startswith(b"HTTP/1.1 431 ")
    # One of them is send_400_response, the others belong to a cycle: nothing else answers outside of one.
    assert source.count("self.transport.write(") == 5


def test_the_version_is_one_that_was_read() -> None:
    """The installed uvicorn is of the range that pyproject.toml pins."""
    assert version("uvicorn").startswith("0.54.")
