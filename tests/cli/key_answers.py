"""`keywright keys` against the fake service, and its refusals."""

from collections.abc import Mapping
from typing import Any

from click.testing import CliRunner

from keywright.cli.application import app
from tests.cli.fake_service import Answer, FakeService
from tests.client.key_answers import TOKEN

PATH = "/api/v2/api-keys"


def problem(status: int, code: str, detail: Any = "A sentence.", headers: Mapping[str, str] = {}) -> Answer:
    """Give a refusal."""
    return Answer(status, {"detail": detail, "code": code, "request_id": "req-12345678"}, headers)


def invoke(service: FakeService | str, *arguments: str, token: str = TOKEN, token_file: str = "") -> Any:
    """Run `keywright keys` in this process, on a wide terminal without colours."""
    url = service if isinstance(service, str) else service.url
    env = {"KEYWRIGHT_URL": url, "KEYWRIGHT_TOKEN": token, "COLUMNS": "200", "NO_COLOR": "1"}
    env["KEYWRIGHT_TOKEN_FILE"] = token_file
    return CliRunner().invoke(app, ["keys", *arguments], env=env)
