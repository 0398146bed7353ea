"""The service's life beside others: a port that is taken, a stop in the middle of work, a database that goes away."""

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import httpx
import psutil
import pytest

from keywright.dev.issuer import DevIssuer
from tests.api.caller import KEYS
from tests.conftest import database_url
from tests.live import PATIENCE_SECONDS, LiveService, bearer, clean_environment, environment, start_service
from tests.postgres import PostgresCluster, migrated_database
from tests.stored import rows
from tests.test_crash import torn
from tests.waiting import eventually

# One after the other: each of them loads the machine by itself.
pytestmark = [pytest.mark.early, pytest.mark.xdist_group("trouble")]

CALLERS = 16
# Whatever the state of the database, nobody waits longer for an answer.
ANSWER_SECONDS = 10


class Load:
    """
    Callers that create keys without a pause, read each one and list, every one on a connection of its own.

    `created` holds the ids that were acknowledged, `answers` counts statuses, and `wrong` is whatever should never be
    answered. A caller ends when the service is gone, and all end with the block.
    """

    def __init__(self, service: LiveService, headers: dict[str, str], *, reading: bool) -> None:
        self.created: list[str] = []
        self.answers: Counter[int] = Counter()
        self.wrong: list[str] = []
        self._service = service
        self._headers = headers
        self._reading = reading
        self._ended = threading.Event()
        self._counting = threading.Lock()
        self._callers = [threading.Thread(target=self._call) for _ in range(CALLERS)]

    def reach(self, status: int, more: int) -> None:
        """Wait until *status* has been answered *more* times from now on."""
        goal = self.answers[status] + more
        eventually(lambda: self.answers[status] >= goal or bool(self.wrong))

    def join(self) -> None:
        """Wait until every caller has ended by itself."""
        for caller in self._callers:
            caller.join(PATIENCE_SECONDS)
            assert not caller.is_alive()

    def __enter__(self) -> Self:
        for caller in self._callers:
            caller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def _call(self) -> None:
        with httpx.Client(
            base_url=self._service.base_url, headers=self._headers, trust_env=False, timeout=ANSWER_SECONDS
        ) as http:
            while not self._ended.is_set():
                try:
                    self._round(http)
                except httpx.TimeoutException as error:
                    self.wrong.append(f"no answer in {ANSWER_SECONDS} s: {error!r}")
                except httpx.TransportError:
                    return

    def _round(self, http: httpx.Client) -> None:
        answer = http.post(KEYS, json={"name": "a key"})
        self._note(answer, 201)
        if answer.status_code == 201:
            self.created.append(answer.json()["id"])
        if self._reading and answer.status_code == 201:
            self._note(http.get(answer.headers["Location"]), 200)
            self._note(http.get(f"{KEYS}?limit=2"), 200)

    def _note(self, answer: httpx.Response, expected: int) -> None:
        with self._counting:
            self.answers[answer.status_code] += 1
        come_again = answer.status_code == 503 and int(answer.headers.get("Retry-After", "0")) > 0
        if answer.status_code != expected and not come_again:
            self.wrong.append(f"{answer.status_code} {dict(answer.headers)} {answer.text}")


def probe(service: LiveService, path: str) -> int:
    return httpx.get(f"{service.base_url}{path}", trust_env=False, timeout=ANSWER_SECONDS).status_code


def stored_keys(url: str) -> set[str]:
    return {str(key_id) for (key_id,) in rows(url, "SELECT id FROM api_keys")}


@contextmanager
def frozen(cluster: PostgresCluster) -> Iterator[None]:
    """Let PostgreSQL take connections and answer nothing within the block."""
    pid = cluster.pid()
    assert pid is not None
    server = psutil.Process(pid)
    processes = [server, *server.children()]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def test_two_services_on_one_metrics_address(issuer: DevIssuer, tmp_path: Path) -> None:
    """A second service whose metrics would be where the first one's are ends with one sentence that says so."""
    with start_service(environment(issuer)) as first:
        assert first.metrics_url is not None
        address = first.metrics_url.removeprefix("http://").removesuffix("/metrics")
        settings = environment(issuer, metrics=address, port="0", database_url=f"sqlite:///{tmp_path}/second.db")
        second = subprocess.run(
            [sys.executable, "-m", "keywright", "serve"],
            env=clean_environment(settings),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        assert second.returncode == 2
        assert second.stderr == (
            f"Cannot listen on {address}: Address already in use. "
            "Choose another KEYWRIGHT_METRICS: host:port, path or off.\n"
        )
        assert list(tmp_path.iterdir()) == []
        assert "keywright_http_requests_total" in httpx.get(first.metrics_url, trust_env=False).text


@pytest.mark.parametrize(("store", "workers"), [("sqlite", 1), ("sqlite", 2), ("postgresql", 1), ("postgresql", 2)])
def test_stop_in_the_middle_of_creations(
    store: str, workers: int, issuer: DevIssuer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """SIGTERM lets every creation in flight be answered: what is stored was acknowledged, and the other way round."""
    url = database_url(store, tmp_path, request)
    with start_service(environment(issuer, database_url=url), workers=workers) as service:
        with Load(service, bearer(issuer, "org_stop"), reading=False) as load:
            load.reach(201, 200)
            service.process.terminate()
            code = service.process.wait(PATIENCE_SECONDS)
            load.join()
        log, lines = service.log_path.read_text(), service.log()
    assert code == 0
    assert (load.wrong, set(load.answers)) == ([], {201})
    assert sorted(load.created) == sorted(stored_keys(url))
    assert "Traceback" not in log
    assert {line["level"] for line in lines if line["event"] != "still starting"} == {"info"}
    assert lines[-1]["event"] == "stopped"


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_postgresql_goes_away_under_load(mode: str, issuer: DevIssuer, own_cluster: PostgresCluster) -> None:
    """Without its database the service answers 503, in time; with it, it works again; and no key is lost or torn."""
    url = migrated_database(own_cluster)
    with start_service(environment(issuer, database_url=url)) as service:
        eventually(lambda: probe(service, "/readyz") == 200)
        with Load(service, bearer(issuer, "org_outage"), reading=True) as load:
            for _ in range(2):
                load.reach(201, 100)
                own_cluster.stop(mode)
                load.reach(503, 100)
                assert (probe(service, "/livez"), probe(service, "/readyz")) == (200, 503)
                own_cluster.start()
                load.reach(201, 100)
                assert probe(service, "/readyz") == 200
        log = service.log_path.read_text()
    assert load.wrong == []
    assert set(load.answers) == {200, 201, 503}
    assert set(load.created) <= stored_keys(url)
    assert set(torn(url).values()) == {0}, torn(url)
    assert "Traceback" not in log


def test_postgresql_hangs_under_load(issuer: DevIssuer, own_cluster: PostgresCluster) -> None:
    """A database that takes connections and says nothing is an absent one: 503 in time, and recovery by itself."""
    url = migrated_database(own_cluster)
    with start_service(environment(issuer, database_url=url)) as service:
        with Load(service, bearer(issuer, "org_outage"), reading=True) as load:
            load.reach(201, 100)
            with frozen(own_cluster):
                load.reach(503, CALLERS)
                assert (probe(service, "/livez"), probe(service, "/readyz")) == (200, 503)
            load.reach(201, 100)
        log = service.log_path.read_text()
    assert load.wrong == []
    assert set(load.answers) == {200, 201, 503}
    assert set(load.created) <= stored_keys(url)
    assert set(torn(url).values()) == {0}, torn(url)
    assert "Traceback" not in log
