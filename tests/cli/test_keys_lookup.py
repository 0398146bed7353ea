"""How a command finds the key that it names."""

from typing import Any
from urllib.parse import quote

import pytest

from keywright.keys.pair import mint
from tests.cli.fake_service import Answer, fake_service
from tests.cli.key_answers import PATH, invoke
from tests.client.key_answers import FIELDS

ALL = ("GET", f"{PATH}?limit=1000")


def key(number: int, name: str, **fields: Any) -> dict[str, Any]:
    pair = mint(bytes([number]) * 32, brand="kw", environment="live")
    parts = {"public_key": pair.public.text, "private_key_display": pair.private.display}
    return {**FIELDS, "id": f"019a5d{number:02}-7c1f-7c44-9b0e-2d0c8f3a1b55", "name": name, **parts, **fields}


# Newest first, as the service lists them.
SPARE, EXPORT, BILLING = KEYS = [key(3, "spare"), key(2, "Billing export"), key(1, "Billing")]


def search(text: str, *found: dict[str, Any]) -> dict[tuple[str, str], Answer]:
    return {("GET", f"{PATH}?limit=1000&q={quote(text, safe='')}"): Answer(200, list(found))}


def one(found: dict[str, Any]) -> dict[tuple[str, str], Answer]:
    return {("GET", f"{PATH}/{found['id']}"): Answer(200, found)}


@pytest.mark.parametrize(
    ("text", "searched"),
    [
        ("Billing", "Billing"),
        (BILLING["public_key"], BILLING["public_key"]),
        (BILLING["private_key_display"], BILLING["private_key_display"][-4:]),
        (f"…{BILLING['private_key_display'][-4:]}", BILLING["private_key_display"][-4:]),
    ],
    ids=["name", "public key", "display", "display of a narrow list"],
)
def test_by_what_the_list_shows(text: str, searched: str) -> None:
    """A whole name, display or public key finds its key; a key that only contains the text does not count."""
    with fake_service({**search(searched, EXPORT, BILLING), **one(BILLING)}) as service:
        done = invoke(service, "get", text)
    assert done.exit_code == 0, done.stderr
    assert BILLING["id"] in done.stdout


@pytest.mark.parametrize("text", ["019a5d01", "019A5D01", "019a5d01-7c1f", "019a5d017c1f7c44"])
def test_by_the_beginning_of_the_id(text: str) -> None:
    """The beginning of an id finds the key, in either case and with or without hyphens."""
    with fake_service({**search(text), ALL: Answer(200, KEYS), **one(BILLING)}) as service:
        done = invoke(service, "get", text)
    assert done.exit_code == 0, done.stderr
    assert BILLING["id"] in done.stdout


def test_an_id_is_not_searched_for() -> None:
    """A whole id is used as it is, so that it also names a key that is deleted."""
    with fake_service({("GET", f"{PATH}/{BILLING['id']}/revocation"): Answer(404, "gone")}) as service:
        invoke(service, "receipt", BILLING["id"].upper())
    assert [path for _, path, _, _ in service.seen] == [f"{PATH}/{BILLING['id']}/revocation"]


def test_older_pages_are_not_read() -> None:
    """Keys are listed newest first, so the search for an id's beginning ends at the first older one."""
    older = {"Link": f'<{PATH}?limit=1000&cursor=x>; rel="next"'}
    with fake_service({**search("019a5d02"), ALL: Answer(200, KEYS, older), **one(EXPORT)}) as service:
        done = invoke(service, "get", "019a5d02")
    assert done.exit_code == 0, done.stderr
    assert len(service.seen) == 3


@pytest.mark.parametrize("command", [("revoke", "spare"), ("delete", "spare"), ("rotate", "spare")])
def test_more_than_one(command: tuple[str, ...]) -> None:
    """An ambiguous name changes nothing; the error lists each key with its id, display, status and name."""
    twin = key(4, "spare", status="revoked", is_revoked=True)
    with fake_service(search("spare", twin, SPARE)) as service:
        done = invoke(service, *command)
        assert len(service.seen) == 1
    assert (done.exit_code, done.stdout) == (1, "")
    first, *candidates = done.stderr.splitlines()
    assert first == "More than one key matches spare; give the id of one:"
    assert candidates == [
        f"  {found['id']}  {found['private_key_display']}  {found['status']}  spare" for found in (twin, SPARE)
    ]


def test_a_name_and_an_id() -> None:
    """A name that is also the beginning of another key's id is ambiguous."""
    named = key(9, "019a5d01")
    with fake_service({**search("019a5d01", named), ALL: Answer(200, [named, *KEYS])}) as service:
        done = invoke(service, "get", "019a5d01")
    assert done.exit_code == 1
    assert [named["id"] in done.stderr, BILLING["id"] in done.stderr] == [True, True]


def test_many_candidates() -> None:
    """The error lists ten keys, and that there are others."""
    twins = [key(number, "spare") for number in range(20, 32)]
    with fake_service(search("spare", *twins)) as service:
        lines = invoke(service, "get", "spare").stderr.splitlines()
    assert (len(lines), lines[-1]) == (12, "  and others")


def test_none() -> None:
    """A name that no key has is an error; escape sequences in it do not reach the terminal."""
    with fake_service(search("bill\x1b", EXPORT)) as service:
        done = invoke(service, "get", "bill\x1b")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "There is no key whose id, name, display or public key is bill\ufffd; see `keywright keys list`.\n"
    )
