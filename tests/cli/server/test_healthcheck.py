"""`keywright healthcheck`: what it asks, what it takes for well, and how it ends."""

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from keywright.agent.settings import AgentSettings
from keywright.cli.server.healthcheck import DEFAULTS, Unwell, address_in, ask
from keywright.config import PREFIX, Settings
from keywright.dev.issuer import DevIssuer
from keywright.keys.pair import mint_credential
from tests.live import PATIENCE_SECONDS, clean_environment, environment, start_agent, start_service
from tests.ports import free_port

WELL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwell"


def check(env: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `keywright healthcheck` in an environment."""
    return subprocess.run(
        [sys.executable, "-m", "keywright", "healthcheck", *arguments],
        env=clean_environment(env),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


@contextmanager
def answering(answer: bytes, wrap: Callable[[socket.socket], socket.socket] = lambda plain: plain) -> Iterator[str]:
    """Listen on loopback, and give each connection one answer; none is silence."""
    kept: list[socket.socket] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                connection = wrap(connection)
                connection.recv(4096)
                connection.sendall(answer)
            except OSError:
                pass
            if answer:
                connection.close()
            else:
                kept.append(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE_SECONDS)
            for connection in kept:
                connection.close()


def test_a_service(issuer: DevIssuer, tmp_path: Path) -> None:
    """In the environment of a service the check asks that service, and its end is a fault."""
    port = str(free_port())
    settings = environment(issuer, port=port, database_url=f"sqlite:///{tmp_path}/keywright.db")
    with start_service(settings) as service:
        service.await_ready()
        for arguments in ([], ["--ready"], ["--at", f"127.0.0.1:{port}"]):
            done = check(settings, *arguments)
            assert (done.returncode, done.stderr) == (0, "")
            assert '"status":"ok"' in done.stdout
    done = check(settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"127.0.0.1:{port} cannot be asked: Connection refused.\n"


def test_an_agent_lives_before_it_is_ready(tmp_path: Path) -> None:
    """An agent whose service is away is alive and not ready; it is asked on its Unix socket."""
    settings = {
        "KEYWRIGHT_URL": f"http://127.0.0.1:{free_port()}",
        "KEYWRIGHT_VERIFIER": mint_credential(bytes(32), brand="kw").reveal(),
        "KEYWRIGHT_AGENT_LISTEN": f"unix:{tmp_path}/agent.sock",
    }
    with start_agent(settings):
        assert check(settings).returncode == 0
        done = check(settings, "--ready")
    assert done.returncode == 1
    assert done.stderr.startswith(f"unix:{tmp_path}/agent.sock/readyz answers 503 Service Unavailable: ")
    assert "not followed yet" in done.stderr


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"AUDIENCE": "a"}, "127.0.0.1:8080"),
        ({"AUDIENCE": "a", "HOST": "0.0.0.0", "PORT": "9000"}, "0.0.0.0:9000"),
        ({"AUDIENCE": "a", "HOST": "::"}, "[::]:8080"),
        ({"AUDIENCE": "a", "VERIFIER": "v"}, "127.0.0.1:8080"),
        ({"VERIFIER": "v"}, "127.0.0.1:8089"),
        ({"VERIFIER_FILE": "/run/secrets/verifier", "AGENT_LISTEN": "unix:/run/a.sock"}, "unix:/run/a.sock"),
    ],
)
def test_the_environment_says_where(given: dict[str, str], expected: str) -> None:
    """The address is the service's, unless the environment is an agent's."""
    assert address_in({f"{PREFIX}{name}": value for name, value in given.items()}) == expected


def test_defaults() -> None:
    """An address that is not set is the one that the settings have without it."""
    fields = {**Settings.model_fields, **AgentSettings.model_fields}
    assert {name: str(fields[name.removeprefix(PREFIX).lower()].default) for name in DEFAULTS} == dict(DEFAULTS)


def test_names_in_any_case(issuer: DevIssuer) -> None:
    """Names of settings may have any case, as for the service."""
    port = free_port()
    done = check({"keywright_audience": issuer.audience, "Keywright_Port": str(port)})
    assert done.stderr.startswith(f"127.0.0.1:{port} cannot be asked")


@pytest.mark.parametrize(
    ("env", "arguments", "sentence"),
    [
        ({}, [], "KEYWRIGHT_AUDIENCE and KEYWRIGHT_VERIFIER are not set"),
        ({"KEYWRIGHT_AUDIENCE": "a", "KEYWRIGHT_PORT": "0"}, [], "127.0.0.1:0 cannot be asked: it must be host:port"),
        ({"KEYWRIGHT_AUDIENCE": "a", "KEYWRIGHT_PORT": "http"}, [], "127.0.0.1:http cannot be asked: it must be"),
        ({}, ["--at", "8080"], "8080 cannot be asked: it must be host:port"),
        ({}, ["--at", "unix:/nowhere/agent.sock"], "unix:/nowhere/agent.sock cannot be asked: No such file"),
    ],
)
def test_what_cannot_be_asked(env: dict[str, str], arguments: list[str], sentence: str) -> None:
    """An address that is none ends with a sentence and the code 1; Docker keeps 2 for itself."""
    done = check(env, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(sentence)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_all_addresses_are_asked_on_loopback(host: str) -> None:
    """A server on all addresses of the machine is asked on loopback."""
    with answering(WELL) as address:
        assert ask(f"{host}:{address.partition(':')[2]}", "/livez", has_tls=False) == "well"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"", "does not answer within 0.2 seconds"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "does not answer in HTTP"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\nbusy", "/livez answers 503 Service Unavailable: busy"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "/livez answers 2000 OK"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 100_000, ""),
    ],
    ids=["silence", "another protocol", "another status", "no status", "endless"],
)
def test_what_is_not_well(answer: bytes, sentence: str) -> None:
    """Only the status 200 in HTTP is well, in time; an answer without an end is not read to its end."""
    with answering(answer) as address:
        if not sentence:
            assert ask(address, "/livez", has_tls=False) == ""
            return
        with pytest.raises(Unwell) as caught:
            ask(address, "/livez", has_tls=False, seconds=0.2 if not answer else PATIENCE_SECONDS)
    assert sentence in str(caught.value)


def test_tls(tmp_path: Path) -> None:
    """A server with TLS is asked with it, whatever name its certificate has; one without it is not well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("keys.acme.example").configure_cert(context)
    with answering(WELL, lambda plain: context.wrap_socket(plain, server_side=True)) as address:
        assert ask(address, "/livez", has_tls=True) == "well"
        done = check({"KEYWRIGHT_TLS_CERTIFICATE": "/etc/keywright/tls.pem"}, "--at", address)
        assert (done.returncode, done.stdout) == (0, "well\n")
    with answering(WELL) as address, pytest.raises(Unwell, match="cannot be asked: TLS fails"):
        ask(address, "/livez", has_tls=True)


def test_it_is_light() -> None:
    """A check imports nothing of the server, no command line and, without TLS, no OpenSSL."""
    code = """
        import sys
        from keywright.cli import main
        try:
            main()
        except SystemExit:
            pass
        heavy = {"click", "pydantic", "ssl", "asyncio", "uvicorn", "cryptography", "http.client", "msgspec"}
        print(sorted(heavy & sys.modules.keys()))
    """
    with answering(WELL) as address:
        host, _, port = address.partition(":")
        env = {"KEYWRIGHT_AUDIENCE": "a", "KEYWRIGHT_HOST": host, "KEYWRIGHT_PORT": port}
        for arguments in (["healthcheck"], ["healthcheck", "--ready"]):
            done = subprocess.run(
                [sys.executable, "-c", "\n".join(line[8:] for line in code.splitlines()), *arguments],
                env=clean_environment(env),
                capture_output=True,
                text=True,
                check=True,
            )
            assert done.stdout == "well\n[]\n"
