"""The second defence of secrets: text that looks like one is masked in every finished log line."""

import io
import json
import logging

import pytest

from keywright.keys.pair import mint, mint_credential
from keywright.telemetry import Log, SampledLog, mask_secrets
from tests.logs import logging_to

PRIVATE = mint(bytes(range(32)), brand="kw", environment="live").private.reveal()
OTHER_BRAND = mint(bytes(range(32)), brand="abcdefghijkl", environment="abcdefghijklmnop").private.reveal()
CREDENTIAL = mint_credential(bytes(range(32)), brand="kw").reveal()
HEADER, PAYLOAD, SIGNATURE = "eyJhbGciOiJSUzI1NiJ9", "eyJpc3MiOiJ4In0", "c2lnbmF0dXJl"
TOKEN = f"{HEADER}.{PAYLOAD}.{SIGNATURE}"
# The payload begins with a space after its brace, which is JSON too.
SPACED_TOKEN = f"{HEADER}.eyAiaXNzIjoieCJ9.{SIGNATURE}"
BEHIND = ["", "my_", "A", "key%3D", "x\n", "x\t", "/", "é", '"', "Bearer ", "id=", "-", "x_", "1."]
MEGABYTE = 1024 * 1024


def masked(text: str) -> str:
    line = mask_secrets(text)
    assert isinstance(line, str)
    return line


@pytest.mark.parametrize("behind", BEHIND, ids=repr)
@pytest.mark.parametrize("key", [PRIVATE, OTHER_BRAND, CREDENTIAL], ids=["key", "longest brand", "credential"])
def test_keys(key: str, behind: str) -> None:
    """A private key or a credential is masked whatever stands before and after it, also as JSON writes that."""
    body = key[-49:]
    for text in (f"{behind}{key}", f"{behind}{key}.", json.dumps({"m": f"{behind}{key}\n{behind}{key}"})):
        line = masked(text)
        assert body[:20] not in line
        assert body[-20:] not in line
        assert f"{key[:-49]}..." in line


@pytest.mark.parametrize("behind", BEHIND, ids=repr)
@pytest.mark.parametrize("token", [TOKEN, SPACED_TOKEN], ids=["token", "with a space in it"])
def test_tokens(token: str, behind: str) -> None:
    """Of a token neither the payload nor the signature is shown, whatever stands before and after it."""
    for text in (f"{behind}{token}", f"{behind}{token} x", json.dumps({"m": f"{behind}{token}\n{behind}{token}"})):
        line = masked(text)
        assert token.split(".")[1] not in line
        assert SIGNATURE not in line
        assert "eyJ..." in line


def test_a_token_cut_short() -> None:
    """A token without its signature, as a log may cut it, is masked too."""
    assert masked(f"got {HEADER}.{PAYLOAD}") == "got eyJ..."


def test_a_key_and_a_token_in_one_word() -> None:
    """Neither hides the other."""
    for text in (f"{PRIVATE}-{TOKEN}", f"{PRIVATE}_{TOKEN}", f"{TOKEN}_{PRIVATE}", f"{TOKEN}.{PRIVATE}"):
        line = masked(text)
        assert PRIVATE[-20:] not in line
        assert SIGNATURE not in line


@pytest.mark.parametrize(
    "text",
    [
        "kw_pk_live_E5WIc9sd1Lg9Hte0rQUfCDCwNApTwmX0HaJbOA4P8x72VB7Ui",
        "kw_sk_live_...9rwP",
        "/api/v2/api-keys/019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b55",
        "keyring.backends.SecretService",
        "eyJ",
    ],
)
def test_what_is_no_secret(text: str) -> None:
    """Public keys, masked displays, ids and plain words are shown as they are."""
    assert masked(text) == text


@pytest.mark.parametrize(
    "piece",
    ["eyJ", "eyJ-", "eyJ.", "eyJaaaaaaaa", "a", "_", "w_sk_", "w_sk_live_", "w_vk_a_", "A", "a_sk_A", ".", "a."],
)
def test_a_megabyte_of_look_alikes(piece: str) -> None:
    """A line of any kind and length is read in one go: masking is no way to keep the service busy."""
    text = piece * (MEGABYTE // len(piece))
    assert isinstance(masked(text), str)


@pytest.mark.parametrize("as_json", [True, False], ids=["JSON", "lines"])
def test_every_line_is_masked(as_json: bool) -> None:
    """Messages, values, tracebacks and what libraries log go through the mask."""
    stream = io.StringIO()
    with logging_to(stream, as_json=as_json):
        log = Log("test")
        log.info(f"message {PRIVATE}", value=TOKEN)  # noqa: G004
        logging.getLogger("library").warning("library %s", PRIVATE)
        try:
            raise ValueError(PRIVATE)
        except ValueError:
            log.exception("error")
    written = stream.getvalue()
    assert written.count("kw_sk_live_...") >= 3
    assert "eyJ..." in written
    assert PRIVATE[-20:] not in written
    assert SIGNATURE not in written


class Unwritable(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_log_that_cannot_be_written() -> None:
    """A log call succeeds although its line cannot be written."""
    with logging_to(Unwritable()):
        Log("test").info("message")


def test_levels() -> None:
    """A line of ours is written from the level of the settings on, or of its own logger where that has one."""
    stream = io.StringIO()
    special = logging.getLogger("test.special")
    special.setLevel(logging.INFO)
    try:
        with logging_to(stream, "warning"):
            for name in ("test", "test.special"):
                log = Log(name)
                for write in (log.debug, log.info, log.warning, log.error):
                    write(name)
    finally:
        special.setLevel(logging.NOTSET)
    levels = [(line["logger"], line["level"]) for line in map(json.loads, stream.getvalue().splitlines())]
    assert levels == [
        ("test", "warning"),
        ("test", "error"),
        ("test.special", "info"),
        ("test.special", "warning"),
        ("test.special", "error"),
    ]


def test_sampled_warnings(caplog: pytest.LogCaptureFixture) -> None:
    """Of many warnings one a minute is written, with the number of those that were left out before it."""
    times = iter([100.0, 100.0, 159.9, 160.0, 1000.0])
    sampled = SampledLog("keywright.test", seconds=60, monotonic=lambda: next(times))
    for number in range(5):
        sampled.warning(None, "conflict", number=number)
    fields = [record.__dict__["keywright_fields"] for record in caplog.records]
    assert fields == [{"unlogged": 0, "number": 0}, {"unlogged": 2, "number": 3}, {"unlogged": 0, "number": 4}]
