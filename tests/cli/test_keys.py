"""`keywright keys …` against a fake service: what is printed where, and the exit codes."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from keywright.cli.application import app
from tests.cli.fake_service import Answer, fake_service
from tests.cli.key_answers import PATH, invoke, problem
from tests.cli.terminal import answered
from tests.client.key_answers import FIELDS, KEY_ID, NEW, PAIR, PRIVATE, REVOKED, SECRET, TOKEN


def test_create_prints_the_private_key_once() -> None:
    """A pipe gets the private key alone, so that a variable can hold it; the warning goes to standard error."""
    with fake_service({("POST", PATH): Answer(201, NEW)}) as service:
        done = invoke(service, "create", "Billing export", "--description", "Nightly job")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{PRIVATE}\n"
    assert "cannot be read again" in done.stderr
    assert PRIVATE not in done.stderr
    (sent,) = service.seen
    assert sent[2] == f"Bearer {TOKEN}"
    assert json.loads(sent[3]) == {"name": "Billing export", "description": "Nightly job"}


def test_create_for_programs() -> None:
    """With --json standard output is one JSON object in the contract's words, and nothing else."""
    with fake_service({("POST", PATH): Answer(201, NEW)}) as service:
        done = invoke(service, "create", "Billing export", "--json")
    assert json.loads(done.stdout) == NEW
    assert "cannot be read again" in done.stderr


def test_list_for_people() -> None:
    """A table shows what tells keys apart; that there are more is printed on standard error."""
    link = {"Link": f'<{PATH}?limit=2&cursor=x>; rel="next"'}
    with fake_service({("GET", f"{PATH}?limit=2"): Answer(200, [FIELDS, REVOKED], link)}) as service:
        done = invoke(service, "list", "--limit", "2")
    assert done.exit_code == 0, done.output
    assert done.stdout.count(KEY_ID) == 2
    assert "Billing export" in done.stdout
    assert "active" in done.stdout
    assert "revoked 2026-11-24" in done.stdout
    assert "--all" in done.stderr


def test_list_all_follows_the_pages() -> None:
    """--all reads to the last page, and --json prints one array of all."""
    answers = {
        ("GET", f"{PATH}?limit=1"): Answer(200, [FIELDS], {"Link": f'<{PATH}?limit=1&cursor=x>; rel="next"'}),
        ("GET", f"{PATH}?limit=1&cursor=x"): Answer(200, [REVOKED]),
    }
    with fake_service(answers) as service:
        done = invoke(service, "list", "--all", "--limit", "1", "--json")
    assert [key["is_revoked"] for key in json.loads(done.stdout)] == [False, True]
    assert done.stderr == ""


def test_empty_list() -> None:
    """No key is an empty array, and no error."""
    with fake_service({("GET", f"{PATH}?limit=100"): Answer(200, [])}) as service:
        assert json.loads(invoke(service, "list", "--json").stdout) == []
        assert invoke(service, "list").exit_code == 0


def test_get_revoke_and_delete() -> None:
    """Each prints the current key; without a terminal there is no confirmation."""
    answers = {
        ("GET", f"{PATH}/{KEY_ID}"): Answer(200, FIELDS),
        ("PUT", f"{PATH}/{KEY_ID}/revoke"): Answer(200, REVOKED),
        ("DELETE", f"{PATH}/{KEY_ID}"): Answer(204),
    }
    with fake_service(answers) as service:
        assert json.loads(invoke(service, "get", KEY_ID, "--json").stdout) == FIELDS
        assert PAIR.public.text in invoke(service, "get", KEY_ID).stdout
        assert json.loads(invoke(service, "revoke", KEY_ID, "--json").stdout) == REVOKED
        deleted = invoke(service, "delete", KEY_ID)
    assert (deleted.exit_code, deleted.stdout) == (0, "")


