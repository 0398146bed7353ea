"""
`keywright healthcheck`: asks the service or the agent of the same environment whether it is well.

Container engines run it every few seconds, so nothing here imports the settings: the few that it needs are read from
the environment, and a test compares their defaults.
"""

import os
import socket
import time
from collections.abc import Mapping

from keywright.cli import exits
from keywright.cli.server import listening

SECONDS = 3.0
"""The most seconds until an answer; Docker and Kubernetes give up later by default, or are told so."""
DEFAULTS = {"KEYWRIGHT_HOST": "127.0.0.1", "KEYWRIGHT_PORT": "8080", "KEYWRIGHT_AGENT_LISTEN": "127.0.0.1:8089"}

_UNIX = "unix:"
_MOST_BYTES = 16 * 1024
_NOT_SET = (
    "KEYWRIGHT_AUDIENCE and KEYWRIGHT_VERIFIER are not set, so this is the environment of neither a service nor an "
    "agent; say where to ask with --at."
)


class Unwell(Exception):
    """The process does not say that it is well; the message is a sentence with the cause."""


def run(at: str | None = None, *, ready: bool = False) -> None:
    """
    Ask, print the answer, and end the command: with 0 for the status 200, with 1 in every other case.

    Args:
        at: `host:port` or `unix:` and a path; None for the address in the environment.
        ready: Ask `/readyz` instead of `/livez`.
    """
    environment = {name.upper(): value for name, value in os.environ.items()}
    # Never 2: Docker reserves that code in health checks.
    with exits.ending_on(Unwell, code=exits.FAILED):
        address = address_in(environment) if at is None else at
        has_tls = bool(environment.get("KEYWRIGHT_TLS_CERTIFICATE"))
        print(ask(address, "/readyz" if ready else "/livez", has_tls=has_tls))


def address_in(environment: Mapping[str, str]) -> str:
    """
    Find where the process of this environment listens: the service, unless the settings are those of an agent.

    Args:
        environment: Variables by their names in upper case.

    Raises:
        Unwell: These are the settings of neither.
    """

    def setting(name: str) -> str:
        return environment.get(name) or DEFAULTS[name]

    if environment.get("KEYWRIGHT_AUDIENCE"):
        host, port = setting("KEYWRIGHT_HOST"), setting("KEYWRIGHT_PORT")
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if environment.get("KEYWRIGHT_VERIFIER") or environment.get("KEYWRIGHT_VERIFIER_FILE"):
        return setting("KEYWRIGHT_AGENT_LISTEN")
    raise Unwell(_NOT_SET)


def ask(address: str, path: str, *, has_tls: bool, seconds: float = SECONDS) -> str:
    """
    Send a request, and return the body of an answer with the status 200.

    Args:
        address: `host:port`, where a host that stands for all addresses means loopback, or `unix:` and a path.
        path: What to ask for.
        has_tls: Whether the port speaks TLS.
        seconds: The most until the whole answer is there.

    Raises:
        Unwell: There is no answer in time, or another status.
    """
    deadline = time.monotonic() + seconds
    try:
        with _connect(address, deadline, has_tls=has_tls) as connection:
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            connection.settimeout(_left(deadline))
            connection.sendall(request.encode("ascii"))
            answer = _read(connection, deadline)
    except TimeoutError:
        raise Unwell(f"{address} does not answer within {seconds:g} seconds.") from None
    except (OSError, ValueError) as error:
        raise Unwell(f"{address} cannot be asked: {listening.reason(error)}.") from None
    head, _, body = answer.partition(b"\r\n\r\n")
    version, _, status = head.partition(b"\r\n")[0].partition(b" ")
    if not version.startswith(b"HTTP/1."):
        raise Unwell(f"{address} does not answer in HTTP.")
    text = body.decode("utf-8", "replace").strip()
    if not status.startswith(b"200 "):
        raise Unwell(f"{address}{path} answers {status.decode('latin-1').strip()}: {text}")
    return text


def _connect(address: str, deadline: float, *, has_tls: bool) -> socket.socket:
    if address.startswith(_UNIX):
        return _connect_unix(address.removeprefix(_UNIX), deadline)
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= listening.MAX_PORT:
        raise ValueError("it must be host:port with a port that is not 0, or unix: and a path")
    host, number = listening.split(address)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = socket.create_connection((host, number), _left(deadline))
    return _with_tls(connection, deadline) if has_tls else connection


def _connect_unix(path: str, deadline: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_left(deadline))
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _with_tls(connection: socket.socket, deadline: float) -> socket.socket:
    # Most checks are without it, and its import takes longer than a check.
    import ssl

    # The certificate is for the name of the service and not for loopback. Nothing is sent that anybody may not read.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection.settimeout(_left(deadline))
    try:
        return context.wrap_socket(connection)
    except ssl.SSLError as error:
        # Its number is one of OpenSSL's, which `listening.reason` would take for one of the system.
        raise ValueError(f"TLS fails: {error.reason}") from None


def _read(connection: socket.socket, deadline: float) -> bytes:
    """Read until the other side closes, for no longer than the deadline."""
    answer = b""
    while len(answer) < _MOST_BYTES:
        connection.settimeout(_left(deadline))
        received = connection.recv(_MOST_BYTES)
        if not received:
            break
        answer += received
    return answer


def _left(deadline: float) -> float:
    """Return the seconds that are left; none left is a timeout."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
