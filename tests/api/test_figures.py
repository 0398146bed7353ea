"""The figures for operators: what all processes did, as numbers, and who may read them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from keywright import __version__
from keywright.api.operator.figures import PATH as FIGURES
from keywright.client import AsyncVerifier
from keywright.dev.issuer import DevIssuer
from tests.api.caller import KEYS, Caller
from tests.api.verifier import Verifier, create_verifier
from tests.client.losing import LosesReports
from tests.client.shells import QUICK
from tests.conftest import database_url
from tests.live import LiveService, environment, start_service
from tests.waiting import eventually, until

OPERATORS = "org_operators"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(
    request: pytest.FixtureRequest, issuer: DevIssuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveService]:
    """A service of two workers with an operator, on each store."""
    url = database_url(request.param, tmp_path_factory.mktemp("db"), request)
    with start_service(environment(issuer, database_url=url, operator_org=OPERATORS), workers=2) as live:
        yield live


@pytest.fixture
def operator(service: LiveService, issuer: DevIssuer) -> Iterator[Caller]:
    """The operator."""
    with Caller(service, issuer, OPERATORS, permissions=["operate:api_keys"], subject="auth0|olivia") as caller:
        yield caller


def figures(operator: Caller, name: str, **query: Any) -> dict[str, Any]:
    response = operator.http.get(f"{FIGURES}/{name}", params=query)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


@pytest.mark.parametrize("name", ["verdicts", "top", "keys", "revocations", "verifiers"])
def test_others_are_refused(service: LiveService, issuer: DevIssuer, name: str) -> None:
    """An organization that is not the operator's reads no figures, with the permission, too."""
    with Caller(service, issuer, permissions=["operate:api_keys"]) as other:
        response = other.http.get(f"{FIGURES}/{name}")
    assert response.status_code == 403
    assert response.json()["code"] == "insufficient_permission"


@pytest.mark.parametrize(("per", "number"), [("minute", 60), ("hour", 48), ("day", 30)])
def test_every_period_is_there(operator: Caller, per: str, number: int) -> None:
    """The figures of verdicts have each period of the last hour, two days or 30 days, the current one last."""
    found = figures(operator, "verdicts", per=per)
    assert found["per"] == per
    starts = [each["start"] for each in found["periods"]]
    assert len(starts) == number
    assert starts == sorted(starts)
    assert starts[0] == found["since"]
    assert starts[-1] <= found["until"]


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("verdicts", {"per": "week"}),
        ("top", {"hours": 0}),
        ("top", {"hours": 2161}),
        ("top", {"limit": 51}),
        ("revocations", {"hours": "x"}),
        ("revocations", {"limit": 1}),
    ],
)
def test_a_malformed_query_is_refused(operator: Caller, name: str, query: dict[str, Any]) -> None:
    """A period, a number of hours or a length of a list that the document does not allow is 422."""
    assert operator.http.get(f"{FIGURES}/{name}", params=query).status_code == 422


@pytest.mark.parametrize("name", ["top", "keys", "revocations", "verifiers"])
def test_figures_of_a_quiet_service(operator: Caller, name: str) -> None:
    """Before anything happened every figure is answered."""
    assert figures(operator, name)


def verdicts(operator: Caller, per: str = "minute") -> Counter[str]:
    """Give the verdicts of all periods by code."""
    total: Counter[str] = Counter()
    for each in figures(operator, "verdicts", per=per)["periods"]:
        total.update(each["verdicts"])
    return total


def test_two_workers_add_up(service: LiveService, operator: Caller, issuer: DevIssuer) -> None:
    """The verdicts of both workers are in each answer by minute, hour and day, whichever worker gave them."""
    before = verdicts(operator)
    credential = create_verifier(service, f"v-{uuid4()}")
    with Caller(service, issuer) as owner:
        key, revoked = owner.create(name="used"), owner.create(name="ended")
        assert owner.http.put(f"{KEYS}/{revoked['id']}/revoke").status_code == 200
        # Connections are spread over the workers.
        for _ in range(20):
            with Verifier(service, f"Bearer {credential}") as verifier:
                assert verifier.code(key["private_key"]) == "valid"
                assert verifier.code(revoked["private_key"]) == "revoked"
                assert verifier.code("no key") == "not_found"
    expected = before + Counter(valid=20, revoked=20, not_found=20)
    eventually(lambda: verdicts(operator) == expected)
    for per in ("minute", "hour", "day"):
        assert verdicts(operator, per) == expected