def test_disable_and_enable() -> None:
    """Each changes the one field, and prints the key."""
    with fake_service({("PATCH", f"{PATH}/{KEY_ID}"): Answer(200, {**FIELDS, "enabled": False})}) as service:
        disabled = invoke(service, "disable", KEY_ID, "--json")
        assert json.loads(disabled.stdout) == {**FIELDS, "enabled": False}
        assert json.loads(service.seen[-1][3]) == {"enabled": False}
        assert invoke(service, "enable", KEY_ID, "--if-match", '"7"').exit_code == 0
        assert json.loads(service.seen[-1][3]) == {"enabled": True}
        assert service.headers[-1]["If-Match"] == '"7"'


def test_list_filters_by_creation() -> None:
    """Each filter of the API is an option."""
    options = ("--created-by", "auth0|alice", "--scope", "a:read", "--oldest-first", "--status", "disabled")
    times = ("--created-after", "2026-01-01T00:00:00Z", "--created-before", "2026-02-01T00:00:00Z")
    wanted = {
        "limit": "100",
        "created_by": "auth0|alice",
        "scope": "a:read",
        "sort": "created_at",
        "status": "disabled",
        "created_after": "2026-01-01T00:00:00Z",
        "created_before": "2026-02-01T00:00:00Z",
    }
    with fake_service({}) as service:
        invoke(service, "list", *options, *times)
        assert dict(parse_qsl(urlsplit(service.seen[-1][1]).query)) == wanted


def test_names_cannot_act_on_the_terminal() -> None:
    """Escape sequences and markup in other people's text are shown, not obeyed."""
    hostile = {**FIELDS, "name": "\x1b]0;owned\x07[bold red]x[/]\x1b[2J"}
    answers = {("GET", f"{PATH}?limit=100"): Answer(200, [hostile]), ("GET", f"{PATH}/{KEY_ID}"): Answer(200, hostile)}
    with fake_service(answers) as service:
        for done in (invoke(service, "list"), invoke(service, "get", KEY_ID)):
            assert "\x1b" not in done.stdout
            assert "\x07" not in done.stdout
            assert "[bold red]" in done.stdout


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (problem(401, "invalid_token"), 4),
        (problem(403, "insufficient_permission"), 4),
        (problem(404, "not_found"), 1),
        (problem(500, "internal"), 1),
        (problem(503, "storage_unavailable", headers={"Retry-After": "1"}), 5),
    ],
)
def test_refusals(answer: Answer, code: int) -> None:
    """The service's own sentence and request id go to standard error; the exit code depends on the kind."""
    with fake_service({("GET", f"{PATH}/{KEY_ID}"): answer}) as service:
        done = invoke(service, "get", KEY_ID, "--json")
    assert (done.exit_code, done.stdout) == (code, "")
    assert done.stderr == "A sentence. (request req-12345678)\n"


def test_hostile_refusal() -> None:
    """A refusal's sentence cannot act on the terminal either."""
    with fake_service({("GET", f"{PATH}/{KEY_ID}"): problem(404, "not_found", "\x1b[2Jgone")}) as service:
        assert "\x1b" not in invoke(service, "get", KEY_ID).stderr


def test_validation_failure_names_the_field() -> None:
    """An error in a field is printed with the field's name."""
    flaw = {"loc": ["body", "name"], "msg": "String should have at most 100 characters", "type": "string_too_long"}
    with fake_service({("POST", PATH): problem(422, "validation_failed", [flaw])}) as service:
        done = invoke(service, "create", "x" * 101)
    assert done.exit_code == 1
    assert done.stderr.startswith("name: String should have at most 100 characters")


def test_nobody_answers() -> None:
    """An unavailable service is an error with its address."""
    with fake_service({}) as service:
        gone = service.url
    done = invoke(gone, "list")
    assert done.exit_code == 5
    assert gone in done.stderr


def test_proxies_do_not_lead_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is not used for a service on loopback."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with fake_service({("GET", f"{PATH}?limit=100"): Answer(200, [])}) as service:
        assert invoke(service, "list").exit_code == 0


