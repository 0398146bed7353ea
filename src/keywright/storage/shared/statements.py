"""
The statements that are the same on both engines. A `Dialect` has the parts that differ.

Values are numbered as PostgreSQL numbers them, `$1`; SQLite's numbers have another mark.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from keywright.keys.verdict import NO_METADATA
from keywright.service.change_feed import LONGEST_TRANSACTION_SECONDS
from keywright.service.management.audit_log import EventType
from keywright.service.management.erasure import ERASED_NAME
from keywright.service.management.task_ports import Removable
from keywright.service.verifier_sessions import SESSION_SECONDS
from keywright.storage.shared import audit_rows, readers
from keywright.storage.shared.checking_rows import SessionRow, VerifierRow
from keywright.storage.shared.readers import Decoding

ENDS: Final = f"'{EventType.REVOKED}', '{EventType.DELETED}'"
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
        day: Gives the beginning of the day, in UTC, of an expression of a time.
        milliseconds: Makes whole milliseconds, rounded up and not below 0, of an expression of a span of time.
        uuid_text: Writes a column of UUIDs as text in lower case.
        latest: A time after every other.
        contains: The condition that a text, without regard to the case of ASCII letters, contains `{0}`.
        ends: The condition that a text ends with `{0}`.
        includes: The condition that a text contains `{}`, letter by letter.
        digests: Puts all values of a column `digest` together.
        with_secrets: Joins to a key `k` its current secret `s`, and the one that the last rotation replaced, `r`.
        last_id: An id after every other.
        list_newest: A page of keys. Values: organization, the id to begin below, the most rows to give.
        list_some: The same with `{}` where further conditions stand, by whether all have one external id, and whether
            the oldest come first. Values: as above, the most rows to examine, the external id. Gives before a key's
            columns the id of the last row that was examined, NULL where all were; where no row matches, this alone.
        events_of_organization: A page of events, with `{}` where further conditions stand. Values: organization, the id
            to begin below, the most rows to give, the most to examine. Gives the last one before
            `LINK_COLUMNS`, as above.
        events_of_key: The same of one key, which is the fifth value.
    """

    decoding: Decoding
    mark: str
    now: str
    clock: str
    least: str
    same: str
    seconds: Callable[[str], str]
    day: Callable[[str], str]
    milliseconds: Callable[[str], str]
    uuid_text: Callable[[str], str]
    latest: str
    contains: Callable[[str], str]
    ends: Callable[[str], str]
    includes: Callable[[str], str]
    digests: str
    with_secrets: str
    last_id: str
    list_newest: str
    list_some: Mapping[tuple[bool, bool], str]
    events_of_organization: str
    events_of_key: str


FIND_METADATA: Final = f"""
    SELECT coalesce(k.metadata, '{NO_METADATA}') FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id
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
    UNION SELECT org_id FROM event_checkpoints ORDER BY org_id
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

CHECKPOINT: Final = f"""
    SELECT {", ".join(readers.column_names(audit_rows.checkpoint)[1:])} FROM event_checkpoints WHERE org_id = $1
"""  # noqa: S608

UNDIGESTED: Final = """
    SELECT (SELECT count(*) FROM events WHERE org_id = $1 AND digest IS NULL),
        coalesce((SELECT undigested FROM event_checkpoints WHERE org_id = $1), 0)
"""

LINK_OF: Final = f"""
    SELECT {audit_rows.LINK_COLUMNS} FROM event_chain c JOIN events e ON e.id = c.event_id
    WHERE c.org_id = $1 AND c.event_id = $2
"""  # noqa: S608
"""Values: organization, event."""

LINKS_OF_SUBJECT: Final = f"""
    SELECT {audit_rows.LINK_COLUMNS} FROM event_chain c JOIN events e ON e.id = c.event_id
    WHERE c.org_id = $1 AND c.position > $2 AND e.subject = $4 ORDER BY c.position LIMIT $3
"""  # noqa: S608
"""Values: organization, position, the most rows to give, subject."""

AGED_EVENTS: Final = """
    SELECT seq, org_id FROM (SELECT seq, org_id, occurred_at FROM events WHERE seq > $2 ORDER BY seq LIMIT $3) first
    WHERE occurred_at < $1 ORDER BY seq
"""
"""Values: before when, the number to begin above, the most rows to read."""


def old_rows(dialect: Dialect) -> Mapping[Removable, tuple[str, str, str]]:
    """
    Say which rows are old at the moment `$1`: a table, its column of times, and a further condition.

    Receipts are missing: statements of each engine remove them, because a change goes after its acknowledgements.
    """
    outage = dialect.seconds(f"(outage_seconds + {SESSION_SECONDS:.0f})")
    return {
        Removable.ANSWERS: ("idempotent_answers", "expires_at", ""),
        Removable.CONSOLE_SESSIONS: ("console_sessions", "expires_at", ""),
        Removable.REPORTERS: ("usage_reporters", "written_at", ""),
        Removable.USAGE: ("key_hours", "hour", ""),
        Removable.SOURCES: ("secret_sources", "last_seen", ""),
        Removable.REFUSALS: ("key_refusals", "hour", ""),
        Removable.REFUSED_SOURCES: ("secret_refusals", "last_seen", ""),
        Removable.VERDICTS: ("verdict_hours", "hour", ""),
        Removable.PREVIEWS: ("bulk_revocations", "previewed_at", "AND started_at IS NULL"),
        Removable.BULK_REVOCATIONS: ("bulk_revocations", "finished_at", ""),
        Removable.SESSIONS: ("verifier_sessions", "connected_at", f"AND seen_at + {outage} <= {dialect.mark}1"),
    }


NEWEST_OF_OLD: Final = 1100
"""How many old changes stay: more than a reader of the feed begins with, so that it begins behind what was removed."""

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


BLANK_KEY: Final = f"""
    name = '{ERASED_NAME}', description = NULL, external_id = NULL, metadata = NULL, allowed_ips = NULL,
    created_by = '', revoked_by = CASE WHEN revoked_by IS NOT NULL THEN '' END,
    deleted_by = CASE WHEN deleted_by IS NOT NULL THEN '' END, version = version + 1
