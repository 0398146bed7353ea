"""The WSGI middleware: mounted applications; `integration_contract` tests the shared rules."""

from typing import Any

import pytest

from keywright.client import Verifier
from keywright.client.integrations.wsgi import KeywrightWSGIMiddleware
from tests.client.fake_service import FakeService
from tests.client.shells import QUICK


@pytest.mark.parametrize(("script", "path", "status"), [("/a", "/healthz", 200), ("", "/healthz", 401)])
def test_a_mounted_application(fake: FakeService, script: str, path: str, status: int) -> None:
    """An exempt path is the whole path, where the application is mounted included."""

    def application(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b""]

    statuses: list[str] = []
    app = KeywrightWSGIMiddleware(application, Verifier(fake.url, fake.credential, timing=QUICK), exempt=["/a/healthz"])
    list(app({"SCRIPT_NAME": script, "PATH_INFO": path}, lambda begun, _headers: statuses.append(begun)))  # type: ignore[arg-type,func-returns-value,return-value]
    assert [int(begun[:3]) for begun in statuses] == [status]
