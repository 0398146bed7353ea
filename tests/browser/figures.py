"""Invented figures of a busy service, as the operator's API has them."""

from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
ORGANIZATION = {"org_id": "019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b55", "org_external_id": "org_AcmeDemo00000001"}


def _at(**ago: float) -> str:
    return (NOW - timedelta(**ago)).isoformat()


def _verdicts(minute: int) -> dict[str, int]:
    limited = {"rate_limited": 30 + minute % 9} if 30 < minute < 42 else {}
    seldom = {"insufficient_scope": 1} if minute % 17 == 3 else {}
    return {"valid": 60 + (minute * 37) % 71, "revoked": minute % 8, "not_found": minute % 3, **limited, **seldom}


def _key(number: int, name: str, uses: int, refusals: int) -> dict[str, Any]:
    id_ = f"019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1c{number:02x}"
    return {"key_id": id_, "name": name, **ORGANIZATION, "uses": uses, "refusals": refusals}


def _session(number: int, **what: Any) -> dict[str, Any]:
    id_ = f"019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1d{number:02x}"
    return {"session_id": id_, "connected_at": _at(hours=5 * number), "seen_at": _at(seconds=number), **what}


_PERIODS = [{"start": _at(minutes=59 - minute), "verdicts": _verdicts(minute)} for minute in range(60)]
_BOUNDS = (10, 25, 50, 100, 250, 500, 1000, 2000, None)
_DELAYS = (20, 130, 180, 90, 50, 20, 2, 0, 0)
_AGES = {"day": 5200, "week": 1900, "month": 900, "quarter": 700, "year": 500, "longer": 222, "never": 1000}

FIGURES: dict[str, dict[str, Any]] = {
    "verdicts": {"per": "minute", "since": _at(minutes=59), "until": _at(), "periods": _PERIODS},
    "top": {
        "since": _at(days=1),
        "until": _at(),
        "keys": [
            _key(1, "Mobile backend", 48211, 3),
            _key(2, "CI deploy", 9122, 0),
            _key(3, "Nightly export", 312, 12),
        ],
        "organizations": [{**ORGANIZATION, "uses": 57645, "refusals": 15}],
        "refused_keys": [_key(4, "Reporting (old)", 0, 1204), _key(3, "Nightly export", 312, 12)],
    },
    "keys": {
        "counted_at": _at(minutes=20),
        "states": {"active": 10422, "disabled": 12, "expired": 840, "revoked": 2210},
        "since_last_use": [{"bucket": bucket, "keys": keys} for bucket, keys in _AGES.items()],
        "expiries": [{"day": f"{NOW + timedelta(days=day):%Y-%m-%d}", "keys": day * 7 % 10} for day in range(1, 31)],
    },
    "revocations": {
        "since": _at(days=1),
        "until": _at(),
        "revocations": 41,
        "acknowledgements": sum(_DELAYS),
        "p50_ms": 38,
        "p99_ms": 410,
        "histogram": [
            {"up_to_ms": bound, "acknowledgements": count} for bound, count in zip(_BOUNDS, _DELAYS, strict=True)
        ],
    },
    "verifiers": {
        "at": _at(),
        "more": False,
        "sessions": [
            _session(1, kind="server", verifier=None, name="keys-1:17", version="1.0.0", unacknowledged=0, lag_ms=0),
            _session(
                2, kind="verifier", verifier="billing-api-1", name="billing", version=None, unacknowledged=3, lag_ms=180
            ),
            _session(
                3,
                kind="verifier",
                verifier="gateway-eu",
                name="gateway",
                version="1.0.0",
                unacknowledged=1,
                lag_ms=12,
            ),
        ],
    },
}
"""By the last part of the path."""
