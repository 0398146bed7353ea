"""The statement of PostgreSQL that revokes many keys. It is a transaction of its own."""

from itertools import count
from typing import Final

from keywright.storage.postgres.statements import arrays, typed
from keywright.storage.shared.rows import EventRow

_COLUMNS: Final = ", ".join(EventRow._fields)
_NEW: Final = f"SELECT {typed(EventRow._fields)} FROM {arrays(EventRow._fields, count(6))}"  # noqa: S608

REVOKE_MANY: Final = f"""
    WITH step AS MATERIALIZED (
        SELECT id FROM bulk_revocations
        WHERE id = $1 AND position = $2 AND started_at IS NOT NULL AND finished_at IS NULL FOR UPDATE
    ),
    new AS MATERIALIZED ({_NEW}),
    changed AS (
        UPDATE api_keys k
        SET revoked_at = new.occurred_at, revoked_by = new.subject, revocation_reason = $5, version = k.version + 1
        FROM new CROSS JOIN step
        WHERE k.id = new.key_id AND k.org_id = new.org_id AND k.revoked_at IS NULL AND k.deleted_at IS NULL
        RETURNING k.org_id, k.id
    ),
    noted AS (
        INSERT INTO events ({_COLUMNS})
        SELECT new.* FROM new JOIN changed ON changed.id = new.key_id ORDER BY new.org_id, new.key_id
    ),
    last AS (SELECT org_id, id FROM changed ORDER BY org_id DESC, id DESC LIMIT 1)
    UPDATE bulk_revocations b
    SET position = $3, finished_at = $4, revoked = b.revoked + (SELECT count(*) FROM changed),
        last_org_id = coalesce((SELECT org_id FROM last), b.last_org_id),
        last_key_id = coalesce((SELECT id FROM last), b.last_key_id)
    FROM step WHERE b.id = step.id
    RETURNING b.id
"""  # noqa: S608 - names of our own
"""
Values: the revocation, its position, the next one, when it ended if it did, the reason; for each column of an event an
array of texts.

`step` waits for another process that takes the same step, and then finds that the position has moved.
"""
