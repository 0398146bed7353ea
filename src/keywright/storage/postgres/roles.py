"""
The role of the service: it adds to the audit log and cannot change it. The owner of the tables migrates and grants.

The role has no rights on the chain and its checkpoints but to read them; a trigger and two functions write them with
the rights of the owner.
"""

from typing import TYPE_CHECKING, Final, NamedTuple

from keywright.storage.postgres import migrate
from keywright.storage.shared.rows import EventRow
from keywright.storage.url import PostgresUrl

if TYPE_CHECKING:
    from keywright.storage.postgres.connecting import ServerConnection

_NAME_ROLE: Final = "SELECT set_config('keywright.granted_role', $1, true)"

_LOG: Final = "'events', 'event_chain', 'event_chain_heads', 'event_checkpoints'"
"""The tables of the audit log."""

GRANT: Final = f"""
    DO $$
    DECLARE
        role text := current_setting('keywright.granted_role');
        schema text := current_schema();
        name text;
    BEGIN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', schema, role);
        FOR name IN
            SELECT relname FROM pg_class
            WHERE relnamespace = schema::regnamespace AND relkind IN ('r', 'v') AND relowner = current_user::regrole
        LOOP
            EXECUTE format('REVOKE ALL ON %I.%I FROM %I', schema, name, role);
            EXECUTE format('GRANT SELECT ON %I.%I TO %I', schema, name, role);
            IF name NOT IN ('alembic_version', {_LOG}) THEN
                EXECUTE format('GRANT INSERT, UPDATE, DELETE ON %I.%I TO %I', schema, name, role);
            END IF;
        END LOOP;
        EXECUTE format(
            'GRANT INSERT ({", ".join(EventRow._fields)}) ON %I.events TO %I', schema, role
        );
        EXECUTE format('GRANT EXECUTE ON FUNCTION %I.events_prune TO %I', schema, role);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %I.events_erase TO %I', schema, role);
    END $$
"""  # noqa: S608 - here and below: names of our own
"""Run by the owner. What another role owns in the same schema is left alone."""

_POWERS: Final = f"""
    SELECT rolsuper,
        EXISTS (
            SELECT FROM pg_class WHERE relnamespace = current_schema()::regnamespace
                AND relname IN ({_LOG})
                AND pg_has_role(current_user, relowner, 'USAGE')
        ),
        EXISTS (
            SELECT FROM unnest(ARRAY[{_LOG}]) AS protected
            WHERE has_table_privilege(protected, 'UPDATE') OR has_table_privilege(protected, 'DELETE')
                OR has_table_privilege(protected, 'TRUNCATE') OR has_table_privilege(protected, 'TRIGGER')
        )
    FROM pg_roles WHERE rolname = current_user
"""  # noqa: S608


class Powers(NamedTuple):
    """What a role could do to the audit log beside adding to it."""

    is_superuser: bool
    owns: bool
    """It may alter the tables and switch their triggers off."""
    changes: bool
    """It may change rows; the triggers still refuse what they refuse."""


def grant(url: PostgresUrl, role: str) -> None:
    """
    Give *role* the rights that the service needs, and take others from it; the role must exist.

    Raises:
        StorageUnavailable: The database cannot be reached or refuses it.
    """

    async def work(connection: "ServerConnection") -> None:
        async with connection.transaction():
            await connection.execute(_NAME_ROLE, role)
            await connection.execute(GRANT)

    migrate.with_connection(url, work, statement_patience=migrate.CONNECT_PATIENCE)


def powers(url: PostgresUrl) -> Powers:
    """
    Ask what the role of *url* could do to the audit log.

    Raises:
        StorageUnavailable: The database cannot be reached, or is not migrated.
    """

    async def work(connection: "ServerConnection") -> Powers:
        ((is_superuser, owns, changes),) = await connection.fetch(_POWERS)
        return Powers(is_superuser, owns, changes)

    return migrate.with_connection(url, work, statement_patience=migrate.CONNECT_PATIENCE)
