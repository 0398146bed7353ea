"""
The statements that are the same on both engines. A `Dialect` has the parts that differ.

Values are numbered as PostgreSQL numbers them, `$1`; SQLite's numbers have another mark.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from keywright.service.change_feed import LONGEST_TRANSACTION_SECONDS
from keywright.service.management.audit_log import EventType
from keywright.service.verifier_sessions import SESSION_SECONDS
from keywright.storage.shared import audit_rows, readers
from keywright.storage.shared.checking_rows import SessionRow, VerifierRow
from keywright.storage.shared.readers import Decoding

_ENDS: Final = f"'{EventType.REVOKED}', '{EventType.DELETED}'"
"""The types of changes after which a key never works again."""

_SESSION: Final = ", ".join(SessionRow._fields)
VERIFIER_COLUMNS: Final = ", ".join(VerifierRow._fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """
    The parts of statements that differ between the engines.

    Args:
        decoding: How it gives values.
        mark: What stands before the number of a value.
        now: The time of the database's clock when the transaction began.
        clock: The time of the database's clock while the statement runs.
        least: The function that gives the smallest of several values.
        same: Compares two values of which either may be NULL.
        seconds: Makes a span of time of an expression of seconds.
        uuid_text: Writes a column of UUIDs as text in lower case.
        contains: The condition that a text, without regard to the case of ASCII letters, contains `{0}`.
        ends: The condition that a text ends with `{0}`.
        digests: Puts all values of a column `digest` together.
        events_of_organization: A page of events, with `{}` where further conditions stand. Values: organization, the id
            to begin below, the most rows to give.
        events_of_key: The same of one key, which is the fourth value.
    """

    decoding: Decoding
    mark: str
    now: str
    clock: str
    least: str
    same: str
    seconds: Callable[[str], str]
    uuid_text: Callable[[str], str]
    contains: Callable[[str], str]
    ends: Callable[[str], str]
    digests: str
    events_of_organization: str
    events_of_key: str


FIND: Final = f"""
    SELECT {readers.FACTS_COLUMNS} FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id
    WHERE s.secret_digest = $1 AND k.deleted_at IS NULL
"""  # noqa: S608 - here and below: names of our own
"""Values: a digest."""

ANSWER: Final = f"""
    SELECT {", ".join(readers.column_names(audit_rows.answer)[1:])} FROM idempotent_answers
    WHERE org_id = $1 AND request_digest = $2 AND expires_at > $3
"""  # noqa: S608
"""Values: organization, request, when."""

ORGANIZATIONS_LIKE: Final = """
    SELECT id, issuer, external_id FROM organizations WHERE id = $1
    UNION SELECT id, issuer, external_id FROM organizations WHERE issuer = $2 AND external_id = $3
"""
"""Values: an id, an issuer, an external id. At most two rows."""

ORGANIZATIONS: Final = """
    SELECT org_id FROM events UNION SELECT org_id FROM event_chain UNION SELECT org_id FROM event_chain_heads
    ORDER BY org_id
"""

LINKS: Final = f"""
    SELECT {audit_rows.LINK_COLUMNS} FROM event_chain c LEFT JOIN events e ON e.id = c.event_id
    WHERE c.org_id = $1 AND c.position > $2 ORDER BY c.position LIMIT $3
"""  # noqa: S608
"""Values: organization, position, the most rows to give."""

CHAIN_END: Final = "SELECT position, hash FROM event_chain_heads WHERE org_id = $1"

UNCHAINED: Final = """
    SELECT e.id FROM events e
    WHERE e.org_id = $1 AND e.digest IS NOT NULL AND NOT EXISTS (SELECT 1 FROM event_chain c WHERE c.event_id = e.id)
    ORDER BY e.id LIMIT 100
"""

EXPIRING: Final = """
    SELECT k.org_id, k.id, k.version, k.expires_at FROM api_keys k
    WHERE k.expires_at > $1 AND k.expires_at <= $2 AND k.revoked_at IS NULL AND k.deleted_at IS NULL
        AND (k.noticed_days IS NULL OR k.noticed_days > $3)
    ORDER BY k.expires_at LIMIT $4
"""
"""Values: now, until when, days, the most rows to give."""


def self_named_organizations(dialect: Dialect) -> str:
    """Find organizations whose id is of version 5 and the same UUID as their external id. Values: the most rows."""
    text = dialect.uuid_text("id")
    return f"""
        SELECT id, issuer, external_id FROM organizations
        WHERE lower(external_id) = {text} AND substr({text}, 15, 1) = '5' ORDER BY id LIMIT $1
    """  # noqa: S608


def idle(dialect: Dialect) -> str:
    """Find keys whose replaced secret was idle for long enough. Values: now, lag in seconds, the most rows to give."""
    before = f"$1 - {dialect.seconds('(o.idle_seconds + $2)')}"
    return f"""
        SELECT k.org_id, k.id, k.version, o.public_key, o.brand, k.environment
        FROM api_key_secrets o JOIN api_keys k ON k.id = o.key_id
        JOIN api_key_secrets s ON s.key_id = k.id AND s.retires_at IS NULL
        WHERE o.idle_seconds IS NOT NULL AND o.retires_at > $1 AND k.deleted_at IS NULL AND k.revoked_at IS NULL
            AND (k.expires_at IS NULL OR k.expires_at > $1)
            AND s.first_used_at < {before} AND (o.last_used_at IS NULL OR o.last_used_at < {before})
        ORDER BY o.retires_at LIMIT $3
    """  # noqa: S608


def change_columns(dialect: Dialect) -> str:
    """Say what a query selects for `checking_rows.change`: `c` is a change."""
    # A query for current secrets and one for the others: together they have indexes for all of them.
    return f"""
        c.seq, c.changed_id, c.occurred_at, (
            SELECT {dialect.digests} FROM (
                SELECT secret_digest AS digest FROM api_key_secrets WHERE key_id = c.changed_id AND retires_at IS NULL
                UNION ALL
                SELECT secret_digest FROM api_key_secrets WHERE key_id = c.changed_id AND retires_at IS NOT NULL
                UNION ALL
                SELECT credential_digest FROM verifiers WHERE id = c.changed_id
            ) all_of_it
        ) AS digests, c.noted_at
    """  # noqa: S608


ADD_VERIFIER: Final = f"""
    INSERT INTO verifiers ({VERIFIER_COLUMNS}, credential_digest) VALUES ($1, $2, $3, $4, $5, $6)
