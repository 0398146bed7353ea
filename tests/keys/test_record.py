"""The record of an API key."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from keywright.keys.pair import mint
from keywright.keys.record import ApiKey, Secret, Status

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def a_key(*, revoked_at: datetime | None = None, expires_at: datetime | None = None) -> ApiKey:
    return ApiKey(
        id=UUID(int=1),
        org_id=UUID(int=2),
        name="name",
        description=None,
        environment="live",
        created_at=NOW,
        created_by="auth0|1",
        secret=Secret.of(mint(bytes(32), brand="kw", environment="live"), created_at=NOW),
        revoked_at=revoked_at,
        expires_at=expires_at,
    )


@pytest.mark.parametrize(
    ("key", "status"),
    [
        (a_key(), Status.ACTIVE),
        (a_key(expires_at=NOW + SECOND), Status.ACTIVE),
        (a_key(expires_at=NOW), Status.EXPIRED),
        (a_key(expires_at=NOW - SECOND), Status.EXPIRED),
        (replace(a_key(), disabled_at=NOW), Status.DISABLED),
        (replace(a_key(expires_at=NOW), disabled_at=NOW), Status.DISABLED),
        (replace(a_key(revoked_at=NOW), disabled_at=NOW), Status.REVOKED),
        (a_key(revoked_at=NOW), Status.REVOKED),
        (a_key(revoked_at=NOW, expires_at=NOW - SECOND), Status.REVOKED),
    ],
)
def test_status(key: ApiKey, status: Status) -> None:
    """A key is active until the very moment it expires, and revoked for good once it was revoked."""
    assert key.status_at(NOW) is status


def a_secret(**times: datetime | None) -> Secret:
    pair = mint(bytes(32), brand="kw", environment="live")
    return replace(Secret.of(pair, created_at=NOW), **times)


@pytest.mark.parametrize(
    ("current", "replaced", "expected"),
    [
        (None, None, None),
        (NOW, None, NOW),
        (None, NOW, NOW),
        (NOW, NOW + SECOND, NOW + SECOND),
        (NOW + SECOND, NOW, NOW + SECOND),
    ],
)
def test_last_use(current: datetime | None, replaced: datetime | None, expected: datetime | None) -> None:
    """A key was used last when either of its pairs was."""
    key = replace(a_key(), secret=a_secret(last_used_at=current), retiring=a_secret(last_used_at=replaced))
    assert key.last_used_at == expected


def test_what_is_being_rotated_out() -> None:
    """A pair that was replaced is there until the very moment it retires; where there was none, there is none."""
    old = a_secret(retires_at=NOW)
    assert a_key().retiring_at(NOW) is None
    assert replace(a_key(), retiring=old).retiring_at(NOW - SECOND) == old
    assert replace(a_key(), retiring=old).retiring_at(NOW) is None
    assert replace(a_key(), retiring=a_secret()).retiring_at(NOW) is None


def test_a_secret_keeps_nothing_secret() -> None:
    """What is kept of a pair is its public half and the display."""
    pair = mint(bytes(range(32)), brand="kw", environment="live")
    assert pair.private.reveal() not in repr(Secret.of(pair, created_at=NOW))
