-- +goose Up
CREATE TABLE oauth_client (
    id         TEXT   NOT NULL PRIMARY KEY,
    org_id     TEXT   NOT NULL,
    data       TEXT   NOT NULL, -- JSON, without secrets
    secrets    TEXT   NOT NULL, -- JSON: SHA-256 of each secret, sealed
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX oauth_client_org ON oauth_client (org_id, id);

CREATE TABLE oauth_client_signer (
    org_id    TEXT NOT NULL,
    client_id TEXT NOT NULL REFERENCES oauth_client (id),
    signer    TEXT NOT NULL,
    PRIMARY KEY (org_id, client_id, signer)
);

CREATE TABLE oauth_request (
    id            TEXT   NOT NULL PRIMARY KEY, -- also the grant of its tokens
    org_id        TEXT   NOT NULL,
    client_id     TEXT   NOT NULL,
    state         TEXT   NOT NULL, -- pushed, started, waiting, granted, redeemed, ended
    uri_hash      TEXT UNIQUE,     -- SHA-256 of the request_uri
    form          TEXT   NOT NULL, -- the authorization request, without secrets
    jkt           TEXT   NOT NULL, -- thumbprint of the DPoP key the code is bound to, or empty
    browser_hash  TEXT   NOT NULL, -- SHA-256 of the cookie of the browser that started
    sid           TEXT,
    code_hash     TEXT,            -- SHA-256 of the authorization code
    signer        TEXT   NOT NULL,
    credential_id TEXT   NOT NULL,
    token_expires BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL  -- of the state it is in
);
CREATE UNIQUE INDEX oauth_request_sid ON oauth_request (sid) WHERE sid IS NOT NULL;
CREATE UNIQUE INDEX oauth_request_code ON oauth_request (code_hash) WHERE code_hash IS NOT NULL;
CREATE INDEX oauth_request_created ON oauth_request (created_at);
CREATE INDEX oauth_request_young ON oauth_request (created_at) WHERE state = 'pushed' OR state = 'started';

CREATE TABLE oauth_token (
    hash          TEXT   NOT NULL PRIMARY KEY, -- SHA-256 of the token
    org_id        TEXT   NOT NULL,
    client_id     TEXT   NOT NULL,
    grant_id      TEXT   NOT NULL, -- what is revoked together
    kind          TEXT   NOT NULL, -- access, refresh
    state         TEXT   NOT NULL, -- active, used, revoked
    scope         TEXT   NOT NULL,
    signer        TEXT   NOT NULL,
    credential_id TEXT   NOT NULL,
    sid           TEXT   NOT NULL,
    jkt           TEXT   NOT NULL,
    details       TEXT   NOT NULL, -- authorization_details as they were sent, or empty
    grant_expires BIGINT NOT NULL, -- end of the whole grant, or 0
    issued_at     BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL
);
CREATE INDEX oauth_token_grant ON oauth_token (grant_id);
CREATE INDEX oauth_token_expires ON oauth_token (expires_at);

-- What may be seen once: the jti of client assertions and of DPoP proofs.
CREATE TABLE oauth_once (
    id         TEXT   NOT NULL PRIMARY KEY, -- SHA-256 of kind, owner and jti
    org_id     TEXT   NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX oauth_once_expires ON oauth_once (expires_at);

-- +goose Down
DROP TABLE oauth_once;
DROP TABLE oauth_token;
DROP TABLE oauth_request;
DROP TABLE oauth_client_signer;
DROP TABLE oauth_client;
