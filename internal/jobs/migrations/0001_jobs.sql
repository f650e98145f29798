-- +goose Up
CREATE TABLE job (
	id         TEXT PRIMARY KEY,
	org_id     TEXT NOT NULL,
	kind       TEXT NOT NULL,
	job_key    TEXT NOT NULL,
	data       TEXT NOT NULL,
	state      TEXT NOT NULL,
	due        BIGINT NOT NULL,
	made       BIGINT NOT NULL,
	attempt    BIGINT NOT NULL,
	owner      TEXT NOT NULL,
	leased     BIGINT NOT NULL,
	last_error TEXT NOT NULL,
	UNIQUE (org_id, kind, job_key)
);
CREATE INDEX job_due ON job (state, due);
CREATE INDEX job_org ON job (org_id);
