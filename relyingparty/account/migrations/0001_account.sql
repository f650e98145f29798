-- +goose Up
CREATE TABLE account_user (
	id        TEXT PRIMARY KEY,
	org_id    TEXT NOT NULL,
	email     TEXT NOT NULL,
	name      TEXT NOT NULL,
	lang      TEXT NOT NULL,
	role      TEXT NOT NULL,
	password  TEXT NOT NULL,
	totp      TEXT NOT NULL,
	totp_step BIGINT NOT NULL,
	locked    BIGINT NOT NULL,
	made      BIGINT NOT NULL,
	UNIQUE (org_id, email)
);
CREATE TABLE account_recovery (
	org_id  TEXT NOT NULL,
	user_id TEXT NOT NULL,
	hash    TEXT NOT NULL,
	PRIMARY KEY (user_id, hash)
);
CREATE TABLE account_session (
	hash    TEXT PRIMARY KEY,
	org_id  TEXT NOT NULL,
	user_id TEXT NOT NULL,
	stage   TEXT NOT NULL,
	agent   TEXT NOT NULL,
	setup   TEXT NOT NULL,
	made    BIGINT NOT NULL,
	used    BIGINT NOT NULL
);
CREATE INDEX account_session_user ON account_session (user_id);
CREATE TABLE account_throttle (
	name     TEXT PRIMARY KEY,
	org_id   TEXT NOT NULL,
	failures BIGINT NOT NULL,
	until    BIGINT NOT NULL,
	changed  BIGINT NOT NULL
);
