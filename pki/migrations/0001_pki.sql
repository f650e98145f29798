-- +goose Up
CREATE TABLE pki_certificate (
	serial      TEXT   NOT NULL PRIMARY KEY, -- lower-case hex
	slot        TEXT   NOT NULL UNIQUE,      -- role/generation of our own, serial of a signer's
	issuer      TEXT   NOT NULL,             -- root or ca
	role        TEXT   NOT NULL,             -- root, ca, ocsp, tsa or signer
	generation  BIGINT NOT NULL,             -- of our own, from 1; 0 for a signer's
	key_name    TEXT   NOT NULL,             -- of the service key; empty for a signer's
	key_hash    TEXT   NOT NULL UNIQUE,      -- hex SHA-256 of the SubjectPublicKeyInfo: one key, one certificate
	subject     TEXT   NOT NULL,
	signer      TEXT   NOT NULL,
	credential  TEXT   NOT NULL,
	key_record  TEXT   NOT NULL,             -- the two signed records it was issued on, JSON
	proofing    TEXT   NOT NULL,
	der         BYTEA  NOT NULL,
	not_before  BIGINT NOT NULL,
	not_after   BIGINT NOT NULL,
	made        BIGINT NOT NULL,
	revoked     BIGINT NOT NULL,             -- 0: it is not
	reason      BIGINT NOT NULL              -- CRLReason
);
CREATE INDEX pki_certificate_role ON pki_certificate (role, generation);
CREATE INDEX pki_certificate_revoked ON pki_certificate (issuer, revoked);

-- Each proofing record serves once.
CREATE TABLE pki_proofing (
	authority TEXT   NOT NULL, -- key id of the registration authority
	id        TEXT   NOT NULL,
	used      BIGINT NOT NULL,
	PRIMARY KEY (authority, id)
);

-- The keys of activation modules and registration authorities.
CREATE TABLE pki_party (
	key_id  TEXT   NOT NULL PRIMARY KEY,
	role    TEXT   NOT NULL, -- sam or ra
	name    TEXT   NOT NULL,
	spki    BYTEA  NOT NULL,
	added   BIGINT NOT NULL,
	removed BIGINT NOT NULL -- 0: it counts
);

-- version moves with every certificate and every revocation; a list built for
-- an older version is stale.
CREATE TABLE pki_crl (
	issuer      TEXT   NOT NULL PRIMARY KEY,
	version     BIGINT NOT NULL,
	built       BIGINT NOT NULL,
	number      BIGINT NOT NULL,
	this_update BIGINT NOT NULL,
	der         BYTEA  NOT NULL
);

-- Serial numbers of time-stamps are prefix and value.
CREATE TABLE pki_counter (
	name   TEXT   NOT NULL PRIMARY KEY,
	prefix TEXT   NOT NULL,
	value  BIGINT NOT NULL,
	at     BIGINT NOT NULL -- the latest time at which numbers were taken
);

-- +goose Down
DROP TABLE pki_counter;
DROP TABLE pki_crl;
DROP TABLE pki_party;
DROP TABLE pki_proofing;
DROP TABLE pki_certificate;
