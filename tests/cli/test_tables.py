"""Keys as tables: on terminals of several widths, and where there is no terminal."""

import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from keywright.keys.pair import mint
from tests.cli.fake_service import Answer, fake_service
from tests.cli.key_answers import PATH
from tests.cli.terminal import command, environment, terminal, without_styles
from tests.client.key_answers import EVENT, FIELDS, NEW, PRIVATE
from tests.live import PATIENCE_SECONDS

LONG_NAME = "Nightly export of invoices to the accountants in Rotterdam, second attempt"


def api_key(number: int, name: str, environment: str = "live", **fields: Any) -> dict[str, Any]:
    pair = mint(bytes([number]) * 32, brand="kw", environment=environment)
    return {
        **FIELDS,
        "id": f"019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b{number:02}",
        "name": name,
        "environment": environment,
        "public_key": pair.public.text,
        "private_key_display": pair.private.display,
        "last_used_at": "2026-11-24T00:00:00Z",
        **fields,
    }


KEYS = [
    api_key(1, "Billing export"),
    api_key(
        2, LONG_NAME, "sandbox", is_revoked=True, status="revoked", revoked_at="2026-11-25T00:00:00Z", last_used_at=None
    ),
    api_key(3, "会計システム連携キー・東京リージョン本番環境", description="x" * 255),
]
IDS = [key["id"] for key in KEYS]


