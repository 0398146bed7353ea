"""
Creations and rotations that break at every point at which they wait.

Whatever happens to the first request, the second one with the same idempotency key has the key made once, and both are
told the same secret if they are told one.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from keywright.keys.format import digest
from keywright.keys.pair import parse
from keywright.service.faults import StorageUnavailable
from keywright.service.management.commands import NewKey
from keywright.service.management.idempotency import Answered
from keywright.service.management.management import Management
from tests.service.management.fragile_store import FragileStore, Point
from tests.service.managing import ALICE, ORIGIN, Scenario, idempotent_request, made

Request = Callable[[Management], Awaitable[object]]


async def scenario_and_request(operation: str) -> tuple[Scenario, FragileStore, Request]:
    """A scenario in which one request is to be made, and the request."""
    store = FragileStore()
    scenario = Scenario(store)
    if operation == "create":
        return scenario, store, lambda service: service.create(ALICE, ORIGIN, NewKey(name="name"), idempotent_request())
    key_id = made(await scenario.management.create(ALICE, ORIGIN, NewKey(name="name"))).api_key.id
    store.calls.clear()
    return (
        scenario,
        store,
        lambda service: service.rotate(
            ALICE, ORIGIN, key_id, overlap_seconds=None, idle_seconds=None, idempotent=idempotent_request()
        ),
    )


async def points_of(operation: str) -> list[Point]:
    _, store, request = await scenario_and_request(operation)
    await request(Scenario(store).management)
    return store.points()


def secrets_made(store: FragileStore, operation: str) -> list[bytes]:
    """Give the digests of the secrets that the store was given for good."""
    return [each.secret_digest for each in (store.new if operation == "create" else store.rotations)]


async def repeat(
    scenario: Scenario, store: FragileStore, operation: str, request: Request, service: Management
) -> bytes:
    """Ask once more: there has to be an answer, and exactly the secret of the answer in the store."""
    store.at_point = lambda point: None
    answer = await request(service)
    assert isinstance(answer, Answered)
    assert secrets_made(store, operation) == [digest(answer.body.decode())]
    (key,) = store.keys.values()
    private_key = parse(answer.body.decode(), brand="kw")
    assert private_key is not None
    assert key.secret.display == private_key.display
    return answer.body


@pytest.mark.parametrize("operation", ["create", "rotate"])
@pytest.mark.parametrize("same_process", [True, False])
async def test_the_store_goes_away(operation: str, same_process: bool) -> None:
    """When the store fails before or after any call, the same request finds the change or makes it."""
    for point in await points_of(operation):
        scenario, store, request = await scenario_and_request(operation)

        def away(at: Point, point: Point = point) -> None:
            if at == point:
                raise StorageUnavailable("away")

        store.at_point = away
        with pytest.raises(StorageUnavailable):
            await request(scenario.management)
        assert len(secrets_made(store, operation)) <= 1
        await repeat(scenario, store, operation, request, scenario.management if same_process else scenario.process())


@pytest.mark.parametrize("operation", ["create", "rotate"])
async def test_the_process_dies(operation: str) -> None:
    """A process that ends before or after any call leaves nothing, or everything and the answer to it."""
    for point in await points_of(operation):
        scenario, store, request = await scenario_and_request(operation)

        def die(at: Point, point: Point = point) -> None:
            if at == point:
                # What a process was about to do when it is killed is not done any more.
                raise asyncio.CancelledError

        store.at_point = die
        with pytest.raises(asyncio.CancelledError):
            await request(scenario.management)
        await repeat(scenario, store, operation, request, scenario.process())


@pytest.mark.parametrize("operation", ["create", "rotate"])
async def test_the_caller_goes_away(operation: str) -> None:
    """When a caller disconnects at any moment, the request is completed, and the same request gets the answer."""
    for point in await points_of(operation):
        scenario, store, request = await scenario_and_request(operation)
        first = asyncio.ensure_future(request(scenario.management))

        def leave(at: Point, point: Point = point, first: "asyncio.Future[object]" = first) -> None:
            if at == point:
                first.cancel()

        store.at_point = leave
        with pytest.raises(asyncio.CancelledError):
            await first
        await repeat(scenario, store, operation, request, scenario.management)


@pytest.mark.parametrize("operation", ["create", "rotate"])
async def test_the_first_of_many_goes_away(operation: str) -> None:
    """When the first of many callers disconnects, all others get the same secret of one key."""
    for point in await points_of(operation):
        scenario, store, request = await scenario_and_request(operation)
        first = asyncio.ensure_future(request(scenario.management))
        others = [asyncio.ensure_future(request(scenario.management)) for _ in range(5)]

        def leave(at: Point, point: Point = point, first: "asyncio.Future[object]" = first) -> None:
            if at == point:
                first.cancel()

        store.at_point = leave
        answers = await asyncio.gather(*others)
        assert first.cancelled()
        body = await repeat(scenario, store, operation, request, scenario.management)
        assert answers == [Answered(body, replayed=True)] * 5


@pytest.mark.parametrize("operation", ["create", "rotate"])
async def test_the_work_is_cancelled_under_many(operation: str) -> None:
    """When the task itself is cancelled, the other callers make the change, once."""
    for point in await points_of(operation):
        scenario, store, request = await scenario_and_request(operation)
        requests = [asyncio.ensure_future(request(scenario.management)) for _ in range(5)]

        def cancel(at: Point, point: Point = point) -> None:
            if at == point:
                raise asyncio.CancelledError

        store.at_point = cancel
        first, *answers = await asyncio.gather(*requests, return_exceptions=True)
        assert isinstance(first, asyncio.CancelledError)
        body = await repeat(scenario, store, operation, request, scenario.management)
        assert {answer.body for answer in answers if isinstance(answer, Answered)} == {body}
        assert len(answers) == 4