def test_top(service: LiveService, operator: Caller, issuer: DevIssuer) -> None:
    """The most used keys and organizations, and who still presents a revoked key, in the order of the numbers."""
    before = verdicts(operator)
    credential = create_verifier(service, f"v-{uuid4()}")
    with Caller(service, issuer) as owner, Verifier(service, f"Bearer {credential}") as verifier:
        key, revoked = owner.create(name="most used"), owner.create(name="ended")
        owner.http.put(f"{KEYS}/{revoked['id']}/revoke")
        for _ in range(50):
            verifier.code(key["private_key"])
            verifier.code(revoked["private_key"])

    def top() -> dict[str, Any]:
        return figures(operator, "top", limit=1)

    eventually(lambda: [each["uses"] for each in top()["keys"]] == [50])
    eventually(lambda: [each["refusals"] for each in top()["refused_keys"]] == [50])
    found = top()
    assert (found["keys"][0]["key_id"], found["keys"][0]["name"]) == (key["id"], "most used")
    assert (found["refused_keys"][0]["key_id"], found["refused_keys"][0]["uses"]) == (revoked["id"], 0)
    (organization,) = found["organizations"]
    assert (organization["org_id"], organization["uses"], organization["refusals"]) == (key["org_id"], 50, 50)
    # Verdicts are written apart from uses. Those that come later would count in the next test.
    eventually(lambda: verdicts(operator) == before + Counter(valid=50, revoked=50))


async def test_an_in_process_verifier(service: LiveService, operator: Caller, issuer: DevIssuer) -> None:
    """
    The verdicts of an in-process verifier count once, though the answers to its reports are lost, and its look-ups do
    not count beside them. It is among the sessions, with its version.
    """
    before = verdicts(operator)
    name, network = f"v-{uuid4()}", LosesReports()
    credential = create_verifier(service, name)
    with Caller(service, issuer) as owner:
        text = owner.create(name="used", scopes=["a:read"])["private_key"]
    async with AsyncVerifier(service.base_url, credential, name="api:1", transport=network, timing=QUICK) as verifier:
        for _ in range(3):
            assert await verifier.verify(text)
        assert (await verifier.verify(text, scopes=["b:read"])).code == "insufficient_scope"
        await until(lambda: network.lost > 2)
        network.losing = False
        sessions = [each for each in figures(operator, "verifiers")["sessions"] if each["verifier"] == name]
        assert [(each["kind"], each["name"], each["version"]) for each in sessions] == [
            ("verifier", "api:1", __version__)
        ]
    expected = before + Counter(valid=3, insufficient_scope=1)
    await until(lambda: verdicts(operator) == expected)


def test_revocations_and_sessions(operator: Caller, issuer: DevIssuer, service: LiveService) -> None:
    """Each worker is a connected session, and its acknowledgement of a revocation is in the histogram."""
    before = figures(operator, "revocations")
    with Caller(service, issuer) as owner:
        key = owner.create(name="ended")
        owner.http.put(f"{KEYS}/{key['id']}/revoke")
    eventually(lambda: figures(operator, "revocations")["acknowledgements"] == before["acknowledgements"] + 2)
    found = figures(operator, "revocations")
    assert found["revocations"] == before["revocations"] + 1
    assert sum(each["acknowledgements"] for each in found["histogram"]) == found["acknowledgements"]
    assert [each["up_to_ms"] for each in found["histogram"]] == [10, 25, 50, 100, 250, 500, 1000, 2000, None]
    assert 0 <= found["p50_ms"] <= found["p99_ms"]
    sessions = [each for each in figures(operator, "verifiers")["sessions"] if each["kind"] == "server"]
    assert len(sessions) == 2
    assert {each["version"] for each in sessions} == {__version__}
    assert {each["verifier"] for each in sessions} == {None}
    eventually(
        lambda: all(
            (each["unacknowledged"], each["lag_ms"]) == (0, 0)
            for each in figures(operator, "verifiers")["sessions"]
            if each["kind"] == "server"
        )
    )


def test_keys_are_counted_at_the_start(operator: Caller) -> None:
    """A process counts the keys soon after it has started: the numbers have a time, and a day each for 30 days."""
    eventually(lambda: figures(operator, "keys")["counted_at"] is not None)
    found = figures(operator, "keys")
    assert list(found["states"]) == ["active", "disabled", "expired", "revoked"]
    assert [each["bucket"] for each in found["since_last_use"]] == [
        *("day", "week", "month", "quarter", "year", "longer", "never")
    ]
    assert len(found["expiries"]) == 30
    assert found["expiries"][0]["day"] == found["counted_at"][:10]
