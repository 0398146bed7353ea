"""The traffic of the benchmark is what its titles say: each script is recorded as its load generator sends it."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from bench.changes import changing
from bench.clients import CLIENTS
from bench.processes import node
from bench.wrk import drive
from tests.bench.serving import Sent, recording

KEYS, REQUESTS = 1000, 4000
ANY_TIME = 600.0
LANGUAGES = {"httpx": True, "fetch": node() is not None, "net-http": shutil.which("go") is not None}

# No package of Python has wrk, so a machine without it is no failure.
needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="no wrk here; provide it with: apt-get install wrk")


def written(path: Path, keys: int, name: str = "key", *, six: bool = False) -> Mapping[str, list[str]]:
    """Write a file of keys, and give the networks of each."""
    network = "2001:db8:{:x}::/48" if six else "10.{}.0.0/24"
    found = {
        f"{name}-{number}": [network.format(1 + (number + place) % 250) for place in range(3)] for number in range(keys)
    }
    path.write_text("".join(f"{text} id-{text} {' '.join(networks)}\n" for text, networks in found.items()))
    return found


def sent(script: str, keys: Path, count: int = REQUESTS, **options: str) -> list[Sent]:
    """Give the first requests that a script sends on one connection."""
    env = {"BENCH_KEYS": str(keys), "BENCH_CREDENTIAL": "c", "BENCH_TOKEN": "t"}
    env |= {"BENCH_SAMPLE": str(keys.with_suffix(".sample")), "BENCH_SAMPLES": str(count)}
    env |= {f"BENCH_{name}": value for name, value in options.items()}
    with recording() as recorder:
        drive(script, recorder.url, env, connections=1, seconds=ANY_TIME)
    return recorder.requests[:count]


def popularity(requests: list[Sent]) -> list[tuple[str, int]]:
    return Counter(each.question["key"] for each in requests).most_common()


@needs_wrk
def test_keys_at_random(tmp_path: Path) -> None:
    """No key comes more often than chance lets it, and nearly all come."""
    written(tmp_path / "keys", KEYS)
    found = popularity(sent("verify", tmp_path / "keys"))
    assert len(found) > KEYS * 0.95
    assert found[0][1] < 20


@needs_wrk
def test_zipf_popularity(tmp_path: Path) -> None:
    """The first key is about every seventh of a thousand, the second comes half as often, and there is a long tail."""
    written(tmp_path / "keys", KEYS)
    found = popularity(sent("verify", tmp_path / "keys", POPULARITY="zipf"))
    (first, most), (second, less) = found[:2]
    assert (first, second) == ("key-0", "key-1")
    # The sum of 1/n up to 1,000 is 7.49.
    assert 0.8 < most / (REQUESTS / 7.49) < 1.2
    assert 0.8 < less / (REQUESTS / 7.49 / 2) < 1.2
    assert len(found) > KEYS / 2


@needs_wrk
@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
def test_another_address_each(tmp_path: Path, six: bool) -> None:
    """Hardly a key comes twice from one address, and every address is in a network of the key."""
    networks = written(tmp_path / "keys", KEYS, six=six)
    asked = [each.question for each in sent("verify", tmp_path / "keys", ADDRESSES="new")]
    assert len({(each["key"], each["client_ip"]) for each in asked}) > 0.99 * len(asked)
    for each in asked:
        assert any(ip_address(each["client_ip"]) in ip_network(network) for network in networks[each["key"]])


@needs_wrk
def test_the_product_s_question(tmp_path: Path) -> None:
    """Each verification has a scope and one of the three addresses of its key, and a head like all others."""
    written(tmp_path / "keys", KEYS)
    requests = sent("verify", tmp_path / "keys")
    assert {len({each.question["client_ip"] for each in requests if each.question["key"] == "key-7"})} <= {1, 2, 3}
    assert all(each.question["scopes"] == ["reports:read"] for each in requests)
    assert len({re.sub(r"(Content-Length): \d+", r"\1", each.head) for each in requests}) == 1


@needs_wrk
def test_another_head_each(tmp_path: Path) -> None:
    """No two heads are alike: each request has an id and a trace of its own."""
    written(tmp_path / "keys", KEYS)
    requests = sent("verify", tmp_path / "keys", HEADS="new")
    assert len({each.header("x-request-id") for each in requests}) == len(requests)
    traces = {each.header("traceparent") for each in requests}
    assert len(traces) == len(requests)
    assert all(re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace) for trace in traces)


@needs_wrk
def test_junk(tmp_path: Path) -> None:
    """Of all texts, 5 % are no key, half of those with the shape of one; 1 % are keys that were revoked."""
    written(tmp_path / "keys", KEYS)
    options = {"JUNK": "5"}
    for name in ("unknown", "revoked"):
        written(tmp_path / name, KEYS, name)
        options[name.upper()] = str(tmp_path / name)
    requests = sent("verify", tmp_path / "keys", **options)
    kinds = Counter(each.question["key"].partition("-")[0].partition("_")[0] for each in requests)
    shares = {kind: number / len(requests) for kind, number in kinds.items()}
    assert shares == pytest.approx({"key": 0.94, "unknown": 0.025, "sk": 0.025, "revoked": 0.01}, abs=0.01)
    assert all(ip_address(each.question["client_ip"]) for each in requests)


@needs_wrk
def test_first_sight_is_once(tmp_path: Path) -> None:
    """No key comes in two rounds, and in its round each comes once; `wrk` throws the first request away."""
    written(tmp_path / "keys", 100)
    rounds = [sent("first_sight", tmp_path / "keys", 100, SLICES="10", SEED=str(seed)) for seed in (0, 1)]
    keys = [Counter(each.question["key"] for each in requests[:8]) for requests in rounds]
    assert [set(each.values()) for each in keys] == [{1}, {1}]
    assert not keys[0].keys() & keys[1].keys()


@needs_wrk
def test_forward_auth_is_varied(tmp_path: Path) -> None:
    """Each question of a proxy has its own URI and id, and the address of a client in a network of the key."""
    networks = written(tmp_path / "keys", KEYS)
    requests = sent("forward_auth", tmp_path / "keys")
    for name in ("x-request-id", "x-forwarded-uri"):
        assert len({each.header(name) for each in requests}) > 0.99 * len(requests)
    for each in requests:
        address, key = ip_address(each.header("x-forwarded-for")), each.header("authorization").split()[1]
        assert any(address in ip_network(network) for network in networks[key])


@needs_wrk
@pytest.mark.parametrize("family", ["4", "6"])
def test_filling(tmp_path: Path, family: str) -> None:
    """A database gets as many keys as wanted, each with networks of its own, and the share with a limit."""

    def created(request: Sent) -> tuple[int, object]:
        asked = request.question
        return 201, {"id": "id", "private_key": "k", "allowed_ips": asked["allowed_ips"]}

    keys = tmp_path / "keys"
    env = {"BENCH_KEYS": str(keys), "BENCH_TOKEN": "t", "BENCH_COUNT": "200", "BENCH_NETWORKS": "3"}
    with recording(created) as recorder:
        more = {"BENCH_FAMILY": family, "BENCH_LIMITED": "10"}
        drive("fill", recorder.url, env | more, connections=1, seconds=ANY_TIME)
    networks = [network for line in keys.read_text().splitlines() for network in line.split()[2:]]
    assert len(set(networks)) == len(networks) == 600
    assert {ip_network(network).version for network in networks} == {int(family)}
    limited = [bool(each.question["rate_limits"]) for each in recorder.requests[:200]]
    assert sum(limited) == pytest.approx(20, abs=1)


@pytest.mark.parametrize(
    "client",
    # Where nothing was compiled yet, Go compiles its whole library for HTTP.
    [pytest.param(client, marks=pytest.mark.early) if client == "net-http" else client for client in CLIENTS],
)
def test_clients_ask_the_product_s_question(tmp_path: Path, client: str) -> None:
    """A client library is sent through with what `verify.lua` asks, and with headers of its own."""
    if not LANGUAGES[client]:
        pytest.skip(f"the language of {client} is not installed")
    networks = written(tmp_path / "keys", KEYS)
    env = {"BENCH_KEYS": str(tmp_path / "keys"), "BENCH_CREDENTIAL": "c", "BENCH_SEED": "1"}
    with recording() as recorder:
        load = drive(client, recorder.url, env, connections=2, seconds=0.5)
    assert 0 < load.answers <= len(recorder.requests)
    for each in recorder.requests:
        address = ip_address(each.question["client_ip"])
        assert any(address in ip_network(network) for network in networks[each.question["key"]])
        assert each.question["scopes"] == ["reports:read"]
        assert each.header("authorization") == "Bearer c"
        assert each.header("user-agent")


def test_changes_create_show_and_revoke() -> None:
    """Every key that is revoked meanwhile was created and shown before."""

    def changed(request: Sent) -> tuple[int, object]:
        number = len(recorder.requests)
        return 200, {"id": f"id-{number}", "private_key": f"key-{number}"}

    with recording(changed) as recorder, changing(recorder.url, "t", "c"):
        recorder.wait_for("PUT")
    shown = {json.loads(each.body).get("key") for each in recorder.requests if each.body}
    for each in recorder.of("PUT"):
        number = each.head.split("/id-")[1].split("/")[0]
        assert f"key-{number}" in shown


def test_refused_changes_end_the_case() -> None:
    """Changes that a service refuses are no changes: the case fails."""
    with recording(lambda _: (503, {})) as recorder, ExitStack() as changes:
        changes.enter_context(changing(recorder.url, "t", "c"))
        recorder.wait_for("POST")
        with pytest.raises(RuntimeError):
            changes.close()
