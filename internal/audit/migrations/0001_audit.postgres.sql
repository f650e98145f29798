-- +goose Up
CREATE TABLE audit_outbox (
	id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at      BIGINT NOT NULL,
	type    TEXT   NOT NULL,
	subject TEXT   NOT NULL,
	actor   TEXT   NOT NULL,
	sid     TEXT   NOT NULL,
	outcome TEXT   NOT NULL,
	leaf    TEXT   NOT NULL
);
CREATE TABLE audit_entry (
	pos     BIGINT NOT NULL PRIMARY KEY,
	at      BIGINT NOT NULL,
	type    TEXT   NOT NULL,
	subject TEXT   NOT NULL,
	actor   TEXT   NOT NULL,
	sid     TEXT   NOT NULL,
	outcome TEXT   NOT NULL,
	leaf    TEXT   NOT NULL
);
CREATE INDEX audit_entry_sid ON audit_entry (sid, pos) WHERE sid <> '';
CREATE INDEX audit_entry_at ON audit_entry (at);
CREATE TABLE audit_tile (
	level  BIGINT NOT NULL,
	n      BIGINT NOT NULL,
	hashes BYTEA  NOT NULL,
	PRIMARY KEY (level, n)
);
CREATE TABLE audit_checkpoint (
	size BIGINT NOT NULL PRIMARY KEY,
	at   BIGINT NOT NULL,
	note TEXT   NOT NULL
);
CREATE TABLE audit_tree (
	id   BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
	size BIGINT NOT NULL
);
INSERT INTO audit_tree (id, size) VALUES (1, 0);

-- +goose StatementBegin
CREATE FUNCTION audit_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$;
-- +goose StatementEnd
CREATE TRIGGER audit_entry_keep BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
	FOR EACH STATEMENT EXECUTE FUNCTION audit_keep();
