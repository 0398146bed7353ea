"""
Keeps keys and their trail, in SQLite or in PostgreSQL. All SQL of the house is in this room, and nothing else is.

`engine.open_store` opens the store of a database URL; `migrate.migrate` brings a database to the version of this code.
Neither imports SQLAlchemy or Alembic: migrations are written with them, rendered to SQL ahead of time by
`migrations/render.py`, and shipped as text.
"""
