"""One caller presents unknown keys under the address of another one's customer, so that the customer is refused."""

from keywright.keys.pair import mint
from keywright.service.checking.failure_limit import MOST_FAILURES
from tests.api.caller import Caller
from tests.api.verifier import BATCH, Verifier, create_verifier

CUSTOMER = "192.0.2.7"
UNKNOWN = mint(bytes(range(32)), brand="kw", environment="live").private.reveal()


def exhaust(verifier: Verifier, address: str) -> None:
    """Present unknown keys until look-ups are refused, at a network."""
    checks = [{"key": UNKNOWN, "client_ip": address}] * MOST_FAILURES
    assert verifier.http.post(BATCH, json={"keys": checks}).status_code == 200
    for _ in range(MOST_FAILURES):
        if verifier.code(UNKNOWN, client_ip=address) == "rate_limited":
            return
    raise AssertionError


def checking(caller: Caller) -> Verifier:
    """An API server of one organization, with a token."""
    token = caller.issuer.token(caller.organization, permissions=["verify:api_keys"])
    return Verifier(caller.service, f"Bearer {token}")


def test_one_tenant_against_another(caller: Caller) -> None:
    """An organization that fails under the address of another one's customer takes nothing from it."""
    with caller.another() as rival, checking(rival) as hostile, checking(caller) as own:
        exhaust(hostile, CUSTOMER)
        for _ in range(3):
            assert own.code(caller.create()["private_key"], client_ip=CUSTOMER) == "valid"
        assert hostile.code(rival.create()["private_key"], client_ip=CUSTOMER) == "rate_limited"


def test_one_verifier_against_another(caller: Caller, verifier: Verifier) -> None:
    """What fails through one verifier refuses no first look-up through another one."""
    with Verifier(caller.service, f"Bearer {create_verifier(caller.service, 'hostile')}") as hostile:
        exhaust(hostile, CUSTOMER)
    assert verifier.code(caller.create()["private_key"], client_ip=CUSTOMER) == "valid"


def test_a_key_in_use(caller: Caller, verifier: Verifier) -> None:
    """A key in the cache goes on working at a network that guesses, and other networks of an IPv6 site look keys up."""
    key = caller.create()["private_key"]
    assert verifier.code(key, client_ip="2001:db8:7:1::1") == "valid"
    exhaust(verifier, "2001:db8:7:1::1")
    assert verifier.code(key, client_ip="2001:db8:7:1::1") == "valid"
    assert verifier.code(caller.create()["private_key"], client_ip="2001:db8:7:2::1") == "valid"
