-- Enforced: an organization keeps its owner, so that processes may cache it for ever.
CREATE FUNCTION organizations_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'organizations never change' USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER organizations_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON organizations
FOR EACH STATEMENT EXECUTE FUNCTION organizations_refuse_change();

UPDATE alembic_version SET version_num = '20261201_0012';