"""  # noqa: S608
"""Values: a `VerifierRow`, the digest of the credential."""

VERIFIERS: Final = f"SELECT {VERIFIER_COLUMNS} FROM verifiers ORDER BY id DESC"  # noqa: S608
FIND_VERIFIER: Final = f"SELECT {VERIFIER_COLUMNS} FROM verifiers WHERE credential_digest = $1"  # noqa: S608


def close_session(dialect: Dialect) -> str:
    """Store that a session has ended. Values: session, verifier."""
    return f"UPDATE verifier_sessions SET closed_at = {dialect.now} WHERE id = $1 AND verifier_id {dialect.same} $2"  # noqa: S608


def renew_session(dialect: Dialect) -> str:
    """Store that a session is open. Values: a `SessionRow`."""
    return f"""
        INSERT INTO verifier_sessions AS old ({_SESSION}, connected_at, seen_at)
        SELECT $1, $2, $3, $4, at, at FROM (SELECT {dialect.now} AS at) clock WHERE true
        ON CONFLICT (id) DO UPDATE SET
            name = excluded.name, outage_seconds = excluded.outage_seconds, seen_at = excluded.seen_at, closed_at = NULL
        WHERE old.verifier_id {dialect.same} excluded.verifier_id
    """  # noqa: S608


def receipt(dialect: Dialect) -> str:
    """
    Give how a key ended, a row for each session that it concerns. Values: organization, key.

    A session that acknowledged belongs here whenever it began. The time of reading is `clock` and not `now`, which may
    be before the snapshot in which the key's end was found.
    """
    ended = f"{dialect.least}(ended_at, committed_by)"
    longest = dialect.seconds(f"{LONGEST_TRANSACTION_SECONDS:.0f}")
    outage = dialect.seconds(f"(session.outage_seconds + {SESSION_SECONDS:.0f})")
    return f"""
        WITH key AS (
            SELECT coalesce(revoked_at, deleted_at) AS ended_at FROM api_keys
            WHERE org_id = $1 AND id = $2 AND coalesce(revoked_at, deleted_at) IS NOT NULL
        ),
        acknowledged AS (
            SELECT a.session_id, min(a.acknowledged_at) AS at
            FROM changes c JOIN acknowledgements a ON a.seq = c.seq
            WHERE c.changed_id = $2 AND c.type IN ({_ENDS})
            GROUP BY a.session_id
        ),
        written AS (SELECT min(noted_at) AS at FROM changes WHERE changed_id = $2 AND type IN ({_ENDS})),
        ending AS MATERIALIZED (
            SELECT ended_at, coalesce(
                (SELECT min(at) FROM acknowledged),
                (SELECT {dialect.least}({dialect.clock}, at + {longest}) FROM written),
                {dialect.clock}
            ) AS committed_by FROM key
        ),
        session AS (
            SELECT s.*, acknowledged.at
            FROM verifier_sessions s LEFT JOIN acknowledged ON acknowledged.session_id = s.id
        )
        SELECT ended_at, committed_by, session.at AS acknowledged_at, session.connected_at, session.closed_at,
            session.id AS session_id, session.verifier_id, session.name, session.outage_seconds
        FROM ending LEFT JOIN session ON session.at IS NOT NULL OR (
            session.connected_at < committed_by AND (session.closed_at IS NULL OR session.closed_at > {ended})
            AND session.seen_at + {outage} > {ended}
        )
        ORDER BY session.connected_at, session.id
    """  # noqa: S608


_SECRET: Final = readers.columns(readers.KeyReader.secret, "s")
# In the place of what only a secret has, and of its key's environment.
_NO_SECRET: Final = ", ".join(["NULL"] * (_SECRET.count(",") + 2))

USAGE: Final = f"""
    WITH key AS (SELECT id, environment FROM api_keys WHERE org_id = $1 AND id = $2 AND deleted_at IS NULL),
    secret AS (
        SELECT s.* FROM key JOIN api_key_secrets s ON s.key_id = key.id AND s.retires_at IS NULL
        UNION ALL
        SELECT s.* FROM key JOIN api_key_secrets s ON s.key_id = key.id AND s.retires_at IS NOT NULL
    )
    SELECT s.id, NULL, NULL, NULL, CAST(NULL AS timestamptz), CAST(NULL AS timestamptz), CAST(NULL AS bigint),
        {_SECRET}, key.environment
    FROM key CROSS JOIN secret s
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, h.hour, NULL, h.count, {_NO_SECRET}
    FROM key JOIN key_hours h ON h.key_id = key.id AND h.hour >= $3
    UNION ALL
    SELECT o.secret_id, o.network, o.agent, o.verifier, o.first_seen, o.last_seen, o.count, {_NO_SECRET}
    FROM secret JOIN secret_sources o ON o.secret_id = secret.id
"""  # noqa: S608
"""Gives rows of `UsageRow`. Values: organization, key, since when."""
