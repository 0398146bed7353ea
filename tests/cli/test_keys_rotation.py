"""`keywright keys rotate` and `rotation`: what is sent, what is printed, and how the old secret is watched."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from keywright import contract
from keywright.cli import exits
from keywright.cli.keys import rotation as rotation_commands
from keywright.client import ManagementClient
from keywright.contract import ApiKeyResponse
from keywright.keys.pair import mint
from tests.cli.fake_service import Answer, fake_service
from tests.cli.key_answers import PATH, invoke, problem
from tests.cli.terminal import answered, command, environment, terminal
from tests.client.key_answers import FIELDS, KEY_ID, REVOKED, SECRET
from tests.live import PATIENCE_SECONDS

ONE = f"{PATH}/{KEY_ID}"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OLD_PAIR, NEW_PAIR = (mint(bytes([number]) * 32, brand="kw", environment="live") for number in (1, 2))
PRIVATE = NEW_PAIR.private.reveal()


def ago(minutes: float) -> str:
    return (NOW - timedelta(minutes=minutes)).isoformat()


def secret(pair: Any, **fields: Any) -> dict[str, Any]:
    return {
        **SECRET,
        "public_key": pair.public.text,
        "private_key_display": pair.private.display,
        "retire_when_idle_seconds": None,
        **fields,
    }


def key(*, old_used: str | None = None, new_used: str | None = None, idle: int | None = None) -> dict[str, Any]:
    """A key that is being rotated."""
    old = secret(OLD_PAIR, last_used_at=old_used, retires_at="2026-12-24T12:00:00Z", retire_when_idle_seconds=idle)
    new = secret(NEW_PAIR, first_used_at=new_used, last_used_at=new_used)
    return {**FIELDS, "secrets": [new, old]}


ROTATED = {**key(), "private_key": PRIVATE}
ENDED = {**FIELDS, "secrets": [secret(NEW_PAIR, first_used_at=ago(90))]}


def read_key(answer: dict[str, Any]) -> ApiKeyResponse:
    return contract.read(ApiKeyResponse, json.dumps(answer).encode())


def usage(*sources: dict[str, Any]) -> dict[str, Any]:
    lists = {"counts": [], "sources": sources, "secrets": [], "refusals": []}
    return {"key_id": KEY_ID, "last_used_at": None, "period": "hour", **lists}


def source(pair: Any, network: str | None, last: str, agent: str | None = "curl") -> dict[str, Any]:
    return {
        "public_key": pair.public.text,
        "network": network,
        "agent": agent,
        "verifier": "billing-api",
        "first_seen": last,
        "last_seen": last,
        "count": 1,
    }


# What is sent and printed.


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        ((), {}),
        (("--overlap", "7d"), {"overlap_seconds": 604_800}),
        (("--idle", "1h"), {"retire_when_idle_seconds": 3600}),
        (("--overlap", "0s"), {"overlap_seconds": 0}),
    ],
)
def test_rotate(arguments: tuple[str, ...], body: dict[str, int]) -> None:
    """The times go out in seconds; a pipe gets the new private key alone, so that a variable can hold it."""
    with fake_service({("POST", f"{ONE}/rotate"): Answer(200, ROTATED)}) as service:
        done = invoke(service, "rotate", KEY_ID, *arguments)
    assert done.exit_code == 0, done.output
    assert json.loads(service.seen[0][3]) == body
    assert done.stdout == f"{PRIVATE}\n"
    assert "cannot be read again" in done.stderr


def test_rotate_for_programs() -> None:
    """With --json standard output is the answer and nothing else."""
    with fake_service({("POST", f"{ONE}/rotate"): Answer(200, ROTATED)}) as service:
        done = invoke(service, "rotate", KEY_ID, "--json", "--if-match", '"7"')
    assert json.loads(done.stdout) == ROTATED
    assert service.headers[0]["If-Match"] == '"7"'


def test_rotation_end_and_extend() -> None:
    """Both set the time that is left; the key is printed as it stands then."""
    with fake_service({("PUT", f"{ONE}/rotation"): Answer(200, key())}) as service:
        ended = invoke(service, "rotation", "end", KEY_ID)
        extended = invoke(service, "rotation", "extend", KEY_ID, "--overlap", "7d", "--json")
    assert (ended.exit_code, extended.exit_code) == (0, 0)
    assert "has ended" in ended.stderr
    assert json.loads(extended.stdout) == key()
    assert [json.loads(seen[3]) for seen in service.seen] == [{"overlap_seconds": 0}, {"overlap_seconds": 604_800}]


def test_no_rotation_under_way() -> None:
    """Without a rotation there is nothing to end and nothing to wait for."""
    answers = {("PUT", f"{ONE}/rotation"): problem(409, "no_rotation_under_way"), ("GET", ONE): Answer(200, FIELDS)}
    with fake_service(answers) as service:
        assert invoke(service, "rotation", "end", KEY_ID).exit_code == 1
        waited = invoke(service, "rotation", "wait", KEY_ID)
    assert waited.exit_code == 1
    assert "No rotation is in progress" in waited.stderr


@pytest.mark.parametrize("arguments", [("rotate", KEY_ID, "--overlap", "0s"), ("rotation", "end", KEY_ID)])
def test_what_ends_a_secret_asks_on_a_terminal(arguments: tuple[str, ...]) -> None:
    """On a terminal, what ends a secret at once is confirmed first; no is the end of it."""
    with fake_service({}) as service:
        done = answered(service, b"n\n", *arguments)
        assert service.seen == []
    assert done.returncode == 1
    assert b"End the" in done.stderr


# Watching.


class Rotation:
    """
    A service whose clock a watcher's pauses move, and a rotation on it.

    `answers` are the key and its usage at each look, the last one for ever.
    """

    def __init__(self, *answers: tuple[Any, Any]) -> None:
        self.now = NOW
        self.looks = 0
        self._answers = answers
        self.client = ManagementClient(
            "https://keys.acme.example", "a.b.c", transport=httpx.MockTransport(self._take), pauses=()
        )

    def _take(self, request: httpx.Request) -> httpx.Response:
        key_now, usage_now = self._answers[min(self.looks, len(self._answers) - 1)]
        if request.url.path.endswith("/usage"):
            self.looks += 1
            return httpx.Response(200, json=usage_now, headers=self._date)
        if isinstance(key_now, int):
            self.looks += 1
            return httpx.Response(key_now, json={"detail": "No.", "code": "x", "request_id": "r"})
        return httpx.Response(200, json=key_now, headers=self._date)

    @property
    def _date(self) -> dict[str, str]:
        return {"Date": format_datetime(self.now.astimezone(UTC), usegmt=True)}

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def watch(
        self, capture: pytest.CaptureFixture[str], *, idle: int | None = None, rotation_idle: int | None = None
    ) -> list[str]:
        """Watch to the end, and return the printed lines."""
        begun = read_key(key(idle=rotation_idle))
        rotation_commands.watch(self.client, begun, idle_seconds=idle, sleep=self.sleep)
        captured = capture.readouterr()
        assert captured.out == ""
        return captured.err.splitlines()


def test_safe_after_a_quiet_hour(capsys: pytest.CaptureFixture[str]) -> None:
    """It is safe to end the old secret an hour after its last use, plus the delay with which uses are written."""
    rotation = Rotation((key(old_used=ago(0), new_used=ago(5)), usage()))
    *_, last = rotation.watch(capsys)
    assert rotation.now - NOW == timedelta(hours=1, seconds=rotation_commands.LAG_SECONDS)
    assert "safe to end the old secret" in last
    assert f"keywright keys rotation end {KEY_ID}" in last
    assert "not used for 1h" in last


def test_a_use_begins_the_wait_anew(capsys: pytest.CaptureFixture[str]) -> None:
    """Each use of the old secret is printed with its source, once, and the idle time counts from it."""
    used = (key(old_used=ago(-10), new_used=ago(5)), usage(source(OLD_PAIR, "192.0.2.0/24", ago(-10))))
    rotation = Rotation((key(old_used=ago(0), new_used=ago(5)), usage()), used)
    lines = rotation.watch(capsys, idle=600)
    assert rotation.now - NOW == timedelta(minutes=20, seconds=rotation_commands.LAG_SECONDS)
    (line,) = [line for line in lines if "192.0.2.0/24" in line]
    assert line == "  from 192.0.2.0/24 curl through billing-api, last 2026-11-24 12:10:00 UTC"
    assert len(lines) == len(set(lines))


def test_the_new_secret_has_to_be_used_first(capsys: pytest.CaptureFixture[str]) -> None:
    """While the new secret is unused, the old one is not safe to end, however long it is idle."""
    unused = [(key(old_used=ago(9999)), usage())] * 50
    rotation = Rotation(*unused, (key(old_used=ago(9999), new_used=ago(1)), usage()))
    lines = rotation.watch(capsys, idle=60)
    assert rotation.looks > 50
    assert any("first used –" in line for line in lines)
    assert "safe to end" in lines[-1]


def test_the_quiet_time_of_the_rotation(capsys: pytest.CaptureFixture[str]) -> None:
    """By default the idle time is that of the rotation."""
    rotation = Rotation((key(new_used=ago(0), idle=900), usage()))
    assert "not used for 15m" in rotation.watch(capsys, rotation_idle=900)[-1]


def test_uses_of_the_new_secret_are_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Only sources of the old secret are shown, unknown networks as such."""
    sources = usage(source(NEW_PAIR, "198.51.100.0/24", ago(0)), source(OLD_PAIR, None, ago(99), agent=None))
    lines = Rotation((key(new_used=ago(99), old_used=ago(99)), sources)).watch(capsys)
    assert not any("198.51.100" in line for line in lines)
    assert any("from an unknown network through billing-api" in line for line in lines)


