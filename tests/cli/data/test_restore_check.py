"""`keywright audit head`, `audit export` and `restore-check`: what they print, and how they end."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from keywright.cli.application import app
from keywright.cli.data.restore_check import MEANINGS
from keywright.config import PREFIX
from keywright.keys.record import RevocationReason
from keywright.service.management.audit_log import EventType
from keywright.service.recovery.restore_check import Effect
from keywright.storage.engine import RunningStore, open_store
from keywright.storage.migrate import migrate
from tests.storage.making import a_rotation, an_event, an_organization, new_key


@dataclass
class Restored:
    """A database that was restored from a copy, the files that were kept, and what was lost."""

    folder: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder}/copy.db"

    @property
    def heads(self) -> Path:
        return self.folder / "heads.ndjson"

    @property
    def log(self) -> Path:
        return self.folder / "log.ndjson"

    def run(self, *arguments: str | Path, live: bool = False) -> Result:
        url = self.url.replace("copy", "live") if live else self.url
        settings = {name: None for name in os.environ if name.startswith(PREFIX)}
        words = [str(argument) for argument in arguments]
        done = CliRunner().invoke(app, words, env={**settings, f"{PREFIX}DATABASE_URL": url})
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    def check(self, *options: str | Path) -> Result:
        return self.run("restore-check", "--heads", self.heads, *options)

    def do(self, work: Callable[[RunningStore], Any], *, live: bool = True) -> None:
        async def run() -> None:
            store = open_store(self.url.replace("copy", "live") if live else self.url)
            try:
                await work(store)
            finally:
                await store.close()

        asyncio.run(run())


@pytest.fixture
def restored(tmp_path: Path) -> Restored:
    """A copy that lacks a revocation, a rotation, an update and a creation of one organization, and all of another."""
    restored = Restored(tmp_path)
    migrate(restored.url.replace("copy", "live"))
    acme, globex, other = an_organization(), an_organization(), an_organization()
    revoked, rotated, updated, created = (new_key(acme, name=name) for name in ("a", "b", "c", "\x1b[31mred"))

    async def before(store: RunningStore) -> None:
        for each in (revoked, rotated, updated, new_key(other)):
            await store.create(each)

    async def after(store: RunningStore) -> None:
        event = an_event(EventType.REVOKED, revoked.api_key, data={"reason": "superseded"})
        await store.revoke(event, RevocationReason.SUPERSEDED)
        await store.rotate(a_rotation(rotated.api_key))
        data = {"before": {"scopes": []}, "after": {"scopes": ["a:b"]}}
        await store.update(updated.api_key, an_event(EventType.UPDATED, updated.api_key, data=data))
        await store.create(created)
        await store.create(new_key(globex, name="of globex"))

    restored.do(before)
    shutil.copy(tmp_path / "live.db", tmp_path / "copy.db")
    restored.do(after)
    restored.heads.write_text(restored.run("audit", "head", live=True).stdout)
    restored.log.write_text(restored.run("audit", "export", live=True).stdout)
    return restored


def test_heads_and_log(restored: Restored) -> None:
    """A head is one JSON object a line for each organization; the log has a line for each event, up to the heads."""
    heads = [json.loads(line) for line in restored.heads.read_text().splitlines()]
    assert sorted(head["position"] for head in heads) == [1, 1, 7]
    assert {*heads[0]} == {"org_id", "position", "hash", "at"}
    log = [json.loads(line) for line in restored.log.read_text().splitlines()]
    assert [(line["org_id"], line["hash"]) for line in log if line["position"] == 7] == [
        (head["org_id"], head["hash"]) for head in heads if head["position"] == 7
    ]
    organization = next(head["org_id"] for head in heads if head["position"] == 7)
    done = restored.run("audit", "export", "--org", organization, "--since", "2026-01-01T00:00:00Z", live=True)
    assert len(done.stdout.splitlines()) == 7
    assert restored.run("audit", "export", "--since", "2027-01-01T00:00:00Z", live=True).stdout == ""


def test_what_it_prints(restored: Restored) -> None:
    """Organizations that lost events are listed, with the affected keys where the log is given; exit code 1."""
    done = restored.check()
    assert (done.exit_code, done.stderr) == (1, "")
    shown = done.stdout.splitlines()
    assert sorted(line.partition(": ")[2] for line in shown[:-1]) == [
        "1 event lost, the whole organization",
        "4 events or more lost, up to position 7",
    ]
    assert shown[-1] == "3 compared, 1 whole, 2 not; 0 are newer than the heads"
    done = restored.check("--log", restored.log)
    assert done.exit_code == 1
    text = done.stdout
    assert "4 events lost, positions 4 to 7" in text
    assert "revoked 2026-11-15 13:00:00 UTC (superseded)" in text
    assert "it is as it was before a change of scopes" in text
    assert "its newest private key does not exist any more" in text
    assert "\x1b" not in text
    assert text.splitlines()[-1] == "1 to do again: run it with --apply."


def test_json(restored: Restored) -> None:
    """With --json a line for each organization has the numbers, and the keys where the log is given."""
    found = [json.loads(line) for line in restored.check("--json").stdout.splitlines()]
    assert sorted((each["lost"], each["lost_at_most"]) for each in found) == [(0, 0), (1, 1), (4, 7)]
    assert "keys" not in found[0]
    done = restored.check("--json", "--log", restored.log, "--apply")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    (acme,) = [each for each in found if each["lost"] == 4]
    assert [(key["effect"], key["repeated"]) for key in acme["keys"]] == [
        ("revived", True),
        ("rotated", False),
        ("outdated", False),
        ("lost", False),
    ]
    assert (acme["keys"][0]["reason"], acme["keys"][0]["was_deleted"]) == ("superseded", False)


def test_apply(restored: Restored) -> None:
    """--apply revokes again, says so, and the next run has nothing left; what is lost stays lost."""
    done = restored.check("--log", restored.log, "--apply")
    assert (done.exit_code, done.stdout.count("; done again")) == (1, 1)
    assert done.stdout.splitlines()[-1] == "Nothing is left to do again."
    done = restored.check("--log", restored.log)
    assert (done.exit_code, done.stdout.count("revived")) == (1, 0)
    assert done.stdout.splitlines()[-1] == "Nothing is left to do again."


def test_nothing_is_lost(restored: Restored) -> None:
    """A database that has everything ends with 0, with newer events, too."""
    restored.do(lambda store: store.create(new_key(an_organization())))
    for options in ((), ("--log", restored.log)):
        done = restored.run("restore-check", "--heads", restored.heads, *options, live=True)
        assert (done.exit_code, done.stdout) == (0, "3 compared, 3 whole, 0 not; 1 are newer than the heads\n")


def test_files_that_cannot_be_used(restored: Restored) -> None:
    """A wrong line is an error with its file and number, exit code 2, and nothing is changed, whatever came before."""
    before = restored.run("audit", "export").stdout
    lines = restored.log.read_text().splitlines(keepends=True)
    for path, content, reason in (
        (restored.log, [*lines, "{\n"], f"line {len(lines) + 1}: it is not JSON"),
        (restored.log, [lines[1].replace("auth0|bob", "auth0|eve")], "line 1: the event does not fit its digest"),
        (restored.heads, ["{}\n"], "line 1: "),
        (restored.heads, [""], "has no heads"),
    ):
        original = path.read_text()
        path.write_text("".join(content))
        done = restored.check("--log", restored.log, "--apply")
        assert (done.exit_code, done.stdout) == (2, "")
        assert str(path) in done.stderr
        assert reason in done.stderr
        assert restored.run("audit", "export").stdout == before
        path.write_text(original)
    assert restored.check("--apply").exit_code == 2
    assert restored.run("restore-check", "--heads", restored.folder / "none").exit_code == 2
    assert restored.run("restore-check", "--heads", restored.folder).exit_code == 2


def test_a_log_with_a_gap(restored: Restored) -> None:
    """Lost events that the log does not have are counted, so that nobody takes the list for complete."""
    lines = restored.log.read_text().splitlines(keepends=True)
    without = [line for line in lines if json.loads(line)["position"] != 5]
    restored.log.write_text("".join(without))
    done = restored.check("--log", restored.log)
    assert done.exit_code == 1
    assert "the log does not have 1 of them: the list of keys is not complete" in done.stdout


def test_every_effect_has_a_sentence() -> None:
    """Every effect of a loss has a sentence."""
    assert set(MEANINGS) == {effect.value for effect in Effect}
