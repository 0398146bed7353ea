"""Keys that are disabled for a while: refused in every place where a key is checked, and good again afterwards."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from keywright.client import Verifier as InProcessVerifier
from tests.api.caller import KEYS, Caller
from tests.api.verifier import Verifier, create_verifier
from tests.live import LiveService
from tests.waiting import eventually

Check = Callable[[str], str]


@pytest.fixture
def checks(service: LiveService, verifier: Verifier, service_caller: Verifier) -> Iterator[dict[str, Check]]:
    """Every place that checks keys, each as a function from a key to a code."""
    credential = create_verifier(service, "proxy-and-process")

    def at_the_proxy(key: str) -> str:
        headers = {"X-API-Key": key, "X-Keywright-Verifier": credential}
        answer = httpx.get(f"{service.base_url}/forward-auth", headers=headers, trust_env=False)
        return "valid" if answer.status_code == 200 else str(answer.json()["code"])

    with InProcessVerifier(service.base_url, credential) as inside:
        yield {
            "verify": verifier.code,
            "verify with a token": service_caller.code,
            "verify for a verifier": lambda key: verifier.code(key, facts=True),
            "batch": lambda key: str(verifier.batch({"key": key}).json()["results"][0]["code"]),
            "forward authentication": at_the_proxy,
            "in the process": lambda key: inside.verify(key).code.value,
        }


def until_it_is(code: str, key: str, check: Check) -> str:
    """Check again and again until *code* is the answer."""
    eventually(lambda: check(key) == code)
    return check(key)


def test_disabled_and_enabled(caller: Caller, checks: dict[str, Check]) -> None:
    """A key in use is refused as disabled everywhere within the bound, and passes everywhere once it is enabled."""
    created = caller.create()
    key, path = created["private_key"], f"{KEYS}/{created['id']}"
    for enabled, code, status in (
        (True, "valid", "active"),
        (False, "disabled", "disabled"),
        (True, "valid", "active"),
    ):
        answer = caller.http.patch(path, json={"enabled": enabled}).json()
        assert (answer["enabled"], answer["status"]) == (enabled, status)
        for name, check in checks.items():
            assert until_it_is(code, key, check) == code, name
        listed = caller.http.get(KEYS, params={"status": status}).json()
        assert [each["id"] for each in listed] == [created["id"]]
    events = caller.http.get(f"{path}/events").json()
    assert [event["data"] for event in events][:-1] == [
        {"before": {"enabled": False}, "after": {"enabled": True}},
        {"before": {"enabled": True}, "after": {"enabled": False}},
    ]


def test_the_order_of_states(caller: Caller, verifier: Verifier) -> None:
    """A key that is disabled and revoked is revoked; a disabled key can be changed, and rotated, and stays disabled."""
    created = caller.create()
    path = f"{KEYS}/{created['id']}"
    assert caller.http.patch(path, json={"enabled": False}).status_code == 200
    assert caller.http.patch(path, json={"name": "renamed"}).json()["enabled"] is False
    rotated = caller.http.post(f"{path}/rotate").json()
    assert (rotated["status"], rotated["enabled"]) == ("disabled", False)
    assert [verifier.code(each["private_key"], facts=True) for each in (created, rotated)] == ["disabled"] * 2
    revoked = caller.http.put(f"{path}/revoke").json()
    assert (revoked["status"], revoked["revoked_by"]) == ("revoked", revoked["created_by"])
    assert verifier.code(rotated["private_key"], facts=True) == "revoked"
    assert caller.http.patch(path, json={"enabled": True}).json()["code"] == "key_revoked"


@pytest.mark.parametrize("value", [None, 0, "false"])
def test_what_is_no_boolean(caller: Caller, value: object) -> None:
    """`enabled` is a boolean, and not a field of a creation."""
    path = f"{KEYS}/{caller.create()['id']}"
    assert caller.http.patch(path, json={"enabled": value}).status_code == 422
    assert caller.http.post(KEYS, json={"name": "n", "enabled": False}).status_code == 422
