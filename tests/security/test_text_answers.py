"""The answers that are text and not JSON."""

from uuid import uuid4

import httpx
import pytest

from keywright.cli.server import metrics
from tests.api.verifier import create_verifier
from tests.conftest import on_any_store
from tests.live import PATIENCE_SECONDS, LiveService


@on_any_store
def test_text_names_its_charset(service: LiveService) -> None:
    """The feed and the metrics say that they are UTF-8."""
    headers = {"Authorization": f"Bearer {create_verifier(service, 'text-answers')}"}
    feed = f"{service.base_url}/api/v2/verifier/feed?session={uuid4()}&name=text-answers"
    with httpx.Client(trust_env=False, timeout=PATIENCE_SECONDS) as http:
        with http.stream("GET", feed, headers=headers) as answer:
            assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert service.metrics_url is not None
        assert "; charset=utf-8" in http.get(service.metrics_url).headers["content-type"]


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/<script>"), ("POST", "")])
def test_metrics_are_plain_text(method: str, path: str) -> None:
    """No answer of the metrics' own address, refusals included, is taken for a page or names the version of Python."""
    with metrics.served("127.0.0.1:0") as url, httpx.Client(trust_env=False, timeout=PATIENCE_SECONDS) as http:
        answer = http.request(method, f"{url}{path}")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"].startswith("text/plain")
        assert "<" not in answer.text
        assert "python" not in answer.headers["server"].lower()
