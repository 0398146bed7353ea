"""The figures for operators: what all processes did, as numbers, and who may read them."""

from collections.abc import Iterator
from typing import Any

import pytest

from keywright.api.operator.figures import PATH as FIGURES
from keywright.dev.issuer import DevIssuer
from tests.api.caller import Caller
from tests.conftest import database_url
from tests.live import LiveService, environment, start_service

OPERATORS = "org_operators"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(
    request: pytest.FixtureRequest, issuer: DevIssuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveService]:
    """A service with an operator, on each store."""
    url = database_url(request.param, tmp_path_factory.mktemp("db"), request)
    with start_service(environment(issuer, database_url=url, operator_org=OPERATORS)) as live:
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
