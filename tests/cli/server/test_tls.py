"""`keywright serve` and `keywright agent` with certificates of their own."""

import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from keywright.api.server.certificate import LOOK_SECONDS
from keywright.dev.issuer import DevIssuer
from tests.api.verifier import VERIFY, Verifier, create_verifier
from tests.certificates import Authority, ago, ahead
from tests.live import (
    PATIENCE_SECONDS,
    LiveService,
    agent_environment,
    bearer,
    clean_environment,
    client_of,
    environment,
    start_agent,
    start_service,
)
from tests.waiting import eventually

KEYS = "/api/v2/api-keys"
HERE, ELSEWHERE = "127.0.0.0/8", "198.51.100.0/24"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that has issued a certificate for 127.0.0.1."""
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    authority.issue()
    return authority


@pytest.fixture(scope="module")
def service(issuer: DevIssuer, authority: Authority) -> Iterator[LiveService]:
    """A service that speaks TLS; proxies of this machine need no credential."""
    env = environment(issuer, **authority.settings, forward_auth_from=HERE)
    with start_service(env, authority=authority.path) as live:
        yield live


def test_keys_over_tls(service: LiveService, issuer: DevIssuer, authority: Authority) -> None:
    """A key is created at the service and checked there and at an agent, everything over TLS, by private authority."""
    assert service.base_url.startswith("https://127.0.0.1:")
    with client_of(service, headers=bearer(issuer)) as client:
        key = client.post(KEYS, json={"name": "safe"}).json()["private_key"]
    credential = create_verifier(service, "safe")
    env = agent_environment(service, credential, **authority.settings, forward_auth_from=ELSEWHERE)
    # The agent trusts the authority of the service as any program does.
    trusting = {**env, "SSL_CERT_FILE": str(authority.path)}
    with start_agent(trusting, authority=authority.path) as agent:
        agent.await_ready()
        assert agent.base_url.startswith("https://127.0.0.1:")
        for each in (service, agent):
            with Verifier(each, f"Bearer {credential}") as verifier:
                assert [verifier.code(key) for _ in range(3)] == ["valid"] * 3
                assert verifier.ask(key).http_version == "HTTP/1.1"
        # Only the service admits proxies by their address, and from this machine.
        asked = {"X-API-Key": key}
        with client_of(service) as here, client_of(agent) as there:
            for _ in range(2):
                assert here.get("/forward-auth", headers=asked).status_code == 200
                refused = there.get("/forward-auth", headers=asked)
                assert (refused.status_code, refused.json()["code"]) == (401, "verifier_required")
                shown = {**asked, "X-Keywright-Verifier": credential}
                assert there.get("/forward-auth", headers=shown).status_code == 200


def test_the_command_line_and_the_doctor(service: LiveService, issuer: DevIssuer, authority: Authority) -> None:
    """`keywright keys` calls the service by its private authority; the doctor sees certificate and running service."""
    called = keywright(
        "keys", "list", "--json",
        KEYWRIGHT_URL=service.base_url,
        KEYWRIGHT_TOKEN=bearer(issuer)["Authorization"].removeprefix("Bearer "),
        SSL_CERT_FILE=str(authority.path),
    )  # fmt: skip
    assert called.returncode == 0, called.stderr
    port = str(urlsplit(service.base_url).port)
    env = environment(issuer, **authority.settings, forward_auth_from=HERE, port=port, metrics="off")
    looked = keywright("doctor", "--json", **env, KEYWRIGHT_DATABASE_URL=service.database_url)
    found = {finding["subject"]: finding for finding in json.loads(looked.stdout)}
    assert found["port"]["message"] == f"A running service has 127.0.0.1:{port}."
    assert "It is for 127.0.0.1, " in found["certificate"]["message"] or "localhost" in found["certificate"]["message"]
    assert "127.0.0.0/8 may try keys" in found["forward auth"]["message"]


def keywright(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "keywright", *arguments],
        env=clean_environment(env),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


def test_the_metrics_of_tls(service: LiveService, authority: Authority) -> None:
    """The end of the certificate and failed handshakes are in the metrics, which stay plain on their own address."""
    url = urlsplit(service.base_url)
    with socket.create_connection((url.hostname, url.port), 20) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert exposed(service)[END] > 0
    eventually(lambda: exposed(service)["keywright_tls_failures_total"] >= 1)


END = 'keywright_certificate_end_timestamp_seconds{listener="api"}'


def exposed(service: LiveService) -> dict[str, float]:
    """Give the metrics by name and labels."""
    lines = httpx.get(str(service.metrics_url), trust_env=False).text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


@pytest.mark.parametrize(("command", "flaw"), [("serve", "another key"), ("serve", "no file"), ("agent", "expired")])
def test_unusable_files(issuer: DevIssuer, tmp_path: Path, command: str, flaw: str) -> None:
    """A certificate that cannot be used stops the start with one sentence that names the setting."""
    authority = Authority(tmp_path)
    authority.issue(ends=ago(days=1) if flaw == "expired" else None)
    if flaw == "another key":
        chain = Path(authority.files.certificate).read_bytes()
        authority.issue()
        authority.put(chain, Path(authority.files.key).read_bytes())
    elif flaw == "no file":
        Path(authority.files.certificate).unlink()
    url = f"sqlite:///{tmp_path}/keywright.db"
    env = environment(issuer, **authority.settings, port="0", metrics="off", database_url=url)
    # What an agent needs beside it; the service does not read them.
    done = keywright(command, **env, KEYWRIGHT_URL="http://127.0.0.1:9", KEYWRIGHT_VERIFIER="kw_vk_x")
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert "KEYWRIGHT_TLS_" in sentence
    assert not (tmp_path / "keywright.db").exists()


class Traffic:
    """Requests without a pause, each on a new connection or all on one, until the block ends."""

    def __init__(self, service: LiveService, *, anew: bool) -> None:
        self.failures: list[str] = []
        self.answers = 0
        self._service, self._anew = service, anew
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            with client_of(self._service) as client:
                while not self._over.wait(0.02):
                    self._ask(client)
                    if self._anew:
                        break

    def _ask(self, client: httpx.Client) -> None:
        try:
            status = client.get("/livez").status_code
        except httpx.HTTPError as error:
            self.failures.append(repr(error))
        else:
            self.answers += 1
            if status != 200:
                self.failures.append(str(status))


def serials(service: LiveService, authority: Authority, number: int = 12) -> set[int]:
    """Give the serial numbers of the certificates of so many new connections, some to each worker."""
    url, trust = urlsplit(service.base_url), authority.trust()
    found = set()
    for _ in range(number):
        with (
            socket.create_connection((url.hostname, url.port), 20) as connection,
            trust.wrap_socket(connection, server_hostname=url.hostname) as secure,
        ):
            found.add(int(dict(secure.getpeercert() or {})["serialNumber"], 16))  # type: ignore[arg-type]
    return found


def renewals(service: LiveService) -> int:
    return sum(line.get("event") == "the certificate was renewed" for line in service.log())


def test_renewal_under_traffic(issuer: DevIssuer, tmp_path: Path) -> None:
    """
    Two workers exchange their certificate under traffic: no request fails, and a broken one changes nothing.

    A worker that is killed while the files are broken comes back with the next good ones.
    """
    authority = Authority(tmp_path)
    first = authority.issue()
    with start_service(environment(issuer, **authority.settings), workers=2, authority=authority.path) as service:
        assert serials(service, authority) == {first}
        with Traffic(service, anew=True) as new, Traffic(service, anew=False) as kept:
            ends = ahead(days=30).replace(microsecond=0)
            second = authority.issue(ends=ends)
            eventually(lambda: renewals(service) == 2)
            assert serials(service, authority) == {second}
            assert exposed(service)[END] == ends.timestamp()
            authority.put(b"nonsense", b"")
            line = service.await_log_line(event="the new certificate cannot be used; the former one stays")
            assert line["reason"].startswith("KEYWRIGHT_TLS_CERTIFICATE: ")
            assert serials(service, authority) == {second}
        assert new.failures == kept.failures == []
        assert min(new.answers, kept.answers) > LOOK_SECONDS
        killed = service.workers()[0]
        killed.send_signal(signal.SIGKILL)
        service.await_log_line(event="a worker waits for a certificate that can be used")
        assert serials(service, authority) == {second}
        third = authority.issue()
        eventually(lambda: serials(service, authority) == {third})
        eventually(lambda: len([each for each in service.workers() if each.status() != psutil.STATUS_ZOMBIE]) == 2)


def test_a_client_of_tls_1_2(service: LiveService, authority: Authority) -> None:
    """The service speaks TLS 1.2 with ciphers that keep former traffic secret."""

    def change(context: ssl.SSLContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2

    url = urlsplit(service.base_url)
    with (
        socket.create_connection((url.hostname, url.port), 20) as connection,
        authority.trust(change).wrap_socket(connection, server_hostname=url.hostname) as secure,
    ):
        assert secure.version() == "TLSv1.2"
        assert (secure.cipher() or ("",))[0].startswith("ECDHE-")


def test_sighup(service: LiveService, authority: Authority) -> None:
    """A service of one process reads its certificate at once on SIGHUP, and goes on."""
    former = serials(service, authority, 1)
    renewed = authority.issue()
    service.process.send_signal(signal.SIGHUP)
    eventually(lambda: serials(service, authority, 1) == {renewed})
    assert former != {renewed}


def test_verification_without_a_credential(service: LiveService) -> None:
    """Networks of proxies open forward authentication alone: checks over the API still need a credential."""
    with client_of(service) as client:
        assert client.post(VERIFY, json={"key": "x"}).status_code == 401
