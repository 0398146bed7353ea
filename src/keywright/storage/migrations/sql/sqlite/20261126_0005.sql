-- Running upgrade 20261125_0004 -> 20261126_0005

UPDATE alembic_version SET version_num='20261126_0005' WHERE alembic_version.version_num = '20261125_0004';
