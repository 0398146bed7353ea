"""
Indexes of tables that may be large, made beside those who write to them.

Whoever is interrupted here leaves an index that PostgreSQL does not use; the next one who migrates drops it first.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261125_0004"
down_revision = "20261125_0003"

INDEXES = (
    (
        *("api_keys_external_id_idx", "api_keys", ("org_id", "external_id", "id")),
        "external_id IS NOT NULL AND deleted_at IS NULL",
    ),
    (
        *("api_keys_expires_at_idx", "api_keys", ("expires_at",)),
        "expires_at IS NOT NULL AND revoked_at IS NULL AND deleted_at IS NULL",
    ),
    ("api_key_secrets_quiet_idx", "api_key_secrets", ("retires_at",), "quiet_seconds IS NOT NULL"),
    ("events_of_key_idx", "events", ("key_id", "id"), None),
)


def upgrade() -> None:
    """Make them."""
    for name, table, columns, condition in INDEXES:
        if op.get_context().dialect.name == "postgresql":
            op.drop_index(name, if_exists=True, postgresql_concurrently=True)
        where = None if condition is None else sa.text(condition)
        op.create_index(
            name, table, list(columns), sqlite_where=where, postgresql_where=where, postgresql_concurrently=True
        )