def test_something_else_answers() -> None:
    """A wrong address is an error with a sentence."""
    with fake_service({}) as service:
        done = invoke(service, "list")
    assert done.exit_code == 1
    assert "not as a Keywright service does" in done.stderr


@pytest.mark.parametrize("token", ["", "  "])
def test_no_token(token: str) -> None:
    """Without a token nothing is sent, and the sentence explains how to get one."""
    with fake_service({}) as service:
        done = invoke(service, "list", token=token)
        assert service.seen == []
    assert done.exit_code == 2
    assert "start `keywright dev` in this folder" in done.stderr


def test_a_token_from_a_file(tmp_path: Path) -> None:
    """The token may be in a file, whose line end is no part of it."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with fake_service({("POST", PATH): Answer(201, NEW)}) as service:
        done = invoke(service, "create", "x", token="", token_file=str(tmp_path / "token"))
        assert [sent[2] for sent in service.seen] == [f"Bearer {TOKEN}"]
    assert done.exit_code == 0


@pytest.mark.parametrize(
    ("content", "token", "expected"),
    [
        (None, "", "KEYWRIGHT_TOKEN_FILE: the file cannot be read."),
        (b"\xff", "", "KEYWRIGHT_TOKEN_FILE: the file cannot be read."),
        (b" \n", "", "KEYWRIGHT_TOKEN_FILE: the file is empty."),
        (b"a.b.c", TOKEN, "KEYWRIGHT_TOKEN and KEYWRIGHT_TOKEN_FILE are both set; set one of them."),
    ],
)
def test_an_unusable_file_for_a_token(tmp_path: Path, content: bytes | None, token: str, expected: str) -> None:
    """A file that cannot be the source of the token, or is one of two, is one sentence, and nothing is sent."""
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with fake_service({}) as service:
        done = invoke(service, "list", token=token, token_file=str(path))
        assert service.seen == []
    assert (done.exit_code, done.stderr) == (2, f"{expected}\n")


def test_no_option_takes_a_token() -> None:
    """A token can only come from the environment: command lines are kept and shown."""
    commands = find_command("keys").commands
    for name, command in {**commands, **commands["rotation"].commands}.items():
        assert "--token" not in [option for parameter in command.params for option in parameter.opts], name


def find_command(name: str) -> Any:
    whole: Any = app
    return whole.commands[name]


def test_create_with_everything() -> None:
    """Each field has an option, in units for people; what is sent is in the contract's."""
    with fake_service({("POST", PATH): Answer(201, NEW)}) as service:
        arguments = [
            *("--environment", "sandbox", "--expires", "2027-01-31T13:00:00+01:00"),
            *("--scope", "reports:read", "--scope", "invoices:*", "--allow-ip", "192.0.2.7"),
            *("--rate-limit", "minute=100/60s", "--rate-limit", "day=5000/1d"),
            *("--external-id", "customer-1742", "--metadata", '{"plan": "team"}'),
        ]
        done = invoke(service, "create", "Billing export", *arguments)
    assert done.exit_code == 0, done.output
    (sent,) = service.seen
    assert json.loads(sent[3]) == {
        "name": "Billing export",
        "environment": "sandbox",
        "expires_at": "2027-01-31T12:00:00Z",
        "scopes": ["reports:read", "invoices:*"],
        "allowed_ips": ["192.0.2.7"],
        "rate_limits": [
            {"name": "minute", "limit": 100, "window_seconds": 60},
            {"name": "day", "limit": 5000, "window_seconds": 86_400},
        ],
        "external_id": "customer-1742",
        "metadata": {"plan": "team"},
    }


