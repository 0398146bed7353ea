"""Private keys are looked for everywhere a service leaves traces, and found nowhere but in the answers of creations."""

from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from keywright.dev.issuer import DevIssuer
from tests.api.caller import KEYS, Caller
from tests.conftest import database_url
from tests.live import environment, start_service
from tests.postgres import PostgresCluster

BODY_WIDTH = 49


def traces(folder: Path) -> bytes:
    """Read every file below *folder*."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_private_keys_leave_no_trace(
    store: str, issuer: DevIssuer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Neither logs, nor the database's files, nor metrics, nor any other answer holds a private key or its bytes."""
    url = database_url(store, tmp_path, request)
    with start_service(environment(issuer, database_url=url, log_level="debug")) as service:
        with Caller(service, issuer) as caller:
            created = [caller.create(name=f"key {number}") for number in range(20)]
            # The answers to these are stored, sealed, to be given again.
            once = [{"Idempotency-Key": f"request-{uuid4()}"} for _ in range(2)]
            created += [caller.http.post(KEYS, json={"name": "once"}, headers=once[0]).json() for _ in range(2)]
            rotations = [
                caller.http.post(f"{KEYS}/{created[12]['id']}/rotate").json(),
                *(caller.http.post(f"{KEYS}/{created[20]['id']}/rotate", headers=once[1]).json() for _ in range(2)),
            ]
            keys = [key["private_key"] for key in (*created, *rotations)]
            assert len(set(keys)) == len(keys) - 2
            # Mistakes that people make with a key at hand.
            answers = [
                caller.http.get(f"{KEYS}/{keys[0]}"),
                caller.http.get(f"/{keys[1]}"),
                caller.http.get(f"{KEYS}?cursor={keys[2]}"),
                caller.http.get(f"{KEYS}?{keys[3]}=1"),
                caller.http.post(KEYS, json={keys[4]: 1, "name": 1}),
                caller.http.post(KEYS, json={"name": {"x": keys[5]}}),
                caller.http.post(KEYS, content=keys[6]),
                caller.http.get(KEYS, headers={"Authorization": f"Bearer {keys[7]}"}),
                caller.http.get(KEYS, headers={"X-Request-Id": keys[8] + "!"}),
                caller.http.request(keys[9][:20].upper().replace("_", ""), KEYS),
                caller.http.get(KEYS),
                caller.http.post(KEYS, json={"name": "a key"}, headers={"Idempotency-Key": keys[14]}),
                caller.http.post(KEYS, json={"name": "a key", "metadata": {keys[15]: "x" * 8192}}),
                caller.http.post(KEYS, json={"name": "a key", "scopes": [keys[16]], "allowed_ips": [keys[17]]}),
                caller.http.patch(f"{KEYS}/{created[18]['id']}", json={"environment": keys[18]}),
                caller.http.patch(f"{KEYS}/{created[18]['id']}", json={"name": "x"}, headers={"If-Match": keys[19]}),
                caller.http.post(f"{KEYS}/{created[12]['id']}/rotate"),
                caller.http.get(f"{KEYS}?q={keys[20]}"),
                caller.http.get("/api/v2/api-key-events?limit=1000"),
                caller.http.put(f"{KEYS}/{created[10]['id']}/revoke"),
                caller.http.delete(f"{KEYS}/{created[11]['id']}"),
            ]
            answers.append(httpx.get(str(service.metrics_url), trust_env=False))
        told = b"".join(answer.content + repr(answer.headers).encode() for answer in answers)
        service.process.terminate()
        service.process.wait(60)
        kept = service.log_path.read_bytes() + _database_traces(url, tmp_path, request)
    assert kept.count(b"api_key.created") >= len(created) - 1
    for key in keys:
        body = key[-BODY_WIDTH:].encode()
        assert body not in told
        assert body not in kept


def _database_traces(url: str, folder: Path, request: pytest.FixtureRequest) -> bytes:
    if url.startswith("sqlite"):
        return traces(folder)
    cluster: PostgresCluster = request.getfixturevalue("postgres_cluster")
    return cluster.run("pg_dump", "--dbname", url).encode() + cluster.log_path.read_bytes()
