"""An organization that changes keys as fast as it can, and one whose changes wait for each other's locks."""

import asyncio
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.attacks.neighbours import CONNECTIONS, KEYS, neighbourhood
from tests.conftest import database_url
from tests.waiting import until


async def test_too_many_changes(fresh_url: str) -> None:
    """
    An organization above its limit is answered 429 with the seconds to wait; others are not.

    It may read, and still revoke and delete: these have a number of their own.
    """
    async with neighbourhood(fresh_url, changes_per_second=1, changes_burst=5) as both:
        answers = await asyncio.gather(
            *(both.ask("attacker", "POST", KEYS, json={"name": "key"}) for _ in range(CONNECTIONS))
        )
        made = [answer.json()["id"] for answer in answers if answer.status_code == 201]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(made) >= 5
        assert len(made) + len(refused) == CONNECTIONS
        assert {answer.json()["code"] for answer in refused} == {"too_many_changes"}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
        for change in (
            {"method": "PATCH", "path": f"{KEYS}/{made[0]}", "json": {"name": "x"}},
            {"method": "POST", "path": f"{KEYS}/{made[0]}/rotate"},
        ):
            statuses = {(await both.ask("attacker", **change)).status_code for _ in range(20)}
            assert 429 in statuses
        assert (await both.ask("attacker", "PUT", f"{KEYS}/{made[0]}/revoke")).status_code == 200
        assert (await both.ask("attacker", "DELETE", f"{KEYS}/{made[1]}")).status_code == 204
        assert (await both.ask("attacker", "GET", KEYS)).status_code == 200
        assert len(await both.made("victim", 5)) == 5


async def test_a_full_queue(fresh_url: str) -> None:
    """An organization that has filled its queue is answered 503 with `Retry-After`; another one is served."""
    async with neighbourhood(fresh_url) as both:
        (mine,), (theirs,) = await both.made("victim"), await both.made("attacker")
        watched = both.watched
        # From the first request on, the owner of a token is known.
        assert (await both.ask("attacker", "GET", KEYS)).status_code == 200
        assert (await both.ask("victim", "GET", KEYS)).status_code == 200
        watched.hold.clear()
        flood = [asyncio.ensure_future(both.ask("attacker", "GET", f"{KEYS}/{theirs['id']}")) for _ in range(1200)]
        done, _ = await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
        answer = done.pop().result()
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert int(answer.headers["Retry-After"]) >= 1
        assert (await both.ask("victim", "GET", f"{KEYS}/{mine['id']}")).status_code == 200
        assert watched.attackers.under_way <= 64
        watched.hold.set()
        statuses = [(await task).status_code for task in flood]
        assert set(statuses) == {200, 503}
        assert statuses.count(200) >= 1024


async def test_full_queues_of_several(tmp_path: Path) -> None:
    """Organizations that together overfill the queue leave places in it: no request of another one is refused."""
    attackers = [f"attacker-{number}" for number in range(4)]
    async with neighbourhood(f"sqlite:///{tmp_path / 'keywright.db'}") as both:
        (mine,) = await both.made("victim")
        theirs = [(await both.made(name))[0] for name in attackers]
        both.watched.hold.clear()
        flood = [
            asyncio.ensure_future(both.ask(name, "GET", f"{KEYS}/{key['id']}"))
            for name, key in zip(attackers, theirs, strict=True)
            for _ in range(1200)
        ]
        # All that have no place are refused; the others are held.
        await until(lambda: _refused(flood) >= 4 * 100)
        # More at once than it has turns, so some of them wait in the queue.
        reads = await asyncio.gather(*(both.ask("victim", "GET", f"{KEYS}/{mine['id']}") for _ in range(64)))
        assert {read.status_code for read in reads} == {200}
        both.watched.hold.set()
        assert {(await task).status_code for task in flood} == {200, 503}


def _refused(flood: list[asyncio.Future[httpx.Response]]) -> int:
    return sum(task.done() and task.result().status_code == 503 for task in flood)


async def test_changes_that_wait_for_a_lock(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Changes of one organization that wait for a locked row leave connections to the others."""
    url = database_url("postgresql", tmp_path, request)
    async with neighbourhood(url) as both:
        (locked,), (free,) = await both.made("attacker"), await both.made("victim")
        connection = await asyncpg.connect(url)
        async with connection.transaction():
            await connection.execute("SELECT 1 FROM api_keys WHERE id = $1 FOR UPDATE", locked["id"])
            flood = [
                asyncio.ensure_future(both.ask("attacker", "PUT", f"{KEYS}/{locked['id']}/revoke"))
                for _ in range(CONNECTIONS)
            ]
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            await until(lambda: connection.fetchval(waiting))
            for number in range(5):
                change = {"name": f"changed {number}"}
                assert (await both.ask("victim", "GET", f"{KEYS}/{free['id']}")).status_code == 200
                answer = await both.ask("victim", "PATCH", f"{KEYS}/{free['id']}", json=change)
                assert answer.status_code == 200, answer.text
                answer = await both.ask("victim", "POST", f"{KEYS}/verify", json={"key": free["private_key"]})
                assert answer.json()["code"] == "valid"
            assert await connection.fetchval(waiting) <= 4
        await connection.close()
        assert {(await task).status_code for task in flood} <= {200, 503}
