-- Nothing changes: a file and its processes have one clock. On PostgreSQL expiries are counted out by the server's, too.
UPDATE alembic_version SET version_num = '20261201_0022';
