"""The meters of checks, and log lines that a stranger may cause in any number."""

import io
import json
from random import Random

import pytest
from prometheus_client import REGISTRY

from keywright import telemetry
from keywright.api.http.connections import Connections
from keywright.api.measures import Measures
from keywright.telemetry import RouteMeter, SampledLog, exposition, request_seconds, requests
from tests.logs import logging_to


def samples(route: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What is exposed of a route, without the route's name."""
    return {
        (
            sample.name,
            tuple(sorted((name, value) for name, value in sample.labels.items() if name != "route")),
        ): sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.labels.get("route") == route and not sample.name.endswith("_created")
    }


def value(name: str) -> float | None:
    return REGISTRY.get_sample_value(name)


def test_a_meter_is_exposed_as_if_each_answer_had_been_observed() -> None:
    """What a meter adds up is in the metrics what they would be with one observation for each answer, folded or not."""
    random, meter = Random(1), RouteMeter("POST", "/folded")
    for number in range(500):
        seconds, status = random.choice((0.0, 0.0001, 0.3, 20.0, random.random() / 100)), random.choice((200, 200, 401))
        meter.observe(seconds, status)
        requests.labels("POST", "/observed", status).inc()
        request_seconds.labels("/observed").observe(seconds)
        if number % 100 == 0:
            meter.fold()
    meter.fold()
    meter.fold()
    assert samples("/folded") == pytest.approx(samples("/observed"))


def test_a_scrape_has_everything() -> None:
    """What was counted before a scrape is in it, without waiting for the next second."""
    RouteMeter("POST", "/scraped").observe(0.001)
    assert b'keywright_http_requests_total{method="POST",route="/scraped",status="200"} 1.0' in exposition()


class State:
    """A process whose reading of the changes, keys and clock a test sets."""

    def __init__(self) -> None:
        self.now, self.since, self.age = 1000.0, None, None
        self.connections = Connections(10)

    def measures(self) -> Measures:
        return Measures(
            followed_since=lambda: self.since,
            keys_age=lambda: self.age,
            connections=self.connections,
            monotonic=lambda: self.now,
        )


def test_the_state_of_a_process() -> None:
    """Lag, outage, age of the signing keys and connections are those of the process when they are written."""
    state = State()
    state.connections.enter()
    measures = state.measures()
    state.now, state.since, state.age = 1010.0, 1009.5, 77.0
    measures.write()
    assert (value("keywright_feed_lag_seconds"), value("keywright_outage")) == (0.5, 0)
    assert (value("keywright_key_set_age_seconds"), value("keywright_connections")) == (77.0, 1)
    state.now = 1012.0
    measures.write()
    assert (value("keywright_feed_lag_seconds"), value("keywright_outage")) == (2.5, 1)


def test_what_never_happened() -> None:
    """Before the first reading and the first fetch both are as old as the process, so that an alert goes off."""
    state = State()
    measures = state.measures()
    state.now = 1060.0
    measures.write()
    assert (value("keywright_feed_lag_seconds"), value("keywright_key_set_age_seconds")) == (60.0, 60.0)
    assert value("keywright_outage") == 1


async def test_measures_are_written_at_start_and_end() -> None:
    """A process writes its state when it starts, and once more when it ends."""
    state = State()
    state.since = 1000.0
    measures = state.measures()
    measures.start()
    state.now = 1003.0
    await measures.close()
    assert value("keywright_feed_lag_seconds") == 3.0
    await state.measures().close()


def test_a_commit_is_observed() -> None:
    """A commit counts in the histogram of sizes and in that of times."""
    before = value("keywright_commit_seconds_count") or 0.0
    telemetry.observe_commit(3, 0.25)
    assert value("keywright_commit_seconds_count") == before + 1


def test_one_line_for_each_key_in_some_seconds() -> None:
    """However often an event happens, its key has one line in ten seconds, and the next says how many it left out."""
    stream, now = io.StringIO(), 0.0
    log = SampledLog("test", monotonic=lambda: now)
    with logging_to(stream):
        for _ in range(1000):
            log.info("a", "refused", source="a")
        log.info("b", "refused", source="b")
        now = 10.0
        log.info("a", "refused", source="a")
    lines = [(line["source"], line["unlogged"]) for line in map(json.loads, stream.getvalue().splitlines())]
    assert lines == [("a", 0), ("b", 0), ("a", 999)]


def test_keys_of_sampled_lines_are_bounded() -> None:
    """However many keys there are, a bounded number is known; the oldest is forgotten."""
    stream = io.StringIO()
    log = SampledLog("test", most=2, monotonic=lambda: 0.0)
    with logging_to(stream):
        for key in (1, 2, 3, 3, 1):
            log.info(key, "refused", number=key)
    assert [json.loads(line)["number"] for line in stream.getvalue().splitlines()] == [1, 2, 3, 1]
