"""The operator's view: who may use it, what it shows, and what its acts leave behind."""

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from keywright.api.operator.routes import EVENTS, KEYS, ORGANIZATIONS
from keywright.api.operator.routes import PATH as OPERATOR
from keywright.api.verify.schemas import VERIFY
from keywright.dev.issuer import DevIssuer
from tests.api.caller import KEYS as OWN_KEYS
from tests.api.caller import Caller
from tests.conftest import database_url
from tests.live import PATIENCE_SECONDS, LiveService, environment, start_service
from tests.storage.making import Database

OPERATORS = "org_operators"
OPERATE = ["operate:api_keys"]
BULK = f"{OPERATOR}/bulk-revocations"
VERIFIERS = f"{OPERATOR}/verifiers"


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
    with Caller(service, issuer, OPERATORS, permissions=OPERATE, subject="auth0|olivia") as caller:
        yield caller


@pytest.fixture
def owner(service: LiveService, issuer: DevIssuer) -> Iterator[Caller]:
    """An organization of nobody else, and its owner."""
    with Caller(service, issuer, subject=f"auth0|{uuid.uuid4().hex}") as caller:
        yield caller


def found(operator: Caller, text: str) -> dict[str, Any]:
    response = operator.http.post(f"{KEYS}/find", json={"text": text})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def answered(response: httpx.Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return response.json()


def events_of(owner: Caller, type_: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = answered(owner.http.get("/api/v2/api-key-events", params={"type": type_}))
    return events


# who may

DOORS = [
    ("GET", KEYS),
    ("POST", f"{KEYS}/find"),
    ("GET", f"{KEYS}/{{key}}"),
    ("PUT", f"{KEYS}/{{key}}/revoke"),
    ("GET", f"{KEYS}/{{key}}/revocation"),
    ("GET", f"{KEYS}/{{key}}/usage"),
    ("GET", EVENTS),
    ("GET", ORGANIZATIONS),
    ("GET", f"{ORGANIZATIONS}/{{key}}"),
    ("POST", BULK),
    ("GET", BULK),
    ("GET", f"{BULK}/{{key}}"),
    ("PUT", f"{BULK}/{{key}}/start"),
    ("GET", VERIFIERS),
    ("POST", VERIFIERS),
    ("PUT", f"{VERIFIERS}/x/revoke"),
    *(("GET", f"{OPERATOR}/figures/{name}") for name in ("verdicts", "top", "keys", "revocations", "verifiers")),
]
NOT_OPERATORS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "another organization": (None, {"permissions": OPERATE}),
    "the scope": (OPERATORS, {"scope": "operate:api_keys"}),
    "the scope beside other permissions": (OPERATORS, {"scope": "operate:api_keys", "permissions": ["read:api_keys"]}),
    "no claim": (OPERATORS, {}),
    "every other permission": (
        OPERATORS,
        {
            "permissions": [
                f"{verb}:api_keys" for verb in ("create", "read", "update", "revoke", "delete", "verify", "operates")
            ]
        },
    ),
    "the organization in capitals": (OPERATORS.upper(), {"permissions": OPERATE}),
}


@pytest.mark.parametrize("claims", NOT_OPERATORS.values(), ids=NOT_OPERATORS)
def test_nobody_else(service: LiveService, issuer: DevIssuer, owner: Caller, claims: tuple[Any, Any]) -> None:
    """No door is open without the permission in `permissions`, in a token of the operator's own organization."""
    key = owner.create()
    organization, more = claims
    with Caller(service, issuer, organization, **more) as stranger:
        for method, path in DOORS:
            refused = stranger.http.request(method, path.format(key=key["id"]), json={"text": key["id"]})
            assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_permission"), path
    assert answered(owner.http.get(f"{OWN_KEYS}/{key['id']}"))["is_revoked"] is False


def test_every_door_is_listed(operator: Caller) -> None:
    """The list of doors above has every operation of the operator's view."""
    document = answered(operator.http.get("/openapi.json"))
    told = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith(OPERATOR)
    }
    listed = {
        (method, path.replace("{key}", name).replace("/x/", "/{name}/"))
        for method, path in DOORS
        for name in ("{key_id}", "{org_id}", "{revocation_id}")
    }
    assert told <= listed
    assert len(told) == len(DOORS)


