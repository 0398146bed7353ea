"""
What the life of a key needs: what it may do, rotation, reasons, repeated requests, and the chain of its events.

Adds only. The version before leaves the new columns empty; a trigger chains what has a digest, which its events do not.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261125_0003"
down_revision = "20261123_0002"

ID = sa.LargeBinary().with_variant(postgresql.UUID(), "postgresql")
TIME = sa.Integer().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
NUMBER = sa.Integer().with_variant(postgresql.BIGINT(), "postgresql")
IDENTIFIER = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

# The organisations' heads are locked in one order, so that those who add events wait for each other and never in a
# ring. Nothing is locked after them. A query of this function sees what was committed while it waited. One event by
# itself, as most are, is one statement.
CHAIN = """
CREATE FUNCTION events_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    event record;
    org uuid;
    place bigint;
    link bytea;
    orgs uuid[];
    places bigint[];
    links bytea[];
    ids uuid[];
BEGIN
    IF (SELECT count(*) FROM added) = 1 THEN
        WITH head AS (
            INSERT INTO event_chain_heads AS known (org_id, position, hash)
            SELECT org_id, 1, sha256(decode(repeat('00', 32), 'hex') || digest) FROM added WHERE digest IS NOT NULL
            ON CONFLICT (org_id) DO UPDATE
            SET position = known.position + 1, hash = sha256(known.hash || (SELECT digest FROM added))
            RETURNING org_id, position, hash
        )
        INSERT INTO event_chain (org_id, position, hash, event_id)
        SELECT head.org_id, head.position, head.hash, added.id FROM head CROSS JOIN added;
        RETURN NULL;
    END IF;
    INSERT INTO event_chain_heads (org_id, position, hash)
    SELECT DISTINCT org_id, 0, decode(repeat('00', 32), 'hex') FROM added WHERE digest IS NOT NULL ORDER BY org_id
    ON CONFLICT DO NOTHING;
    FOR event IN
        WITH head AS MATERIALIZED (
            SELECT org_id, position, hash FROM event_chain_heads
            WHERE org_id IN (SELECT org_id FROM added WHERE digest IS NOT NULL) ORDER BY org_id FOR UPDATE
        )
        SELECT org_id, id, digest, position, hash FROM added JOIN head USING (org_id)
        WHERE digest IS NOT NULL ORDER BY org_id, seq
    LOOP
        IF org IS DISTINCT FROM event.org_id THEN
            org := event.org_id;
            place := event.position;
            link := event.hash;
        END IF;
        place := place + 1;
        link := sha256(link || event.digest);
        orgs := orgs || org;
        places := places || place;
        links := links || link;
        ids := ids || event.id;
    END LOOP;
    INSERT INTO event_chain (org_id, position, hash, event_id)
    SELECT * FROM unnest(orgs, places, links, ids);
    UPDATE event_chain_heads SET position = ended.position, hash = ended.hash
    FROM (
        SELECT DISTINCT ON (org_id) * FROM unnest(orgs, places, links) AS chained (org_id, position, hash)
        ORDER BY org_id, position DESC
    ) ended
    WHERE event_chain_heads.org_id = ended.org_id;
    RETURN NULL;
END $$
"""

# Who asks waits for whoever asked before about the same organisation, and then counts what that one committed. Any
# number will do for the first half of the lock that nobody else locks.
ROOM = """
CREATE FUNCTION api_keys_have_room(org uuid, at timestamptz, most integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF most IS NULL THEN
        RETURN true;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(org::text, 7957700361232345964));
    RETURN most > (
        SELECT count(*) FROM (
            SELECT FROM api_keys
            WHERE org_id = org AND deleted_at IS NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > at)
            LIMIT most
        ) active
    );
END $$
"""


def upgrade() -> None:
    """Add everything but the indexes of tables that may be large."""
    _add_columns()
    _create_chain()
    _create_replays()
    _create_sources()
    if op.get_context().dialect.name == "postgresql":
        op.execute(ROOM)
        _chain_on_postgresql()
    else:
        _keep_chain_on_sqlite()


def _add_columns() -> None:
    for name in ("scopes", "allowed_ips", "rate_limits", "metadata"):
        op.add_column("api_keys", sa.Column(name, sa.Text()))
    op.add_column("api_keys", sa.Column("external_id", IDENTIFIER))
    op.add_column("api_keys", sa.Column("revocation_reason", sa.Text()))
    op.add_column("api_keys", sa.Column("version", sa.Integer(), nullable=False, server_default=sa.text("1")))
    op.add_column("api_keys", sa.Column("noticed_days", sa.Integer()))
    op.add_column("api_key_secrets", sa.Column("first_used_at", TIME))
    op.add_column("api_key_secrets", sa.Column("quiet_seconds", sa.Integer()))
    op.add_column("events", sa.Column("digest", sa.LargeBinary()))


def _create_chain() -> None:
    op.create_table(
        "event_chain",
        sa.Column("org_id", ID, nullable=False),
        sa.Column("position", NUMBER, nullable=False),
        sa.Column("event_id", ID, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "position", name="event_chain_pkey"),
        sa.UniqueConstraint("event_id", name="event_chain_event_id_key"),
        sa.CheckConstraint("length(hash) = 32", name="event_chain_hash_check"),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
    op.create_table(
        "event_chain_heads",
        sa.Column("org_id", ID, nullable=False),
        sa.Column("position", NUMBER, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", name="event_chain_heads_pkey"),
        sa.CheckConstraint("length(hash) = 32", name="event_chain_heads_hash_check"),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )


def _create_replays() -> None:
    op.create_table(
        "replays",
        sa.Column("org_id", ID, nullable=False),
        sa.Column("request_digest", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "request_digest", name="replays_pkey"),
        sa.CheckConstraint("length(request_digest) = 32", name="replays_request_digest_check"),
        sa.CheckConstraint("length(fingerprint) = 32", name="replays_fingerprint_check"),
        sqlite_strict=True,
    )
    op.create_index("replays_expires_at_idx", "replays", ["expires_at"])


def _create_sources() -> None:
    op.create_table(
        "secret_sources",
        sa.Column("secret_id", ID, nullable=False),
        sa.Column("network", IDENTIFIER, nullable=False),
        sa.Column("agent", IDENTIFIER, nullable=False),
        sa.Column("verifier", IDENTIFIER, nullable=False),
        sa.Column("first_seen", TIME, nullable=False),
        sa.Column("last_seen", TIME, nullable=False),
        sa.Column("count", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("secret_id", "network", "agent", "verifier", name="secret_sources_pkey"),
        sa.CheckConstraint("length(network) <= 64", name="secret_sources_network_check"),
        sa.CheckConstraint("length(agent) <= 64", name="secret_sources_agent_check"),
        sa.CheckConstraint("length(verifier) <= 255", name="secret_sources_verifier_check"),
        sqlite_strict=True,
    )


def _chain_on_postgresql() -> None:
    op.execute(CHAIN)
    op.execute(
        "CREATE TRIGGER events_chain AFTER INSERT ON events REFERENCING NEW TABLE AS added FOR EACH STATEMENT"
        " EXECUTE FUNCTION events_chain()"
    )
    op.execute(
        "CREATE TRIGGER event_chain_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON event_chain"
        " FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_change()"
    )


def _keep_chain_on_sqlite() -> None:
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER event_chain_refuse_{change.lower()} BEFORE {change} ON event_chain"
            " BEGIN SELECT RAISE(ABORT, 'events are only ever added'); END"
        )
