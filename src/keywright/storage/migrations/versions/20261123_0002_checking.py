"""
What checking keys needs: changes to follow, verifiers and their sessions, confirmations, and how keys are used.

Adds only, and triggers see to what the version before does not know of: a key that it revokes is a change, too.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261123_0002"
down_revision = "20261123_0001"

ID = sa.LargeBinary().with_variant(postgresql.UUID(), "postgresql")
TIME = sa.Integer().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
NUMBER = sa.Integer().with_variant(postgresql.BIGINT(), "postgresql")
IDENTIFIER = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

# Whatever happens to a key after its creation may make what is held of it wrong. Said the other way round, a kind of
# event that is added later would have to be remembered here.
WORTH_TELLING = "NEW.type <> 'api_key.created'"
REVOKED_VERIFIER = "NEW.id, 'verifier.revoked', NEW.revoked_at"

# Microseconds as everywhere; this clock of SQLite's ticks in milliseconds.
SQLITE_NOW = (
    "CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000"
)


def upgrade() -> None:
    """Create everything."""
    _create_changes()
    _create_verifiers()
    _create_sessions()
    _create_usage()
    _index_retiring_secrets()
    if op.get_context().dialect.name == "postgresql":
        _note_changes_on_postgresql()
    else:
        _note_changes_on_sqlite()


def _create_changes() -> None:
    op.create_table(
        "changes",
        sa.Column("seq", NUMBER, sa.Identity(always=True), primary_key=True),
        sa.Column("changed_id", ID, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("occurred_at", TIME, nullable=False),
        sa.Column("noted_at", TIME, nullable=False),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index("changes_changed_id_idx", "changes", ["changed_id"])
    op.create_index("changes_noted_at_idx", "changes", ["noted_at", "seq"])


def _create_verifiers() -> None:
    op.create_table(
        "verifiers",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", IDENTIFIER, nullable=False),
        sa.Column("credential_digest", sa.LargeBinary(), nullable=False),
        sa.Column("display", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("revoked_at", TIME),
        sa.PrimaryKeyConstraint("id", name="verifiers_pkey"),
        sa.UniqueConstraint("credential_digest", name="verifiers_credential_digest_key"),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 255", name="verifiers_name_check"),
        sa.CheckConstraint("length(credential_digest) = 32", name="verifiers_credential_digest_check"),
        sqlite_strict=True,
    )
    good = sa.text("revoked_at IS NULL")
    op.create_index("verifiers_name_idx", "verifiers", ["name"], unique=True, sqlite_where=good, postgresql_where=good)


def _create_sessions() -> None:
    op.create_table(
        "verifier_sessions",
        sa.Column("id", ID, nullable=False),
        sa.Column("verifier_id", ID),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("outage_seconds", sa.Integer(), nullable=False),
        sa.Column("connected_at", TIME, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.Column("closed_at", TIME),
        sa.PrimaryKeyConstraint("id", name="verifier_sessions_pkey"),
        sa.ForeignKeyConstraint(["verifier_id"], ["verifiers.id"], name="verifier_sessions_verifier_id_fkey"),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 255", name="verifier_sessions_name_check"),
        # A year; a receipt reckons with it.
        sa.CheckConstraint("outage_seconds BETWEEN 0 AND 31536000", name="verifier_sessions_outage_seconds_check"),
        sqlite_strict=True,
    )
    op.create_table(
        "confirmations",
        sa.Column("seq", NUMBER, nullable=False),
        sa.Column("session_id", ID, nullable=False),
        sa.Column("confirmed_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("seq", "session_id", name="confirmations_pkey"),
        sqlite_strict=True,
    )


def _create_usage() -> None:
    op.create_table(
        "key_hours",
        sa.Column("key_id", ID, nullable=False),
        sa.Column("hour", TIME, nullable=False),
        sa.Column("count", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("key_id", "hour", name="key_hours_pkey"),
        sqlite_strict=True,
    )
    op.create_table(
        "key_sources",
        sa.Column("key_id", ID, nullable=False),
        sa.Column("network", IDENTIFIER, nullable=False),
        sa.Column("agent", IDENTIFIER, nullable=False),
        sa.Column("verifier", IDENTIFIER, nullable=False),
        sa.Column("first_seen", TIME, nullable=False),
        sa.Column("last_seen", TIME, nullable=False),
        sa.Column("count", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("key_id", "network", "agent", "verifier", name="key_sources_pkey"),
        # Together they fit into an entry of the index above, whatever they are made of.
        sa.CheckConstraint("length(network) <= 64", name="key_sources_network_check"),
        sa.CheckConstraint("length(agent) <= 64", name="key_sources_agent_check"),
        sa.CheckConstraint("length(verifier) <= 255", name="key_sources_verifier_check"),
        sqlite_strict=True,
    )


def _index_retiring_secrets() -> None:
    # With the index of the current ones, all secrets of a key can be had; a creation does not pay for this one.
    retiring = sa.text("retires_at IS NOT NULL")
    op.create_index(
        "api_key_secrets_retiring_idx",
        "api_key_secrets",
        ["key_id"],
        sqlite_where=retiring,
        postgresql_where=retiring,
    )


def _note_changes_on_sqlite() -> None:
    op.execute(
        f"CREATE TRIGGER events_note_change AFTER INSERT ON events WHEN {WORTH_TELLING}"
        f" BEGIN {_note('NEW.key_id, NEW.type, NEW.occurred_at', SQLITE_NOW)}; END"
    )
    op.execute(
        "CREATE TRIGGER verifiers_note_change AFTER UPDATE OF revoked_at ON verifiers"
        f" BEGIN {_note(REVOKED_VERIFIER, SQLITE_NOW)}; END"
    )


def _note_changes_on_postgresql() -> None:
    for name, body in (
        ("events_note_change", _note("NEW.key_id, NEW.type, NEW.occurred_at", "clock_timestamp()")),
        ("verifiers_note_change", _note(REVOKED_VERIFIER, "clock_timestamp()")),
        ("changes_notify", "PERFORM pg_notify('keywright_changes', '')"),
    ):
        op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NULL; END $$")
    op.execute(
        f"CREATE TRIGGER events_note_change AFTER INSERT ON events FOR EACH ROW WHEN ({WORTH_TELLING})"
        " EXECUTE FUNCTION events_note_change()"
    )
    op.execute(
        "CREATE TRIGGER verifiers_note_change AFTER UPDATE OF revoked_at ON verifiers FOR EACH ROW"
        " EXECUTE FUNCTION verifiers_note_change()"
    )
    # Only changes: a notification makes commits wait for each other, and creations are to wait for nobody.
    op.execute(
        "CREATE TRIGGER changes_notify AFTER INSERT ON changes FOR EACH STATEMENT EXECUTE FUNCTION changes_notify()"
    )


def _note(change: str, now: str) -> str:
    return f"INSERT INTO changes (changed_id, type, occurred_at, noted_at) VALUES ({change}, {now})"  # noqa: S608
