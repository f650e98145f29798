-- +goose Up
CREATE TABLE request (
	id          TEXT PRIMARY KEY,
	org_id      TEXT NOT NULL,
	owner       TEXT NOT NULL,
	owner_name  TEXT NOT NULL,
	owner_email TEXT NOT NULL,
	title       TEXT NOT NULL,
	message     TEXT NOT NULL,
	lang        TEXT NOT NULL,
	deadline    BIGINT NOT NULL,
	state       TEXT NOT NULL,
	reason      TEXT NOT NULL,
	reason_by   TEXT NOT NULL,
	made        BIGINT NOT NULL,
	sent        BIGINT NOT NULL,
	ended       BIGINT NOT NULL,
	reminded    BIGINT NOT NULL,
	changed     BIGINT NOT NULL,
	log_id      TEXT NOT NULL,
	seq         BIGINT NOT NULL
);
CREATE INDEX request_list ON request (org_id, owner, made);
CREATE TABLE request_document (
	id              TEXT PRIMARY KEY,
	org_id          TEXT NOT NULL,
	request_id      TEXT NOT NULL,
	position        BIGINT NOT NULL,
	name            TEXT NOT NULL,
	original        TEXT NOT NULL,
	original_sha256 TEXT NOT NULL,
	revision        BIGINT NOT NULL,
	stored          TEXT NOT NULL,
	size            BIGINT NOT NULL,
	sha256          TEXT NOT NULL,
	sha512          TEXT NOT NULL
);
CREATE INDEX request_document_request ON request_document (request_id, position);
CREATE TABLE request_signer (
	id          TEXT PRIMARY KEY,
	org_id      TEXT NOT NULL,
	request_id  TEXT NOT NULL,
	position    BIGINT NOT NULL,
	name        TEXT NOT NULL,
	email       TEXT NOT NULL,
	phone       TEXT NOT NULL,
	lang        TEXT NOT NULL,
	level       TEXT NOT NULL,
	factor      TEXT NOT NULL,
	credential  TEXT NOT NULL,
	state       TEXT NOT NULL,
	reason      TEXT NOT NULL,
	problem     TEXT NOT NULL,
	code        TEXT NOT NULL,
	invited     BIGINT NOT NULL,
	opened      BIGINT NOT NULL,
	viewed      BIGINT NOT NULL,
	acted       BIGINT NOT NULL,
	reminded    BIGINT NOT NULL,
	certificate TEXT NOT NULL,
	verdict     TEXT NOT NULL,
	link_hash   TEXT NOT NULL UNIQUE,
	signing     TEXT NOT NULL,
	code_salt   TEXT NOT NULL,
	code_tries  BIGINT NOT NULL,
	code_ends   BIGINT NOT NULL,
	code_orders BIGINT NOT NULL,
	code_window BIGINT NOT NULL
);
CREATE INDEX request_signer_request ON request_signer (request_id, position);
CREATE TABLE request_visit (
	hash      TEXT PRIMARY KEY,
	org_id    TEXT NOT NULL,
	signer_id TEXT NOT NULL,
	ends      BIGINT NOT NULL
);
CREATE TABLE request_event (
	org_id     TEXT NOT NULL,
	request_id TEXT NOT NULL,
	seq        BIGINT NOT NULL,
	type       TEXT NOT NULL,
	at         BIGINT NOT NULL,
	signer_id  TEXT NOT NULL,
	actor      TEXT NOT NULL,
	name       TEXT NOT NULL,
	address    TEXT NOT NULL,
	data       TEXT NOT NULL,
	PRIMARY KEY (request_id, seq)
);
CREATE TABLE request_approval (
	id         TEXT PRIMARY KEY,
	org_id     TEXT NOT NULL,
	request_id TEXT NOT NULL,
	signer_id  TEXT NOT NULL,
	state_hash TEXT NOT NULL UNIQUE,
	phase      TEXT NOT NULL,
	sealed     TEXT NOT NULL,
	returned   TEXT NOT NULL,
	made       BIGINT NOT NULL
);
CREATE INDEX request_approval_request ON request_approval (request_id);
CREATE TABLE request_credential (
	org_id     TEXT NOT NULL,
	email      TEXT NOT NULL,
	credential TEXT NOT NULL,
	PRIMARY KEY (org_id, email)
);