def test_create_with_a_life() -> None:
    """An expiry may be a duration from now."""
    with fake_service({("POST", PATH): Answer(201, NEW)}) as service:
        before = datetime.now(UTC)
        assert invoke(service, "create", "n", "--expires", "90d").exit_code == 0
        after = datetime.now(UTC)
    expires = datetime.fromisoformat(json.loads(service.seen[0][3])["expires_at"])
    assert before <= expires - timedelta(days=90) <= after


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "n", "--expires", "soon"),
        ("create", "n", "--expires", "2027-01-31"),
        ("create", "n", "--expires", "999999999w"),
        ("create", "n", "--rate-limit", "100/60s"),
        ("create", "n", "--rate-limit", "minute=100/60"),
        ("create", "n", "--metadata", "[]"),
        ("create", "n", "--metadata", "{"),
        ("list", "--status", "asleep"),
        ("list", "--unused-since", "90"),
        ("rotate", KEY_ID, "--overlap", "7"),
        ("rotation", "extend", KEY_ID),
        ("revoke", KEY_ID, "--reason", "boredom"),
        ("update", KEY_ID),
        ("update", KEY_ID, "--clear", "name"),
        ("update", KEY_ID, "--scope", "a:b", "--clear", "scopes"),
        ("usage", KEY_ID, "--period", "week"),
    ],
)
def test_what_cannot_be_meant(arguments: tuple[str, ...]) -> None:
    """A value that is none ends the command before anything is sent."""
    with fake_service({}) as service:
        done = invoke(service, *arguments)
        assert service.seen == []
    assert done.exit_code == 2
    assert done.stderr != ""


def test_list_filters() -> None:
    """Each filter is sent, on every page."""
    query = "status=expiring&q=Billing&environment=live&external_id=customer-1742"
    first, second = f"{PATH}?limit=1&{query}", f"{PATH}?limit=1&cursor=x&{query}"
    link = {"Link": f'<{second}>; rel="next"'}
    answers = {("GET", first): Answer(200, [FIELDS], link), ("GET", second): Answer(200, [FIELDS])}
    narrowed = [
        "--status",
        "expiring",
        "--search",
        "Billing",
        "--environment",
        "live",
        "--external-id",
        "customer-1742",
    ]
    with fake_service(answers) as service:
        done = invoke(service, "list", "--limit", "1", "--all", "--json", *narrowed)
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)) == 2


def test_list_unused() -> None:
    """The filter for unused keys is sent as a time."""
    with fake_service({}) as service:
        invoke(service, "list", "--unused-since", "90d")
    sent = httpx.URL(service.seen[0][1]).params["unused_since"]
    age = datetime.now(UTC) - datetime.fromisoformat(sent)
    assert timedelta(days=90) <= age < timedelta(days=91)


def test_show_for_people() -> None:
    """What a key may do, and each of its secrets, are shown in words and units for people."""
    old = {**SECRET, "retires_at": "2026-12-01T00:00:00Z", "retire_when_idle_seconds": 3600}
    used = {**SECRET, "last_used_at": "2026-11-24T00:00:00Z"}
    key = {**REVOKED, "secrets": [used, old]}
    with fake_service({("GET", f"{PATH}/{KEY_ID}"): Answer(200, key)}) as service:
        shown = invoke(service, "get", KEY_ID).stdout
    for part in (
        "revoked 2026-11-24 (key compromise)",
        "invoices:read",
        "192.0.2.0/24",
        "minute: 100 in 1m",
        "customer-1742",
        '{"plan": "team"}',
        "current, last used 2026-11-24 00:00:00 UTC",
        "works until 2026-12-01 00:00:00 UTC, or 1h without use, not used yet",
    ):
        assert part in shown


