-- A counter is raised once in a transaction, however many rows that changes. Raised for each, its row has a version
-- for each that all later ones must look at, and ending some ten thousand sessions took longer than a statement
-- may. SQLite changes the row in place.
CREATE OR REPLACE FUNCTION raise_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE changes SET version = version + 1
    WHERE topic = TG_ARGV[0] AND xmin <> pg_current_xact_id()::xid;
    PERFORM pg_notify('rolegate', '');
    RETURN NULL;
END $$;
