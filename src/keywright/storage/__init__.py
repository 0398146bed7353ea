"""
Keeps keys, their audit log and what checking them needs, in SQLite or in PostgreSQL. All SQL stands in this package.

`engine.open_store` opens the store of a database URL; `migrate.migrate` brings a database to the version of this code,
by the numbered SQL files of `migrations`.
"""