def test_update_is_a_condition_away_from_a_conflict() -> None:
    """What is given is sent, what is cleared is emptied, and the tag that was shown is the condition."""
    answers = {
        ("GET", f"{PATH}/{KEY_ID}"): Answer(200, FIELDS, {"ETag": '"7"'}),
        ("PATCH", f"{PATH}/{KEY_ID}"): Answer(200, FIELDS, {"ETag": '"8"'}),
    }
    with fake_service(answers) as service:
        etag = json.loads(invoke(service, "get", KEY_ID, "--json").stdout)["etag"]
        done = invoke(
            service,
            *("update", KEY_ID, "--name", "New", "--scope", "a:b", "--expires", "2027-01-31T12:00:00Z"),
            *(
                "--clear",
                "description",
                "--clear",
                "rate-limits",
                "--clear",
                "external-id",
                "--if-match",
                etag,
                "--json",
            ),
        )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {**FIELDS, "etag": '"8"'}
    assert json.loads(service.seen[1][3]) == {
        "name": "New",
        "scopes": ["a:b"],
        "expires_at": "2027-01-31T12:00:00Z",
        "description": None,
        "rate_limits": [],
        "external_id": None,
    }
    assert service.headers[1]["If-Match"] == '"7"'


def test_clear_everything() -> None:
    """Every field that may be empty can be emptied."""
    fields = ["description", "expires", "external-id", "scopes", "allowed-ips", "rate-limits", "metadata"]
    with fake_service({("PATCH", f"{PATH}/{KEY_ID}"): Answer(200, FIELDS)}) as service:
        done = invoke(service, "update", KEY_ID, *(argument for field in fields for argument in ("--clear", field)))
    assert done.exit_code == 0, done.output
    assert json.loads(service.seen[0][3]) == {
        "description": None,
        "expires_at": None,
        "external_id": None,
        "scopes": [],
        "allowed_ips": [],
        "rate_limits": [],
        "metadata": {},
    }


def test_revoke_with_a_reason() -> None:
    """The reason is sent."""
    with fake_service({("PUT", f"{PATH}/{KEY_ID}/revoke"): Answer(200, REVOKED)}) as service:
        assert invoke(service, "revoke", KEY_ID, "--reason", "key_compromise").exit_code == 0
    assert json.loads(service.seen[0][3]) == {"reason": "key_compromise"}


def test_a_lost_answer_makes_one_key() -> None:
    """A creation whose answer does not arrive is sent again with the same key, and ends with one private key."""
    answers = {("POST", PATH): Answer(201, NEW)}
    with fake_service(answers) as service:
        service.lost = 1
        done = invoke(service, "create", "n")
    assert done.exit_code == 0, done.output
    assert done.stdout.count(PRIVATE) == 1
    assert len({headers["Idempotency-Key"] for headers in service.headers}) == 1
    assert len(service.seen) == 2


def test_malformed_id() -> None:
    """Text that is no id is searched for, and never becomes part of a path."""
    with fake_service({("GET", f"{PATH}?limit=1000&q=..%2Flivez"): Answer(200, [])}) as service:
        done = invoke(service, "get", "../livez")
        assert len(service.seen) == 1
    assert done.exit_code == 1
    assert done.stderr.startswith("There is no key whose id, name, display or public key is ../livez")


@pytest.mark.parametrize(("answer", "code", "calls"), [(b"n\n", 1, 0), (b"y\n", 0, 1)])
def test_revoke_asks_on_a_terminal(answer: bytes, code: int, calls: int) -> None:
    """On a terminal a revocation is confirmed first; no is the end of it."""
    with fake_service({("PUT", f"{PATH}/{KEY_ID}/revoke"): Answer(200, REVOKED)}) as service:
        done = answered(service, answer, "revoke", KEY_ID, "--json")
        assert len(service.seen) == calls
    assert done.returncode == code
    assert b"for good?" in done.stderr
    assert b"for good?" not in done.stdout


def test_revoke_yes_does_not_ask() -> None:
    """--yes skips the confirmation."""
    with fake_service({("PUT", f"{PATH}/{KEY_ID}/revoke"): Answer(200, REVOKED)}) as service:
        assert invoke(service, "revoke", KEY_ID, "--yes").exit_code == 0