def test_without_an_operator(service: LiveService, issuer: DevIssuer, tmp_path: Any) -> None:
    """Without KEYWRIGHT_OPERATOR_ORG nobody is an operator."""
    with (
        start_service(environment(issuer)) as plain,
        Caller(plain, issuer, OPERATORS, permissions=OPERATE) as caller,
    ):
        refused = caller.http.get(KEYS)
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_permission")


def test_an_operator_is_no_owner(operator: Caller, owner: Caller) -> None:
    """An operator's token lists, creates, changes and verifies no key by the owners' doors."""
    key = owner.create()
    path = f"{OWN_KEYS}/{key['id']}"
    for response in (
        operator.http.get(OWN_KEYS),
        operator.http.post(OWN_KEYS, json={"name": "mine"}),
        operator.http.get(path),
        operator.http.patch(path, json={"name": "mine"}),
        operator.http.post(f"{path}/rotate"),
        operator.http.put(f"{path}/revoke"),
        operator.http.delete(path),
        operator.http.post(VERIFY, json={"key": key["private_key"]}),
    ):
        assert (response.status_code, response.json()["code"]) == (403, "insufficient_permission")


def test_an_operator_with_every_permission(service: LiveService, issuer: DevIssuer, owner: Caller) -> None:
    """With all permissions, too, an operator neither changes nor verifies another organization's key."""
    key = owner.create()
    path = f"{OWN_KEYS}/{key['id']}"
    every = [f"{verb}:api_keys" for verb in ("create", "read", "update", "revoke", "delete", "verify", "operate")]
    with Caller(service, issuer, OPERATORS, permissions=every) as operator:
        for response in (
            operator.http.get(path),
            operator.http.patch(path, json={"name": "mine"}),
            operator.http.post(f"{path}/rotate"),
            operator.http.put(f"{path}/revoke"),
            operator.http.delete(path),
        ):
            assert response.status_code == 404
        verdict = answered(operator.http.post(VERIFY, json={"key": key["private_key"]}))
        assert (verdict["valid"], verdict["code"]) == (False, "not_found")
        assert operator.http.post(KEYS, json={"name": "x", "org_id": key["org_id"]}).status_code == 405
        assert operator.http.patch(f"{KEYS}/{key['id']}", json={"name": "mine"}).status_code == 405
        assert operator.http.delete(f"{KEYS}/{key['id']}").status_code == 405


# find


def test_find(operator: Caller, owner: Caller) -> None:
    """A key is found by its id, its public and its private key, and shown as its owner sees it, without its secret."""
    created = owner.create(external_id="customer-1")
    seen = answered(owner.http.get(f"{OWN_KEYS}/{created['id']}"))
    for text, by in (
        (created["id"], "id"),
        (created["id"].upper(), "id"),
        (created["public_key"], "public_key"),
        (created["private_key"], "private_key"),
        (f"\n {created['private_key']}\t", "private_key"),
    ):
        answer = found(operator, text)
        assert (answer["found_by"], answer["api_key"]) == (by, seen)
        assert (answer["pair"] is None) == (by == "id")
    assert answer["pair"]["status"] == "current"
    assert answered(operator.http.get(f"{KEYS}/{created['id']}")) == seen
    assert created["private_key"] not in operator.service.log_path.read_text()


def test_find_an_ended_pair(operator: Caller, owner: Caller) -> None:
    """A private key that a rotation has ended leads to its key, and to the end of its pair; so does a retiring one."""
    created = owner.create()
    path = f"{OWN_KEYS}/{created['id']}"
    renewed = answered(owner.http.post(f"{path}/rotate", json={"overlap_seconds": 3600}))
    assert found(operator, created["private_key"])["pair"]["status"] == "retiring"
    answered(owner.http.put(f"{path}/rotation", json={"overlap_seconds": 0}))
    answer = found(operator, created["private_key"])
    assert answer["api_key"]["public_key"] == renewed["public_key"]
    pair = answer["pair"]
    assert (pair["status"], pair["public_key"]) == ("ended", created["public_key"])
    assert pair["private_key_display"] == created["private_key_display"]


def test_find_a_deleted_key(operator: Caller, owner: Caller) -> None:
    """A leaked key that was deleted is found, with who deleted it; it is not shown as if it were there."""
    created = owner.create()
    assert owner.http.delete(f"{OWN_KEYS}/{created['id']}").status_code == 204
    answer = found(operator, created["private_key"])
    assert answer["deleted_at"] is not None
    assert answer["deleted_by"] == created["created_by"]
    assert operator.http.get(f"{KEYS}/{created['id']}").status_code == 404
    assert operator.http.put(f"{KEYS}/{created['id']}/revoke").status_code == 404
    assert answered(operator.http.get(f"{KEYS}/{created['id']}/revocation"))["key_id"] == created["id"]


