-- +goose Up
CREATE TABLE document (
	id     TEXT PRIMARY KEY,
	org_id TEXT NOT NULL,
	name   TEXT NOT NULL,
	size   BIGINT NOT NULL,
	sha256 TEXT NOT NULL,
	sha512 TEXT NOT NULL,
	made   BIGINT NOT NULL
);
CREATE INDEX document_content ON document (sha256);
CREATE INDEX document_org ON document (org_id, made);
