"""An API server that checks keys at the running service."""

import json
from typing import Any, Self

import httpx

from tests import forked
from tests.live import LiveService, clean_environment, client_of

VERIFY = "/api/v2/api-keys/verify"
BATCH = f"{VERIFY}/batch"
NOT_FOUND = b'{"valid":false,"code":"not_found","api_key":null}'


def create_verifier(service: LiveService, name: str) -> str:
    """Make a verifier as an operator does, on the service's database, and give its credential."""
    credential: str = json.loads(_command(service, "create", name, "--json"))["credential"]
    return credential


def revoke_verifier(service: LiveService, name: str) -> None:
    """Revoke a verifier as an operator does."""
    _command(service, "revoke", name)


def _command(service: LiveService, *arguments: str) -> str:
    env = clean_environment({"KEYWRIGHT_DATABASE_URL": service.database_url})
    done = forked.command("verifiers", *arguments, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Verifier:
    """Asks for verdicts over real HTTP; *authorization* is what it shows of itself."""

    def __init__(self, service: LiveService, authorization: str | None) -> None:
        self.service = service
        headers = {} if authorization is None else {"Authorization": authorization}
        self.http = client_of(service, headers=headers)

    def ask(self, key: str, *, facts: bool = False, **more: Any) -> httpx.Response:
        """Ask for the verdict on *key*; *more* are the other members of the body."""
        headers = {"Keywright-Facts": "1"} if facts else {}
        return self.http.post(VERIFY, json={"key": key, **more}, headers=headers)

    def code(self, key: str, **more: Any) -> str:
        """Give the code of the verdict on *key*."""
        response = self.ask(key, **more)
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer["valid"] is (answer["code"] == "valid")
        code: str = answer["code"]
        return code

    def batch(self, *asked: dict[str, Any]) -> httpx.Response:
        """Ask for several verdicts at once."""
        return self.http.post(BATCH, json={"keys": list(asked)})

    def post(self, content: bytes, *, path: str = VERIFY, **headers: str) -> httpx.Response:
        """Post bytes as a verification's body."""
        return self.http.post(path, content=content, headers={"Content-Type": "application/json", **headers})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