def test_find_nothing(operator: Caller, owner: Caller) -> None:
    """A text that belongs to no key, or to another brand or environment, is 404; no answer quotes it."""
    created = owner.create()
    other = created["public_key"].replace("_live_", "_sandbox_")
    for text in ("nothing", str(uuid.uuid4()), created["private_key"][:-1], other, "\N{SNOWMAN}", "a\0b"):
        response = operator.http.post(f"{KEYS}/find", json={"text": text})
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    flawed = operator.http.post(f"{KEYS}/find", json={"text": created["private_key"], "more": 1})
    assert flawed.status_code == 422
    assert created["private_key"] not in flawed.text


def test_list(operator: Caller, owner: Caller) -> None:
    """Keys of all organizations are listed by page, and found by external id, creator, display and organization."""
    external_id = uuid.uuid4().hex
    with owner.another() as other:
        mine = owner.create(external_id=external_id)
        second = owner.create(external_id=external_id)
        theirs = other.create(external_id=external_id)
    for query, expected in (
        ({"external_id": external_id}, [theirs, second, mine]),
        ({"external_id": external_id, "org_id": mine["org_id"]}, [second, mine]),
        ({"created_by": mine["created_by"]}, [second, mine]),
        ({"q": mine["public_key"]}, [mine]),
        ({"org_id": theirs["org_id"]}, [theirs]),
        ({"org_id": str(uuid.uuid4())}, []),
    ):
        answer = answered(operator.http.get(KEYS, params=query))
        assert [key["id"] for key in answer] == [key["id"] for key in expected], query
    displayed = answered(operator.http.get(KEYS, params={"q": mine["private_key_display"]}))
    assert mine["id"] in [key["id"] for key in displayed]
    first = operator.http.get(KEYS, params={"external_id": external_id, "limit": 2})
    rest = operator.http.get(first.links["next"]["url"])
    assert [key["id"] for key in answered(first) + answered(rest)] == [theirs["id"], second["id"], mine["id"]]
    assert {key["org_external_id"] for key in answered(first)} == {owner.organization, other.organization}


def test_organizations(operator: Caller, owner: Caller) -> None:
    """Organizations are listed with their numbers of keys, and found by their ids."""
    keys = [owner.create() for _ in range(2)]
    owner.http.put(f"{OWN_KEYS}/{keys[0]['id']}/revoke")
    org_id = keys[0]["org_id"]
    one = answered(operator.http.get(f"{ORGANIZATIONS}/{org_id}"))
    assert (one["id"], one["external_id"], one["active_keys"]) == (org_id, owner.organization, 1)
    assert answered(operator.http.get(ORGANIZATIONS, params={"external_id": owner.organization})) == [one]
    assert answered(operator.http.get(ORGANIZATIONS, params={"external_id": "none"})) == []
    assert operator.http.get(f"{ORGANIZATIONS}/{uuid.uuid4()}").status_code == 404
    listed: list[Any] = []
    url: str | None = f"{ORGANIZATIONS}?limit=2"
    while url is not None:
        response = operator.http.get(url)
        listed += answered(response)
        url = response.links.get("next", {}).get("url")
    ids = [each["id"] for each in listed]
    assert one in listed
    assert ids == sorted(set(ids), reverse=True)


def test_events(operator: Caller, owner: Caller) -> None:
    """The audit log of all organizations has their events, each with its organization, filtered like an owner's."""
    with owner.another() as other:
        theirs = other.create()
    mine = owner.create()
    for query, expected in (
        ({"limit": 2}, [mine, theirs]),
        ({"org_id": mine["org_id"]}, [mine]),
        ({"key_id": theirs["id"]}, [theirs]),
        ({"actor": mine["created_by"]}, [mine]),
        ({"org_id": str(uuid.uuid4())}, []),
    ):
        events = answered(operator.http.get(EVENTS, params=query))
        assert [(event["key_id"], event["org_id"]) for event in events] == [
            (key["id"], key["org_id"]) for key in expected
        ]
    (own,) = answered(owner.http.get("/api/v2/api-key-events"))
    assert events_of(owner, "api_key.created") == [own]
    assert answered(operator.http.get(EVENTS, params={"org_id": mine["org_id"]})) == [{**own, "org_id": mine["org_id"]}]


