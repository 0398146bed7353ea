"""Heads and events as lines: what is written is read again, and what was altered or is no such line is refused."""

import json
from typing import Any

import pytest

from keywright.service.management.audit_log import EventType
from keywright.service.recovery.export import events
from keywright.service.recovery.kept_heads import BadFile, read_heads
from keywright.service.recovery.kept_log import read_events
from keywright.service.recovery.lines import (
    LONGEST_LINE,
    BadLine,
    event_fields,
    read_event,
    read_head,
)
from tests.service.recovery.restoring import Live, altered, clock, lined, numbered
from tests.storage.making import an_event, an_organization


async def test_events_as_they_were(database: Live) -> None:
    """An event is read as it was stored, whatever its data holds, and so it still fits its digest."""
    organization = an_organization()
    (made,) = await database.create(organization)
    deep: Any = 1.0
    for _ in range(20):
        deep = {"é\u2028": [deep, 1e16, 2**70, 0.1, None, True]}
    async with database.store() as store:
        event = an_event(EventType.UPDATED, made.api_key, client_id="dashboard", data={"before": {}, "after": deep})
        await store.update(made.api_key, event)
        kept = [each async for each in events(store, clock)]
    assert [read_event(lined(event_fields(each))) for each in kept] == kept
    assert kept[1].link.event == event


async def test_heads_as_they_were(database: Live) -> None:
    """A head is read as it was written, and is the end of the chain."""
    organization = an_organization()
    await database.create(organization, 3)
    kept = await database.keep()
    (head,) = map(read_head, kept.heads)
    async with database.store() as store:
        assert (head.org_id, head.at) == (organization.id, clock())
        assert tuple(head.head) == await store.chain_end(organization.id)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"position": NaN}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "missing required field"),
        (b" " * (LONGEST_LINE + 1), "longer than 1 MiB"),
    ],
    ids=str,
)
def test_no_such_line(line: bytes, reason: str) -> None:
    """What is no line of the kind is refused with a reason, and quoted nowhere."""
    for read in (read_head, read_event):
        with pytest.raises(BadLine, match=reason):
            read(line)


@pytest.mark.parametrize(
    "changes",
    [
        {"position": 0},
        {"position": 10**30},
        {"position": "1"},
        {"hash": "A" * 64},
        {"hash": "0" * 63},
        {"org_id": "acme"},
        {"at": "yesterday"},
        {"at": "2026-11-23T12:00:00"},
    ],
    ids=str,
)
async def test_a_malformed_head(database: Live, changes: dict[str, Any]) -> None:
    """A head with a malformed member is refused; a member that is not known is passed over."""
    await database.create(an_organization())
    (line,) = (await database.keep()).heads
    assert read_head(altered(line, more=1)) == read_head(line)
    with pytest.raises(BadLine, match=next(iter(changes))):
        read_head(altered(line, **changes))


async def test_an_altered_event(database: Live) -> None:
    """An event that was altered does not fit its digest. One that was erased cannot be compared, and is read."""
    await database.create(an_organization())
    (line,) = (await database.keep()).log
    event = json.loads(line)["event"]
    for changes in ({"subject": "auth0|eve"}, {"type": "api_key.deleted"}, {"data": {}}):
        with pytest.raises(BadLine, match="does not fit its digest"):
            read_event(altered(line, event={**event, **changes}))
    erased = altered(line, event={**event, "subject": ""}, erased_by=event["id"])
    assert read_event(erased).link.erased_by is not None


async def test_events_that_cannot_be_read(database: Live) -> None:
    """An event of a type that a later version wrote, or one that was gone, is a position without content."""
    await database.create(an_organization())
    (line,) = (await database.keep()).log
    event = json.loads(line)["event"]
    later = read_event(altered(line, event={**event, "type": "api_key.polished"}))
    gone = read_event(altered(line, event=None, digest=None))
    assert (later.link.event, gone.link.event, gone.link.digest) == (None, None, None)
    assert read_event(lined(event_fields(gone))) == gone


async def test_where_a_file_is_wrong(database: Live) -> None:
    """An error names the line; empty lines count and are passed over."""
    await database.create(an_organization())
    kept = await database.keep()
    with pytest.raises(BadFile, match=r"^line 3: it is not JSON$"):
        read_heads(numbered([*kept.heads, b"\n", b"{"]))
    with pytest.raises(BadFile, match=r"^line 3: it is not JSON$"):
        list(read_events(numbered([*kept.log, b" \n", b"{"])))
    (one,) = read_heads(numbered([*kept.heads, b"\n", *kept.heads])).values()
    assert one.top == 1
    with pytest.raises(BadFile, match=r"line 2: .*two histories"):
        read_heads(numbered([*kept.heads, altered(kept.heads[0], hash="0" * 64)]))
