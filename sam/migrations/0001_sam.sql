-- +goose Up

-- Registration authorities, gateways, signers, devices and keys. Each row carries a
-- MAC by the keystore over all its fields; sam_head remembers every version that was
-- current, so that an old row put back is noticed.

CREATE TABLE sam_authority (
    key_id  TEXT   NOT NULL PRIMARY KEY,
    name    TEXT   NOT NULL,
    spki    BYTEA  NOT NULL,
    state   TEXT   NOT NULL,
    added   BIGINT NOT NULL,
    version BIGINT NOT NULL,
    mac     BYTEA  NOT NULL
);

CREATE TABLE sam_gateway (
    issuer     TEXT   NOT NULL PRIMARY KEY,
    return_url TEXT   NOT NULL,
    added      BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    mac        BYTEA  NOT NULL
);

CREATE TABLE sam_order (
    authority TEXT   NOT NULL,
    id        TEXT   NOT NULL,
    domain    TEXT   NOT NULL,
    done      BIGINT NOT NULL,
    PRIMARY KEY (authority, id)
);

CREATE TABLE sam_signer (
    id        TEXT   NOT NULL PRIMARY KEY,
    subject   TEXT   NOT NULL,
    assurance TEXT   NOT NULL,
    authority TEXT   NOT NULL,
    added     BIGINT NOT NULL,
    version   BIGINT NOT NULL,
    mac       BYTEA  NOT NULL
);

CREATE TABLE sam_enrolment (
    id        TEXT   NOT NULL PRIMARY KEY,
    order_id  TEXT   NOT NULL,
    signer    TEXT   NOT NULL,
    mechanism TEXT   NOT NULL,
    code_hash BYTEA  NOT NULL,
    expires   BIGINT NOT NULL,
    mac       BYTEA  NOT NULL,
    tries     BIGINT NOT NULL,
    state     TEXT   NOT NULL
);

CREATE TABLE sam_authenticator (
    id        TEXT   NOT NULL PRIMARY KEY,
    signer    TEXT   NOT NULL,
    mechanism TEXT   NOT NULL,
    name      TEXT   NOT NULL,
    spki      BYTEA  NOT NULL,
    handle    BYTEA  NOT NULL,
    pin       BYTEA  NOT NULL,
    state     TEXT   NOT NULL,
    enrolled  BIGINT NOT NULL,
    version   BIGINT NOT NULL,
    mac       BYTEA  NOT NULL
);
CREATE INDEX sam_authenticator_signer ON sam_authenticator (signer);
CREATE UNIQUE INDEX sam_authenticator_spki ON sam_authenticator (spki);

CREATE TABLE sam_pin (
    authenticator TEXT   NOT NULL PRIMARY KEY,
    seq           BIGINT NOT NULL,
    failures      BIGINT NOT NULL,
    locked_until  BIGINT NOT NULL,
    mac           BYTEA  NOT NULL
);

CREATE TABLE sam_credential (
    id          TEXT   NOT NULL PRIMARY KEY,
    signer      TEXT   NOT NULL,
    mechanism   TEXT   NOT NULL,
    scal        BIGINT NOT NULL,
    key_type    TEXT   NOT NULL,
    spki        BYTEA  NOT NULL,
    blob        BYTEA  NOT NULL,
    kek         BIGINT NOT NULL,
    chain       TEXT   NOT NULL,
    cert_hash   TEXT   NOT NULL,
    multisign   BIGINT NOT NULL,
    min_wysiwys BIGINT NOT NULL,
    state       TEXT   NOT NULL,
    made        BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    mac         BYTEA  NOT NULL
);
CREATE INDEX sam_credential_signer ON sam_credential (signer);
CREATE UNIQUE INDEX sam_credential_spki ON sam_credential (spki);
CREATE UNIQUE INDEX sam_credential_cert ON sam_credential (cert_hash) WHERE cert_hash <> '';

CREATE TABLE sam_head (
    record  TEXT   NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (record, version)
);

-- A request for approval: the SAD and what became of it. What does not change is
-- under mac, what the approval added under approval_mac.

CREATE TABLE sam_request (
    sid           TEXT   NOT NULL PRIMARY KEY,
    sad           BYTEA  NOT NULL,
    number        TEXT   NOT NULL,
    view_hash     BYTEA  NOT NULL,
    org           TEXT   NOT NULL,
    client        TEXT   NOT NULL,
    signer        TEXT   NOT NULL,
    gateway       TEXT   NOT NULL,
    lang          TEXT   NOT NULL,
    issued        BIGINT NOT NULL,
    expires       BIGINT NOT NULL,
    redeem        BIGINT NOT NULL,
    mac           BYTEA  NOT NULL,
    state         TEXT   NOT NULL,
    ended         BIGINT NOT NULL,
    reason        TEXT   NOT NULL,
    tries         BIGINT NOT NULL,
    failures      BIGINT NOT NULL,
    authenticator TEXT   NOT NULL,
    assertion     TEXT   NOT NULL,
    redeem_until  BIGINT NOT NULL,
    approval_mac  BYTEA  NOT NULL,
    spent         TEXT   NOT NULL,
    handle_hash   BYTEA  NOT NULL,
    returned      BIGINT NOT NULL
);
CREATE INDEX sam_request_pending ON sam_request (signer, state);
CREATE INDEX sam_request_expires ON sam_request (state, expires);

-- A batch is what one call spent. positions are the SAD's documents, in the order of
-- the caller's hashes.

CREATE TABLE sam_batch (
    id         TEXT   NOT NULL PRIMARY KEY,
    sid        TEXT   NOT NULL,
    client     TEXT   NOT NULL,
    algorithm  BIGINT NOT NULL,
    positions  TEXT   NOT NULL,
    signatures TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    begun      BIGINT NOT NULL,
    ended      BIGINT NOT NULL
);
CREATE INDEX sam_batch_sid ON sam_batch (sid);
CREATE INDEX sam_batch_state ON sam_batch (state, begun);