def test_usage(operator: Caller, owner: Caller) -> None:
    """The usage of a key is shown as its owner sees it."""
    key = owner.create()
    seen = answered(owner.http.get(f"{OWN_KEYS}/{key['id']}/usage"))
    assert answered(operator.http.get(f"{KEYS}/{key['id']}/usage")) == seen
    assert operator.http.get(f"{KEYS}/{uuid.uuid4()}/usage").status_code == 404


# revoke


def test_revoke(operator: Caller, owner: Caller) -> None:
    """A revoked key is refused everywhere within the bound; the owner's audit log has the operator as actor."""
    key = owner.create()
    path = f"{KEYS}/{key['id']}"
    assert answered(operator.http.get(f"{path}/revocation"), 409)["code"] == "not_revoked"
    revoked = answered(operator.http.put(f"{path}/revoke", json={"reason": "key_compromise"}))
    assert (revoked["is_revoked"], revoked["revoked_by"]) == (True, "auth0|olivia")
    assert answered(owner.http.get(f"{OWN_KEYS}/{key['id']}")) == revoked
    (event,) = events_of(owner, "api_key.revoked")
    assert event["actor"]["subject"] == "auth0|olivia"
    assert event["data"] == {"reason": "key_compromise", "operator": True}
    assert answered(operator.http.put(f"{path}/revoke")) == revoked
    receipt = confirmed(operator, f"{path}/revocation")
    assert [each["kind"] for each in receipt["verifiers"]] == ["server"]
    assert all(each["name"] for each in receipt["verifiers"])
    owners = answered(owner.http.get(f"{OWN_KEYS}/{key['id']}/revocation"))
    assert "name" not in owners["verifiers"][0]
    assert operator.http.put(f"{KEYS}/{uuid.uuid4()}/revoke").status_code == 404


def confirmed(operator: Caller, url: str, of: str | None = None) -> dict[str, Any]:
    """Wait until all processes have acknowledged a revocation, and give its receipt, a member of the answer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = answered(operator.http.get(url))
        receipt: dict[str, Any] | None = answer if of is None else answer[of]
        if receipt is not None and receipt["confirmed"] and not receipt["pending"]:
            return receipt
        assert time.monotonic() < deadline, answer
        time.sleep(0.02)


def finished(operator: Caller, id_: str) -> dict[str, Any]:
    """Wait until a revocation of many keys is done."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (answer := answered(operator.http.get(f"{BULK}/{id_}")))["status"] != "done":
        assert time.monotonic() < deadline, answer
        time.sleep(0.02)
    bulk: dict[str, Any] = answer
    return bulk


def preview_of(operator: Caller, **target: str) -> dict[str, Any]:
    response = operator.http.post(BULK, json={"reason": "key_compromise", **target})
    preview: dict[str, Any] = answered(response, 201)
    assert response.headers["Location"] == f"{BULK}/{preview['id']}"
    assert answered(operator.http.get(f"{BULK}/{preview['id']}")) == preview
    return preview


def test_revoke_an_organization(operator: Caller, owner: Caller) -> None:
    """All keys of an organization are revoked after a preview that changes nothing; other organizations keep theirs."""
    with owner.another() as other:
        theirs = other.create()
        keys = [owner.create() for _ in range(3)]
        owner.http.put(f"{OWN_KEYS}/{keys[0]['id']}/revoke")
        preview = preview_of(operator, org_id=keys[0]["org_id"])
        assert (preview["status"], preview["keys"], preview["organizations"]) == ("previewed", 2, 1)
        assert answered(owner.http.get(f"{OWN_KEYS}/{keys[1]['id']}"))["is_revoked"] is False
        started = answered(operator.http.put(f"{BULK}/{preview['id']}/start"))
        assert (started["status"], started["revoked"], started["actor"]["subject"]) == ("done", 2, "auth0|olivia")
        assert answered(operator.http.put(f"{BULK}/{preview['id']}/start"))["started_at"] == started["started_at"]
        assert answered(owner.http.get(OWN_KEYS, params={"status": "active"})) == []
        assert answered(other.http.get(f"{OWN_KEYS}/{theirs['id']}"))["is_revoked"] is False
    events = events_of(owner, "api_key.revoked")
    assert [event["data"].get("bulk_revocation") for event in events] == [preview["id"], preview["id"], None]
    assert events[0]["actor"]["subject"] == "auth0|olivia"
    receipt = confirmed(operator, f"{BULK}/{preview['id']}", "receipt")
    assert receipt["key_id"] in {key["id"] for key in keys[1:]}


