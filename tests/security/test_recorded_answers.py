"""What every recorded answer of the HTTP API has in common, whatever the request was."""

import json
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parents[1] / "api" / "recorded"
ANSWERS = [json.loads(line) for file in sorted(RECORDED.glob("*.jsonl")) for line in file.read_text().splitlines()]
TYPES = {"application/json", "application/problem+json"}


def headers_of(answer: dict[str, Any]) -> dict[str, str]:
    """Give the headers of an answer; a name that occurs twice is a failure."""
    pairs = [line.split(": ", 1) for line in answer["headers"]]
    found: dict[str, str] = dict(pairs)
    assert len(found) == len(pairs)
    return found


def test_no_browser_takes_it_for_a_page() -> None:
    """Every answer has `nosniff`; one with a body is JSON and says so; none names the server's software."""
    for answer in ANSWERS:
        headers = headers_of(answer)
        assert headers["x-content-type-options"] == "nosniff"
        assert not answer["body"] or headers["content-type"] in TYPES
        if answer["body"]:
            json.loads(answer["body"])
        assert "server" not in headers
        assert not 300 <= answer["status"] < 400


def test_no_cache_keeps_it() -> None:
    """An answer with a private key or a refusal may be stored by no cache, and all others by the caller's alone."""
    for answer in ANSWERS:
        told = headers_of(answer).get("cache-control")
        if '"private_key":' in answer["body"] or answer["status"] >= 400:
            assert told == "no-store"
        elif answer["body"]:
            assert told in ("no-store", "private, no-cache")
