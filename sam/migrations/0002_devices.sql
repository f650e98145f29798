-- +goose Up

-- What a device signs to see its requests: each nonce is good once. Sessions of
-- devices are known by the hash of their token.

CREATE TABLE sam_nonce (
    hash    BYTEA  NOT NULL PRIMARY KEY,
    expires BIGINT NOT NULL
);
CREATE INDEX sam_nonce_expires ON sam_nonce (expires);

CREATE TABLE sam_session (
    hash          BYTEA  NOT NULL PRIMARY KEY,
    authenticator TEXT   NOT NULL,
    expires       BIGINT NOT NULL,
    mac           BYTEA  NOT NULL
);
CREATE INDEX sam_session_expires ON sam_session (expires);

-- A relying party that may not ask a signer now: for a while after rejections,
-- until a registration authority lifts it after "this was not me".

CREATE TABLE sam_block (
    id         TEXT   NOT NULL PRIMARY KEY,
    signer     TEXT   NOT NULL,
    client     TEXT   NOT NULL,
    locked     BIGINT NOT NULL,
    until      BIGINT NOT NULL,
    rejections BIGINT NOT NULL,
    changed    BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    mac        BYTEA  NOT NULL
);