"""
"""What an erasure sets of a key."""

IS_NAMING: Final = f"""(
    name <> '{ERASED_NAME}' OR created_by <> '' OR coalesce(revoked_by, '') <> '' OR coalesce(deleted_by, '') <> ''
    OR coalesce(description, external_id, metadata, allowed_ips) IS NOT NULL
)"""
"""The condition that an erasure changes a key."""


def secrets_of(key: str, columns: str = "*") -> str:
    """Select all secrets of a key by the two indexes that have the current one and the others."""
    secrets = f"SELECT {columns} FROM api_key_secrets WHERE key_id = {key} AND retires_at"  # noqa: S608
    return f"{secrets} IS NULL UNION ALL {secrets} IS NOT NULL"


SOURCE_TABLES: Final = ("secret_sources", "secret_refusals")

MOST_ANNOUNCED: Final = 12
"""How many replaced secrets of a key a change announces at most; the triggers have the same number."""

CLOCKS_APART_SECONDS: Final = 600
"""How long after its end a secret is announced, because the clocks of processes may be apart by as much; as there."""


def change_columns(dialect: Dialect) -> str:
    """
    Say what a query selects for `checking_rows.change`: `c` is a change.

    The triggers write the digests with the change. Those of the version before did not, so they are found here.
    """
    # A query for current secrets and one for the others: together they have indexes for all of them.
    return f"""
        c.seq, c.changed_id, c.occurred_at, coalesce(c.digests, (
            SELECT {dialect.digests} FROM (
                SELECT secret_digest AS digest FROM api_key_secrets WHERE key_id = c.changed_id AND retires_at IS NULL
                UNION ALL
                SELECT secret_digest FROM (
                    SELECT secret_digest FROM api_key_secrets
                    WHERE key_id = c.changed_id AND retires_at IS NOT NULL AND retires_at
                        > {dialect.least}(c.occurred_at, c.noted_at) - {dialect.seconds(str(CLOCKS_APART_SECONDS))}
                    ORDER BY retires_at DESC, id DESC LIMIT {MOST_ANNOUNCED}
                ) replaced
                UNION ALL
                SELECT credential_digest FROM verifiers WHERE id = c.changed_id
            ) all_of_it
        )) AS digests, c.noted_at
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
    return renew_sessions(
        dialect, "(SELECT $1 AS id, $2 AS verifier_id, $3 AS name, $4 AS outage_seconds, $5 AS version)"
    )


def renew_sessions(dialect: Dialect, rows: str) -> str:
    """Store that sessions are open. *rows* gives a `SessionRow` for each, no id twice."""
    return f"""
        INSERT INTO verifier_sessions AS old ({_SESSION}, connected_at, seen_at)
        SELECT {_SESSION}, at, at FROM {rows} AS new CROSS JOIN (SELECT {dialect.now} AS at) clock WHERE true
        ON CONFLICT (id) DO UPDATE SET
            name = excluded.name, outage_seconds = excluded.outage_seconds, version = excluded.version,
            seen_at = excluded.seen_at, closed_at = NULL
        WHERE old.verifier_id {dialect.same} excluded.verifier_id
    """  # noqa: S608


def receipt(dialect: Dialect) -> str:
    """
    Give how a key ended, a row for each session that it concerns. Values: organization, key.

    Without its change nothing is given: it was removed, and its acknowledgements with it.

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
                AND EXISTS (SELECT 1 FROM changes WHERE changed_id = $2 AND type IN ({ENDS}))
        ),
        acknowledged AS (
            SELECT a.session_id, min(a.acknowledged_at) AS at
            FROM changes c JOIN acknowledgements a ON a.seq = c.seq
            WHERE c.changed_id = $2 AND c.type IN ({ENDS})
            GROUP BY a.session_id
        ),
        written AS (SELECT min(noted_at) AS at FROM changes WHERE changed_id = $2 AND type IN ({ENDS})),
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


HAS_KEY: Final = "FROM api_keys k WHERE k.org_id = $1 AND k.id = $2 AND k.deleted_at IS NULL"
"""One key of an organization. Values: organization, key."""

PAIRS: Final = f"""
    SELECT count(*) FROM (
        SELECT 1 FROM api_key_secrets s JOIN (SELECT k.id {HAS_KEY}) key ON key.id = s.key_id
        WHERE s.retires_at IS NOT NULL LIMIT $3
    ) former
"""  # noqa: S608
"""Values: organization, key, the most to count. Counts former secrets."""

ROTATIONS: Final = f"""
    SELECT s.created_at FROM api_key_secrets s JOIN (SELECT k.id {HAS_KEY}) key ON key.id = s.key_id
    WHERE s.retires_at IS NULL AND s.id <> s.key_id
    UNION ALL
    SELECT created_at FROM (
        SELECT s.id, s.key_id, s.created_at
        FROM api_key_secrets s JOIN (SELECT k.id {HAS_KEY}) key ON key.id = s.key_id
        WHERE s.retires_at IS NOT NULL ORDER BY s.retires_at DESC, s.id DESC LIMIT $3
    ) former
    WHERE id <> key_id
    ORDER BY created_at DESC LIMIT $3
"""  # noqa: S608
"""Values: organization, key, the most times to give. Gives when secrets were made by a rotation, newest first."""
