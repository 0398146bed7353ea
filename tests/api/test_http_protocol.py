"""What is built on uvicorn's own protocol class still fits the uvicorn that is installed."""

import inspect
from importlib.metadata import version

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import Server

from keywright.api.server.counted import CountedConnection
from keywright.api.server.protocol import BoundedHttpProtocol, FastPathProtocol

OVERRIDDEN = {
    "connection_made": ["self", "transport"],
    "connection_lost": ["self", "exc"],
    "data_received": ["self", "data"],
    "on_message_begin": ["self"],
    "on_headers_complete": ["self"],
    "on_body": ["self", "body"],
    "on_message_complete": ["self"],
    "on_response_complete": ["self"],
    "pause_writing": ["self"],
    "resume_writing": ["self"],
    "_start_asgi_task": ["self", "cycle", "app"],
    "shutdown": ["self"],
    "timeout_keep_alive_handler": ["self"],
}
PROTOCOL = inspect.getsource(HttpToolsProtocol)
CYCLE = inspect.getsource(RequestResponseCycle)


def test_what_is_overridden_is_still_there() -> None:
    """Every method that is overridden exists in uvicorn with the same parameters; if not, read its changes first."""
    classes = (CountedConnection, BoundedHttpProtocol, FastPathProtocol)
    ours = {name for kind in classes for name, value in vars(kind).items() if inspect.isfunction(value)}
    assert {name for name in ours if hasattr(HttpToolsProtocol, name)} == OVERRIDDEN.keys()
    for name, parameters in OVERRIDDEN.items():
        assert list(inspect.signature(getattr(HttpToolsProtocol, name)).parameters) == parameters


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (PROTOCOL, "self.transport = transport"),
        (PROTOCOL, "self.flow = FlowControl(transport)"),
        (PROTOCOL, "self.loop = _loop"),
        (PROTOCOL, "self.parser = httptools.HttpRequestParser(self)"),
        (PROTOCOL, "self.url += url"),
        # Trailers are kept from the application by giving this list to it and putting another in its place.
        (PROTOCOL, '"headers": self.headers,'),
        (PROTOCOL, "self.headers.append((name, value))"),
        (PROTOCOL, "name = name.lower()"),
        (PROTOCOL, "self.expect_100_continue = True"),
        (PROTOCOL, "self.cycle: RequestResponseCycle = None"),
        (PROTOCOL, "self.cycle = RequestResponseCycle("),
        (PROTOCOL, "on_response=self.on_response_complete"),
        # The newest of the requests that wait stands left, and is `self.cycle`.
        (PROTOCOL, "self.pipeline.appendleft((self.cycle, app))"),
        (PROTOCOL, "cycle, app = self.pipeline.pop()"),
        (PROTOCOL, "def _unset_keepalive_if_required(self) -> None:"),
        # What is answered without a cycle does for itself what a cycle and its end do.
        (PROTOCOL, "self.app = config.loaded_app"),
        (PROTOCOL, "self.access_log = self.access_logger.hasHandlers()"),
        (PROTOCOL, "self.limit_concurrency = config.limit_concurrency"),
        (PROTOCOL, "self.server_state.total_requests += 1"),
        (PROTOCOL, "self.timeout_keep_alive_task = self.loop.call_later("),
        (PROTOCOL, "self.timeout_keep_alive, self.timeout_keep_alive_handler"),
        (PROTOCOL, "default_headers=self.server_state.default_headers,"),
        (CYCLE, "if self.flow.write_paused and not self.disconnected:"),
        (CYCLE, "headers = self.default_headers + list(message.get("),
        (CYCLE, 'content.extend([name, b": ", value, b"\\r\\n"])'),
        # Replaced by another one, never changed in place: answers that are ready know it by its identity.
        (inspect.getsource(Server), "self.server_state.default_headers = date_header + self.config.encoded_headers"),
        (CYCLE, "self.response_started = True"),
        # The end of an answer is told behind its last byte, and whatever is written then comes after it.
        (CYCLE, "self.transport.close()\n                self.on_response()"),
        (CYCLE, "self.response_complete = True"),
        (CYCLE, "if self.disconnected:\n            return"),
        (CYCLE, "if not self.keep_alive:\n                    self.transport.close()"),
        (inspect.getsource(FlowControl), "self.read_paused = True"),
    ],
)
def test_what_is_relied_on_is_still_there(source: str, text: str) -> None:
    """The attributes of uvicorn's that are read or set mean what they meant."""
    assert text in source


def test_what_is_replaced_does_no_more() -> None:
    """The one method that is replaced whole does what its replacement does, and nothing besides."""
    lines = inspect.getsource(HttpToolsProtocol.data_received).splitlines()
    assert [line.strip() for line in lines[1:] if line.strip()] == [
        "self._unset_keepalive_if_required()",
        "try:",
        "self.parser.feed_data(data)",
        "except httptools.HttpParserError:",
        'msg = "Invalid HTTP request received."',
        "self.logger.warning(msg)",
        "self.send_400_response(msg)",
        "return",
        "except httptools.HttpParserUpgrade:",
        "if self._should_upgrade():",
        "self.handle_websocket_upgrade()",
        "else:",
        "self._unsupported_upgrade_warning()",
    ]


def test_the_end_of_an_answer_does_no_more() -> None:
    """What uvicorn does when an answer is complete is what is done for an answer at once, and nothing besides."""
    lines = inspect.getsource(HttpToolsProtocol.on_response_complete).splitlines()
    done = [line.strip() for line in lines[1:] if line.strip() and not line.strip().startswith("#")]
    assert done == [
        "self.server_state.total_requests += 1",
        "if self.transport.is_closing():",
        "return",
        "self._unset_keepalive_if_required()",
        "self.flow.resume_reading()",
        "if self.pipeline:",
        "cycle, app = self.pipeline.pop()",
        "self._start_asgi_task(cycle, app)",
        "else:",
        "self.timeout_keep_alive_task = self.loop.call_later(",
        "self.timeout_keep_alive, self.timeout_keep_alive_handler",
        ")",
    ]


@pytest.mark.parametrize(
    ("method", "line"),
    [("pause_writing", "self.flow.pause_writing()"), ("resume_writing", "self.flow.resume_writing()")],
)
def test_a_slow_client_pauses_its_own_answers(method: str, line: str) -> None:
    """What uvicorn does while a client does not read is to let the writers of its connection wait."""
    assert line in inspect.getsource(getattr(HttpToolsProtocol, method))


def test_nothing_else_answers() -> None:
    """Outside of a request's own cycle uvicorn writes only what its replaced method would have it write."""
    # One of them is send_400_response, the others belong to a cycle.
    assert (PROTOCOL + CYCLE).count("self.transport.write(") == 5
    assert STATUS_LINE[431].startswith(b"HTTP/1.1 431 ")
    assert STATUS_LINE[200] == b"HTTP/1.1 200 OK\r\n"


def test_the_version_is_one_that_was_read() -> None:
    """The installed uvicorn is of the range that pyproject.toml pins."""
    assert version("uvicorn").startswith("0.54.")
