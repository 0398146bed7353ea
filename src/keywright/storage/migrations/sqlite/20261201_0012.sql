-- Enforced: an organization keeps its owner, so that processes may cache it for ever.
CREATE TRIGGER organizations_refuse_update BEFORE UPDATE ON organizations
BEGIN SELECT RAISE(ABORT, 'organizations never change'); END;

CREATE TRIGGER organizations_refuse_delete BEFORE DELETE ON organizations
BEGIN SELECT RAISE(ABORT, 'organizations never change'); END;

UPDATE alembic_version SET version_num = '20261201_0012';