def test_revoke_a_creator(service: LiveService, issuer: DevIssuer, operator: Caller) -> None:
    """All keys of one creator are revoked, in every organization or in one; those of others stay."""
    subject = f"auth0|{uuid.uuid4().hex}"
    with ExitStack() as callers:
        first, second = (callers.enter_context(Caller(service, issuer, subject=subject)) for _ in range(2))
        colleague = callers.enter_context(Caller(service, issuer, first.organization))
        keys = [first.create(), second.create()]
        others = colleague.create()
        preview = preview_of(operator, created_by=subject)
        assert (preview["keys"], preview["organizations"]) == (2, 2)
        narrow = preview_of(operator, created_by=subject, org_id=keys[0]["org_id"])
        assert (narrow["keys"], narrow["organizations"]) == (1, 1)
        answered(operator.http.put(f"{BULK}/{narrow['id']}/start"))
        assert answered(first.http.get(f"{OWN_KEYS}/{keys[0]['id']}"))["is_revoked"] is True
        assert answered(second.http.get(f"{OWN_KEYS}/{keys[1]['id']}"))["is_revoked"] is False
        answered(operator.http.put(f"{BULK}/{preview['id']}/start"))
        assert finished(operator, preview["id"])["revoked"] == 1
        assert answered(second.http.get(f"{OWN_KEYS}/{keys[1]['id']}"))["is_revoked"] is True
        assert answered(colleague.http.get(f"{OWN_KEYS}/{others['id']}"))["is_revoked"] is False
    listed = answered(operator.http.get(BULK, params={"limit": 2}))
    assert [each["id"] for each in listed] == [narrow["id"], preview["id"]]


def test_bulk_refusals(operator: Caller, owner: Caller, service: LiveService) -> None:
    """A target is required, an unknown one is 404, and a preview can be started for 15 minutes only."""
    assert operator.http.post(BULK, json={}).status_code == 422
    assert operator.http.post(BULK, json={"org_id": "x"}).status_code == 422
    assert operator.http.post(BULK, json={"org_id": str(uuid.uuid4())}).status_code == 404
    assert operator.http.put(f"{BULK}/{uuid.uuid4()}/start").status_code == 404
    key = owner.create()
    preview = preview_of(operator, org_id=key["org_id"])
    aged = "previewed_at - 901000000" if service.database_url.startswith("sqlite") else "previewed_at - interval '901s'"
    Database(service.database_url).query(f"UPDATE bulk_revocations SET previewed_at = {aged}")
    refused = operator.http.put(f"{BULK}/{preview['id']}/start")
    assert (refused.status_code, refused.json()["code"]) == (409, "preview_expired")
    assert answered(owner.http.get(f"{OWN_KEYS}/{key['id']}"))["is_revoked"] is False


# verifiers


def test_verifiers(operator: Caller, owner: Caller) -> None:
    """A verifier that is created over HTTP checks keys with its credential until it is revoked; a name is used once."""
    name = f"api-{uuid.uuid4().hex[:8]}"
    key = owner.create()
    response = operator.http.post(VERIFIERS, json={"name": name})
    created = answered(response, 201)
    assert response.headers["Cache-Control"] == "no-store"
    headers = {"Authorization": f"Bearer {created['credential']}"}
    assert answered(operator.http.post(VERIFY, json={"key": key["private_key"]}, headers=headers))["valid"] is True
    assert answered(operator.http.post(VERIFIERS, json={"name": name}), 409)["code"] == "name_taken"
    listed = answered(operator.http.get(VERIFIERS))
    assert {each: value for each, value in created.items() if each != "credential"} in listed
    assert created["credential"] not in operator.http.get(VERIFIERS).text
    revoked = answered(operator.http.put(f"{VERIFIERS}/{name}/revoke"))
    assert revoked["revoked_at"] is not None
    deadline = time.monotonic() + PATIENCE_SECONDS
    while operator.http.post(VERIFY, json={"key": key["private_key"]}, headers=headers).status_code != 401:
        assert time.monotonic() < deadline
    assert operator.http.put(f"{VERIFIERS}/nobody/revoke").status_code == 404
    assert operator.http.put(f"{VERIFIERS}/a%00b/revoke").status_code == 404
    assert operator.http.post(VERIFIERS, json={"name": "a b"}).status_code == 422
    assert created["credential"] not in operator.service.log_path.read_text()
