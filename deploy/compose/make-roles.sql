-- The image of PostgreSQL runs this once, when its volume is empty: the database, the role that owns its tables and
-- migrates them, and the role that serves, whose rights come from `keywright migrate --grant-to keywright_serve`.
\set owner `cat /run/secrets/owner-password`
\set serve `cat /run/secrets/serve-password`
CREATE ROLE keywright_owner LOGIN PASSWORD :'owner';
CREATE ROLE keywright_serve LOGIN PASSWORD :'serve';
CREATE DATABASE keywright OWNER keywright_owner;
REVOKE ALL ON DATABASE keywright FROM PUBLIC;
GRANT CONNECT ON DATABASE keywright TO keywright_serve;
