"""
The tables as they stand after the newest migration.

Nothing that serves imports this module: it is for reading, for writing the next migration, and for the test that holds
a migrated database against it on both engines.

Where the engines differ, SQLite's type comes first: an id is 16 bytes, a time is an integer of microseconds since 1970
in UTC, a document is text. Ids are UUIDv7, whose bytes sort by time on both engines.
"""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import BIGINT, JSONB, TIMESTAMP, UUID

NAMES = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}

metadata = MetaData(naming_convention=NAMES)

ID = LargeBinary().with_variant(UUID(), "postgresql")
TIME = Integer().with_variant(TIMESTAMP(timezone=True), "postgresql")
SEQUENCE = Integer().with_variant(BIGINT(), "postgresql")
DOCUMENT = Text().with_variant(JSONB(), "postgresql")
# Compared byte by byte: an index in a collation of the operating system goes wrong when that system is upgraded.
IDENTIFIER = Text().with_variant(Text(collation="C"), "postgresql")

organizations = Table(
    "organizations",
    metadata,
    Column("id", ID, primary_key=True),
    Column("issuer", IDENTIFIER, nullable=False),
    Column("external_id", IDENTIFIER, nullable=False),
    Column("created_at", TIME, nullable=False),
    UniqueConstraint("issuer", "external_id"),
    sqlite_strict=True,
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", ID, primary_key=True),
    Column("org_id", ID, ForeignKey("organizations.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("environment", Text, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", TIME),
    Column("revoked_at", TIME),
    Column("revoked_by", Text),
    Column("deleted_at", TIME),
    Column("deleted_by", Text),
    # JSON, kept as the text it came in; absent where there is nothing in it, as in all rows from before.
    Column("scopes", Text),
    Column("allowed_ips", Text),
    Column("rate_limits", Text),
    Column("metadata", Text),
    Column("external_id", IDENTIFIER),
    # Absent in rows that a version revoked that knew of no reasons.
    Column("revocation_reason", Text),
    Column("version", Integer, nullable=False, server_default=text("1")),
    # How many days before its expiry the latest notice of it was given.
    Column("noticed_days", Integer),
    CheckConstraint("length(name) BETWEEN 1 AND 100", name="name"),
    CheckConstraint("length(description) <= 255", name="description"),
    CheckConstraint("(revoked_at IS NULL) = (revoked_by IS NULL)", name="revoked"),
    CheckConstraint("(deleted_at IS NULL) = (deleted_by IS NULL)", name="deleted"),
    sqlite_strict=True,
)

Index(
    "api_keys_newest_idx",
    api_keys.c.org_id,
    api_keys.c.id,
    sqlite_where=text("deleted_at IS NULL"),
    postgresql_where=text("deleted_at IS NULL"),
)

Index(
    "api_keys_external_id_idx",
    api_keys.c.org_id,
    api_keys.c.external_id,
    api_keys.c.id,
    sqlite_where=text("external_id IS NOT NULL AND deleted_at IS NULL"),
    postgresql_where=text("external_id IS NOT NULL AND deleted_at IS NULL"),
)

# For who gives notice of an expiry; a key without one adds nothing to it.
Index(
    "api_keys_expires_at_idx",
    api_keys.c.expires_at,
    sqlite_where=text("expires_at IS NOT NULL AND revoked_at IS NULL AND deleted_at IS NULL"),
    postgresql_where=text("expires_at IS NOT NULL AND revoked_at IS NULL AND deleted_at IS NULL"),
)

api_key_secrets = Table(
    "api_key_secrets",
    metadata,
    # The first secret of a key bears the key's own id, later ones the id of the event of their rotation.
    Column("id", ID, primary_key=True),
    Column("key_id", ID, ForeignKey("api_keys.id"), nullable=False),
    Column("public_key", LargeBinary, nullable=False, unique=True),
    Column("secret_digest", LargeBinary, nullable=False, unique=True),
    Column("brand", Text, nullable=False),
    Column("display", Text, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("retires_at", TIME),
    Column("last_used_at", TIME),
    # Noted since there is such a column.
    Column("first_used_at", TIME),
    # Of a secret that is being rotated out and retires when it has been quiet for so long.
    Column("quiet_seconds", Integer),
    CheckConstraint("length(public_key) = 32", name="public_key"),
    CheckConstraint("length(secret_digest) = 32", name="secret_digest"),
    sqlite_strict=True,
)

# The current secret of a key is the one without an end, and a key has one of them.
Index(
    "api_key_secrets_current_idx",
    api_key_secrets.c.key_id,
    unique=True,
    sqlite_where=text("retires_at IS NULL"),
    postgresql_where=text("retires_at IS NULL"),
)

# With the one above, all secrets of a key can be had; a creation has nothing to add to it.
Index(
    "api_key_secrets_retiring_idx",
    api_key_secrets.c.key_id,
    sqlite_where=text("retires_at IS NOT NULL"),
    postgresql_where=text("retires_at IS NOT NULL"),
)

# For who ends the secrets that wait for quiet, which are few.
Index(
    "api_key_secrets_quiet_idx",
    api_key_secrets.c.retires_at,
    sqlite_where=text("quiet_seconds IS NOT NULL"),
    postgresql_where=text("quiet_seconds IS NOT NULL"),
)

events = Table(
    "events",
    metadata,
    # Not in the order of commits; `changes` is for following.
    Column("seq", SEQUENCE, Identity(always=True), primary_key=True),
    Column("id", ID, nullable=False, unique=True),
    # No foreign keys: the trail outlives what it speaks of.
    Column("org_id", ID, nullable=False),
    Column("key_id", ID, nullable=False),
    Column("type", Text, nullable=False),
    Column("occurred_at", TIME, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("client_id", Text),
    Column("request_id", Text, nullable=False),
    Column("address", Text),
    Column("data", DOCUMENT, nullable=False),
    # Absent in events that a version wrote that knew of no chain; they have no place in it.
    Column("digest", LargeBinary),
    sqlite_strict=True,
)

Index("events_newest_idx", events.c.org_id, events.c.id)
# Beginning with the key, so that the events of new keys are added at one end.
Index("events_of_key_idx", events.c.key_id, events.c.id)

# The places of events, each with the hash over the one before and the event's digest. Written with the events: on
# PostgreSQL by a trigger, on SQLite by the one who writes.
event_chain = Table(
    "event_chain",
    metadata,
    Column("org_id", ID, primary_key=True),
    Column("position", SEQUENCE, primary_key=True, autoincrement=False),
    # No foreign key: a place tells of an event that was removed, too.
    Column("event_id", ID, nullable=False, unique=True),
    Column("hash", LargeBinary, nullable=False),
    CheckConstraint("length(hash) = 32", name="hash"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

# Where each chain ends: what the next event is chained to, and locked by whoever chains one.
event_chain_heads = Table(
    "event_chain_heads",
    metadata,
    Column("org_id", ID, primary_key=True),
    Column("position", SEQUENCE, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    CheckConstraint("length(hash) = 32", name="hash"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

# Sealed answers to requests that may be repeated.
replays = Table(
    "replays",
    metadata,
    Column("org_id", ID, primary_key=True),
    Column("request_digest", LargeBinary, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("expires_at", TIME, nullable=False),
    CheckConstraint("length(request_digest) = 32", name="request_digest"),
    CheckConstraint("length(fingerprint) = 32", name="fingerprint"),
    sqlite_strict=True,
)

Index("replays_expires_at_idx", replays.c.expires_at)

# Every event but a creation, and every revocation of a verifier, noted by triggers: who holds something of what
# changed has to drop it. Rows are never removed, and receipts are written from them.
changes = Table(
    "changes",
    metadata,
    # Its own numbers: creations draw none, so a follower sees numbers that are missing for what they are, changes whose
    # transactions are not done. On SQLite in the order of commits, on PostgreSQL not.
    Column("seq", SEQUENCE, Identity(always=True), primary_key=True),
    # A key, or a verifier.
    Column("changed_id", ID, nullable=False),
    Column("type", Text, nullable=False),
    Column("occurred_at", TIME, nullable=False),
    # By the database's own clock.
    Column("noted_at", TIME, nullable=False),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

Index("changes_changed_id_idx", changes.c.changed_id)
Index("changes_noted_at_idx", changes.c.noted_at, changes.c.seq)

verifiers = Table(
    "verifiers",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", IDENTIFIER, nullable=False),
    Column("credential_digest", LargeBinary, nullable=False, unique=True),
    Column("display", Text, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("revoked_at", TIME),
    CheckConstraint("length(name) BETWEEN 1 AND 255", name="name"),
    CheckConstraint("length(credential_digest) = 32", name="credential_digest"),
    sqlite_strict=True,
)

# The name of a revoked verifier may be given again.
Index(
    "verifiers_name_idx",
    verifiers.c.name,
    unique=True,
    sqlite_where=text("revoked_at IS NULL"),
    postgresql_where=text("revoked_at IS NULL"),
)

verifier_sessions = Table(
    "verifier_sessions",
    metadata,
    Column("id", ID, primary_key=True),
    # None for a process of ours.
    Column("verifier_id", ID, ForeignKey("verifiers.id")),
    Column("name", Text, nullable=False),
    Column("outage_seconds", Integer, nullable=False),
    Column("connected_at", TIME, nullable=False),
    Column("seen_at", TIME, nullable=False),
    Column("closed_at", TIME),
    CheckConstraint("length(name) BETWEEN 1 AND 255", name="name"),
    CheckConstraint("outage_seconds BETWEEN 0 AND 31536000", name="outage_seconds"),
    sqlite_strict=True,
)

confirmations = Table(
    "confirmations",
    metadata,
    # No foreign keys: a session may confirm before it could be noted.
    Column("seq", SEQUENCE, primary_key=True, autoincrement=False),
    Column("session_id", ID, primary_key=True),
    Column("confirmed_at", TIME, nullable=False),
    sqlite_strict=True,
)

# None of the three has foreign keys, which would make whoever notes a use wait for whoever revokes that key.
key_hours = Table(
    "key_hours",
    metadata,
    Column("key_id", ID, primary_key=True),
    Column("hour", TIME, primary_key=True),
    Column("count", SEQUENCE, nullable=False),
    sqlite_strict=True,
)

# The last batch of uses that each reporter wrote, so that a batch that is repeated is counted once.
usage_reporters = Table(
    "usage_reporters",
    metadata,
    # The id of a session, which may not be noted yet, and may belong to a process of ours.
    Column("reporter", ID, primary_key=True),
    Column("batch", SEQUENCE, nullable=False),
    # By the database's own clock.
    Column("written_at", TIME, nullable=False),
    sqlite_strict=True,
)

Index("usage_reporters_written_at_idx", usage_reporters.c.written_at)

# Uses of the first secret of each key, written by versions that knew of no other; read, and not written any more.
key_sources = Table(
    "key_sources",
    metadata,
    Column("key_id", ID, primary_key=True),
    # Empty where it is not known: an absent value is not equal to itself, so that one source could be here twice.
    Column("network", IDENTIFIER, primary_key=True),
    Column("agent", IDENTIFIER, primary_key=True),
    Column("verifier", IDENTIFIER, primary_key=True),
    Column("first_seen", TIME, nullable=False),
    Column("last_seen", TIME, nullable=False),
    Column("count", SEQUENCE, nullable=False),
    CheckConstraint("length(network) <= 64", name="network"),
    CheckConstraint("length(agent) <= 64", name="agent"),
    CheckConstraint("length(verifier) <= 255", name="verifier"),
    sqlite_strict=True,
)

secret_sources = Table(
    "secret_sources",
    metadata,
    Column("secret_id", ID, primary_key=True),
    # As in `key_sources`.
    Column("network", IDENTIFIER, primary_key=True),
    Column("agent", IDENTIFIER, primary_key=True),
    Column("verifier", IDENTIFIER, primary_key=True),
    Column("first_seen", TIME, nullable=False),
    Column("last_seen", TIME, nullable=False),
    Column("count", SEQUENCE, nullable=False),
    CheckConstraint("length(network) <= 64", name="network"),
    CheckConstraint("length(agent) <= 64", name="agent"),
    CheckConstraint("length(verifier) <= 255", name="verifier"),
    sqlite_strict=True,
)