def on_terminal(width: int, *arguments: str, answers: Mapping[tuple[str, str], Answer]) -> list[str]:
    """Run a command whose standard output is a terminal *width* cells wide, and give the lines it printed there."""
    with (
        fake_service(answers) as service,
        terminal(width) as screen,
        subprocess.Popen(
            command(*arguments),
            env=environment(service),
            stdin=screen.theirs,
            stdout=screen.theirs,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        lines = screen.shown().splitlines()
        assert process.stderr is not None
        errors = process.stderr.read()
        assert process.wait(PATIENCE_SECONDS) == 0, errors
    return lines


def piped(*arguments: str, answers: Mapping[tuple[str, str], Answer], **more: str) -> list[str]:
    """Run a command whose standard output is a pipe, and give the lines it printed."""
    with fake_service(answers) as service:
        done = subprocess.run(
            command(*arguments),
            env=environment(service, **more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
    return without_styles(done.stdout).splitlines()


def cells(line: str) -> int:
    """Count the cells that a terminal needs for *line*; the wide characters here take two."""
    return sum(2 if "\u3000" <= character <= "\u9fff" else 1 for character in line)


def listing(keys: list[dict[str, Any]] = KEYS) -> dict[tuple[str, str], Answer]:
    return {("GET", f"{PATH}?limit=100"): Answer(200, keys)}


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60, 46])
def test_every_width(width: int) -> None:
    """A key is one line that fits, its id whole and in front, and its name beside it."""
    heading, *lines = on_terminal(width, "list", answers=listing())
    assert heading.split()[:2] == ["ID", "Name"]
    assert [line.split()[0] for line in lines] == IDS
    assert all(cells(line) <= width for line in [heading, *lines])
    assert [line[38:].startswith(key["name"][:2]) for line, key in zip(lines, KEYS, strict=True)] == [True] * 3


def test_eighty_columns() -> None:
    """At the usual width a long name ends in an ellipsis, and keys can still be told apart and judged."""
    heading, billing, long, wide = on_terminal(80, "list", answers=listing())
    assert heading.split() == ["ID", "Name", "Key", "Status"]
    assert billing == f"{IDS[0]}  Billing export              …{KEYS[0]['private_key_display'][-4:]}  active"
    assert long == f"{IDS[1]}  Nightly export of invoice…  …{KEYS[1]['private_key_display'][-4:]}  revoked"
    assert "…  …" in wide


def test_short_names_leave_room() -> None:
    """What short names do not need goes to a column more."""
    heading, _ = on_terminal(80, "list", answers=listing(KEYS[:1]))
    assert heading.split() == ["ID", "Name", "Key", "Status", "Last", "used"]


def test_wide_terminal() -> None:
    """Where there is room nothing is left out, and nothing is shortened."""
    heading, _, long, _ = on_terminal(200, "list", answers=listing())
    assert heading.split() == ["ID", "Name", "Key", "Created", "Status", "Last", "used"]
    assert long.split("  ")[1] == LONG_NAME
    assert KEYS[1]["private_key_display"] in long
    assert long.endswith("2026-11-23  revoked 2026-11-25  –")


def test_narrower_than_an_id() -> None:
    """Where not even an id fits, ids are all there is, and whole."""
    assert on_terminal(30, "list", answers=listing()) == ["ID", *IDS]


@pytest.mark.parametrize("columns", [{}, {"COLUMNS": "80"}, {"FORCE_COLOR": "1"}])
def test_no_terminal(columns: dict[str, str]) -> None:
    """A pipe gets everything whole and in line, whatever the environment says of a terminal."""
    heading, *lines = piped("list", answers=listing(), **columns)
    assert heading.split() == ["ID", "Name", "Key", "Created", "Status", "Last", "used"]
    assert LONG_NAME in lines[1]
    assert KEYS[2]["name"] in lines[2]
    assert "revoked 2026-11-25" in lines[1]
    starts = {cells(line[: line.index(key["private_key_display"])]) for line, key in zip(lines, KEYS, strict=True)}
    assert len(starts) == 1


def test_one_key_copies_whole() -> None:
    """On a narrow terminal a value continues below its beginning, and breaks between words only."""
    (key,) = KEYS[2:]
    lines = on_terminal(60, "get", key["id"], answers={("GET", f"{PATH}/{key['id']}"): Answer(200, key)})
    assert [line for line in lines if line.startswith("Public key ")] == [f"Public key    {key['public_key']}"]
    assert f"Description   {key['description']}" in lines
    whole = piped("get", key["id"], answers={("GET", f"{PATH}/{key['id']}"): Answer(200, key)})
    assert whole[-1].endswith(" of 2026-11-23, current, not used yet")
    assert " ".join(whole).split() == " ".join(lines).split()
    assert all(cells(line) <= 60 for line in lines if len(line.split()) > 3)


def test_no_keys() -> None:
    """Without a key the headings stand alone."""
    assert on_terminal(80, "list", answers=listing([])) == ["ID  Name  Key  Created  Status  Last used"]


def test_a_new_key_on_a_terminal() -> None:
    """A terminal gets all fields of a new key and then its private key, on a line of its own; a pipe gets it alone."""
    answers = {("POST", PATH): Answer(201, NEW)}
    lines = on_terminal(80, "create", "Billing export", answers=answers)
    assert lines[0] == f"ID            {FIELDS['id']}"
    assert lines[-2:] == ["", PRIVATE]
    assert piped("create", "Billing export", answers=answers) == [PRIVATE]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_rows_that_do_not_fit(width: int) -> None:
    """Where rows are wider than the terminal each is printed as its fields, which fit; nothing is cut."""
    event = {
        **EVENT,
        "data": {"reason": "a sentence of many words, which needs more than one line of a terminal"},
    }
    answers = {("GET", "/api/v2/api-key-events?limit=100"): Answer(200, [event, event])}
    lines = on_terminal(width, "events", answers=answers)
    assert all(cells(line) <= width for line in lines)
    assert lines.count("") == 1
    assert lines.count(f"Key      {EVENT['key_id']}") == 2
    words = " ".join(piped("events", answers=answers)[1:]).split()
    assert [word for word in " ".join(lines).split() if word in words].count("terminal") == 2


def test_rows_that_fit() -> None:
    """On a wide terminal, and in a pipe, events are one line each."""
    answers = {("GET", "/api/v2/api-key-events?limit=100"): Answer(200, [EVENT, EVENT])}
    lines = on_terminal(200, "events", answers=answers)
    assert (len(lines), lines[0].split()[:3]) == (3, ["When", "What", "Key"])
    assert piped("events", answers=answers) == lines
