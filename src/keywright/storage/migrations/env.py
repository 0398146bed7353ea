"""
How Alembic runs the migrations here: without a database, to render them as SQL.

`render.py` is the only one who calls this; there is no alembic.ini.
"""

from alembic import context

# No begin_transaction(): whoever runs the SQL holds a lock and a transaction of its own around all of it.
context.configure(dialect_name=context.config.attributes["dialect"])
context.run_migrations()
