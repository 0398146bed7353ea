"""
The last batch of uses that each reporter wrote: a batch that is written again is counted once.

The version before does not know of it, and goes on to add up what it is given.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261130_0006"
down_revision = "20261126_0005"

ID = sa.LargeBinary().with_variant(postgresql.UUID(), "postgresql")
TIME = sa.Integer().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
NUMBER = sa.Integer().with_variant(postgresql.BIGINT(), "postgresql")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "usage_reporters",
        sa.Column("reporter", ID, nullable=False),
        sa.Column("batch", NUMBER, nullable=False),
        sa.Column("written_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("reporter", name="usage_reporters_pkey"),
        sqlite_strict=True,
    )
    op.create_index("usage_reporters_written_at_idx", "usage_reporters", ["written_at"])
