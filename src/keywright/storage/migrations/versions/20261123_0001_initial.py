"""
Organisations, API keys, their secrets, and the trail.

Static on purpose, like every migration: it is rendered to SQL without a database to look at.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261123_0001"
down_revision = None

ID = sa.LargeBinary().with_variant(postgresql.UUID(), "postgresql")
TIME = sa.Integer().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
SEQUENCE = sa.Integer().with_variant(postgresql.BIGINT(), "postgresql")
DOCUMENT = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
IDENTIFIER = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create everything."""
    _create_organizations()
    _create_api_keys()
    _create_api_key_secrets()
    _create_events()
    if op.get_context().dialect.name == "postgresql":
        _keep_events_on_postgresql()
    else:
        _keep_events_on_sqlite()


def _create_organizations() -> None:
    op.create_table(
        "organizations",
        sa.Column("id", ID, nullable=False),
        sa.Column("issuer", IDENTIFIER, nullable=False),
        sa.Column("external_id", IDENTIFIER, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="organizations_pkey"),
        sa.UniqueConstraint("issuer", "external_id", name="organizations_issuer_external_id_key"),
        sqlite_strict=True,
    )


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", ID, nullable=False),
        sa.Column("org_id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", TIME),
        sa.Column("revoked_at", TIME),
        sa.Column("revoked_by", sa.Text()),
        sa.Column("deleted_at", TIME),
        sa.Column("deleted_by", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="api_keys_pkey"),
        sa.ForeignKeyConstraint(["org_id"], ["organizations.id"], name="api_keys_org_id_fkey"),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 100", name="api_keys_name_check"),
        sa.CheckConstraint("length(description) <= 255", name="api_keys_description_check"),
        sa.CheckConstraint("(revoked_at IS NULL) = (revoked_by IS NULL)", name="api_keys_revoked_check"),
        sa.CheckConstraint("(deleted_at IS NULL) = (deleted_by IS NULL)", name="api_keys_deleted_check"),
        sqlite_strict=True,
    )
    alive = sa.text("deleted_at IS NULL")
    op.create_index("api_keys_newest_idx", "api_keys", ["org_id", "id"], sqlite_where=alive, postgresql_where=alive)


def _create_api_key_secrets() -> None:
    op.create_table(
        "api_key_secrets",
        sa.Column("id", ID, nullable=False),
        sa.Column("key_id", ID, nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("secret_digest", sa.LargeBinary(), nullable=False),
        sa.Column("brand", sa.Text(), nullable=False),
        sa.Column("display", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("retires_at", TIME),
        sa.Column("last_used_at", TIME),
        sa.PrimaryKeyConstraint("id", name="api_key_secrets_pkey"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="api_key_secrets_key_id_fkey"),
        sa.UniqueConstraint("public_key", name="api_key_secrets_public_key_key"),
        sa.UniqueConstraint("secret_digest", name="api_key_secrets_secret_digest_key"),
        sa.CheckConstraint("length(public_key) = 32", name="api_key_secrets_public_key_check"),
        sa.CheckConstraint("length(secret_digest) = 32", name="api_key_secrets_secret_digest_check"),
        sqlite_strict=True,
    )
    current = sa.text("retires_at IS NULL")
    op.create_index(
        "api_key_secrets_current_idx",
        "api_key_secrets",
        ["key_id"],
        unique=True,
        sqlite_where=current,
        postgresql_where=current,
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("seq", SEQUENCE, sa.Identity(always=True), nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("org_id", ID, nullable=False),
        sa.Column("key_id", ID, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("occurred_at", TIME, nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text()),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("address", sa.Text()),
        sa.Column("data", DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="events_pkey"),
        sa.UniqueConstraint("id", name="events_id_key"),
        sqlite_strict=True,
    )
    op.create_index("events_newest_idx", "events", ["org_id", "id"])


def _keep_events_on_sqlite() -> None:
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER events_refuse_{change.lower()} BEFORE {change} ON events"
            " BEGIN SELECT RAISE(ABORT, 'events are only ever added'); END"
        )


def _keep_events_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION events_refuse_change() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'events are only ever added' USING ERRCODE = 'restrict_violation'; END $$"
    )
    op.execute(
        "CREATE TRIGGER events_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events"
        " FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_change()"
    )
