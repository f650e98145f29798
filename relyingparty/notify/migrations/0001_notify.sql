-- +goose Up
CREATE TABLE notify_message (
	id         TEXT PRIMARY KEY,
	org_id     TEXT NOT NULL,
	request_id TEXT NOT NULL,
	kind       TEXT NOT NULL,
	channel    TEXT NOT NULL,
	recipient  TEXT NOT NULL,
	sealed     TEXT NOT NULL,
	state      TEXT NOT NULL,
	attempts   BIGINT NOT NULL,
	queued     BIGINT NOT NULL,
	sent       BIGINT NOT NULL,
	next_try   BIGINT NOT NULL,
	last_error TEXT NOT NULL
);
CREATE INDEX notify_message_request ON notify_message (org_id, request_id, queued);