def test_the_service_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    """When the old secret ends meanwhile, the watch reports it and ends."""
    rotation = Rotation((key(new_used=ago(1)), usage()), (ENDED, usage()))
    assert rotation.watch(capsys)[-1] == "The old secret has ended."


def test_an_overlap_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A rotation that left no old secret is over at once."""
    rotation = Rotation((ENDED, usage()))
    rotation_commands.watch(
        rotation.client,
        read_key(ENDED),
        idle_seconds=None,
        sleep=rotation.sleep,
    )
    assert capsys.readouterr().err == "The old secret has ended.\n"
    assert rotation.looks == 0


def test_the_service_is_away_for_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    """A call to an unavailable service is repeated."""
    rotation = Rotation((503, None), (503, None), (ENDED, usage()))
    assert rotation.watch(capsys)[-1] == "The old secret has ended."
    assert rotation.now - NOW == timedelta(seconds=2 * rotation_commands.PAUSE_SECONDS)


def test_the_key_is_revoked_meanwhile(capsys: pytest.CaptureFixture[str]) -> None:
    """A key that is revoked during the watch is a failure with a sentence."""
    with pytest.raises(SystemExit) as caught:
        Rotation((REVOKED, usage())).watch(capsys)
    assert caught.value.code == exits.FAILED
    assert "revoked meanwhile" in capsys.readouterr().err


def test_rotate_and_wait() -> None:
    """With --wait the command runs until the old secret is safe to end; standard output has the result only."""
    answers = {
        ("POST", f"{ONE}/rotate"): Answer(200, ROTATED),
        ("GET", ONE): Answer(200, key(new_used="2020-01-01T00:00:00Z", old_used="2020-01-01T00:00:00Z")),
        ("GET", f"{ONE}/usage?limit=20&period=hour"): Answer(
            200, usage(source(OLD_PAIR, "192.0.2.0/24", "2020-01-01T00:00:00Z"))
        ),
    }
    with fake_service(answers) as service:
        done = invoke(service, "rotate", KEY_ID, "--wait", "--idle", "15m", "--json")
        waited = invoke(service, "rotation", "wait", KEY_ID, "--idle", "15m")
    assert (done.exit_code, waited.exit_code) == (0, 0)
    assert json.loads(done.stdout) == ROTATED
    for errors in (done.stderr, waited.stderr):
        assert "from 192.0.2.0/24 curl through billing-api" in errors
        assert "safe to end the old secret" in errors
    assert waited.stdout == ""


def test_live_on_a_terminal() -> None:
    """On a terminal the state is shown in place, and the end is a line of its own."""
    answers = {
        ("GET", ONE): Answer(200, key(new_used="2020-01-01T00:00:00Z", old_used="2020-01-01T00:00:00Z")),
        ("GET", f"{ONE}/usage?limit=20&period=hour"): Answer(200, usage()),
    }
    with (
        fake_service(answers) as service,
        terminal() as screen,
        subprocess.Popen(
            command("rotation", "wait", KEY_ID),
            env=environment(service),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=screen.theirs,
        ) as process,
    ):
        text = screen.shown()
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, out) == (0, b"")
    assert f"Old secret {OLD_PAIR.private.display}: last used 2020-01-01 00:00:00 UTC" in text
    assert "safe to end the old secret" in text
