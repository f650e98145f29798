-- +goose Up

-- What a relying party calls a credential of a peer: random, its own, and gone
-- when the certificate changes.
CREATE TABLE federation_handle (
    id      TEXT   NOT NULL PRIMARY KEY,
    org_id  TEXT   NOT NULL,
    client  TEXT   NOT NULL,
    peer    TEXT   NOT NULL,
    signer  TEXT   NOT NULL,
    remote  TEXT   NOT NULL,
    cert    TEXT   NOT NULL,
    chain   TEXT   NOT NULL,
    level   TEXT   NOT NULL,
    scal    BIGINT NOT NULL,
    created BIGINT NOT NULL,
    UNIQUE (org_id, client, peer, remote, cert)
);

-- An approval that is asked for at a peer. digests say position by position what may
-- be signed; sealed holds the secrets of the state it is in.
CREATE TABLE federation_authorization (
    sid           TEXT   NOT NULL PRIMARY KEY,
    org_id        TEXT   NOT NULL,
    client        TEXT   NOT NULL,
    peer          TEXT   NOT NULL,
    handle        TEXT   NOT NULL,
    state         TEXT   NOT NULL,
    state_hash    TEXT   NOT NULL UNIQUE,
    return_hash   TEXT   NOT NULL,
    sealed        TEXT   NOT NULL,
    hash_oid      TEXT   NOT NULL,
    digests       TEXT   NOT NULL,
    rule          TEXT   NOT NULL,
    serial        BIGINT NOT NULL,
    created       BIGINT NOT NULL,
    expires       BIGINT NOT NULL,
    token_expires BIGINT NOT NULL
);

CREATE INDEX federation_authorization_peer ON federation_authorization (peer, created);
CREATE INDEX federation_authorization_state ON federation_authorization (state, expires);

-- What was sent under an approval that was given: one character for each position. A
-- table of its own, for it is written with every signature and the other is long.
CREATE TABLE federation_grant (
    sid     TEXT   NOT NULL PRIMARY KEY,
    org_id  TEXT   NOT NULL,
    peer    TEXT   NOT NULL,
    spent   TEXT   NOT NULL,
    expires BIGINT NOT NULL
);

-- One signHash that went, or was about to go, to a peer.
CREATE TABLE federation_operation (
    id          TEXT   NOT NULL PRIMARY KEY,
    org_id      TEXT   NOT NULL,
    sid         TEXT   NOT NULL,
    client      TEXT   NOT NULL,
    peer        TEXT   NOT NULL,
    handle      TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    fingerprint TEXT   NOT NULL,
    positions   TEXT   NOT NULL,
    request     TEXT   NOT NULL,
    signatures  TEXT   NOT NULL,
    detail      TEXT   NOT NULL,
    created     BIGINT NOT NULL,
    changed     BIGINT NOT NULL,
    lease       BIGINT NOT NULL
);

CREATE INDEX federation_operation_sid ON federation_operation (sid, fingerprint);
CREATE INDEX federation_operation_open ON federation_operation (state, lease) WHERE state = 'SENDING' OR state = 'INDETERMINATE';

-- A peer that lied gets no traffic until the operator lifts it. org_id is the
-- organisation whose request found it out.
CREATE TABLE federation_quarantine (
    id        TEXT   NOT NULL PRIMARY KEY,
    org_id    TEXT   NOT NULL,
    peer      TEXT   NOT NULL,
    reason    TEXT   NOT NULL,
    detail    TEXT   NOT NULL,
    sid       TEXT   NOT NULL,
    since     BIGINT NOT NULL,
    lifted    BIGINT NOT NULL,
    lifted_by TEXT   NOT NULL
);

CREATE INDEX federation_quarantine_peer ON federation_quarantine (peer, lifted);

-- The newest list of peers that was ever in force: an older one is refused.
CREATE TABLE federation_list (
    org_id TEXT   NOT NULL PRIMARY KEY,
    serial BIGINT NOT NULL,
    digest TEXT   NOT NULL,
    loaded BIGINT NOT NULL
);

ALTER TABLE federation_receipt ADD COLUMN logged BIGINT NOT NULL DEFAULT 0;
CREATE INDEX federation_receipt_waiting ON federation_receipt (made, id) WHERE logged = 0;

-- +goose Down
DROP INDEX federation_receipt_waiting;
ALTER TABLE federation_receipt DROP COLUMN logged;
DROP TABLE federation_list;
DROP TABLE federation_quarantine;
DROP TABLE federation_operation;
DROP TABLE federation_grant;
DROP TABLE federation_authorization;
DROP TABLE federation_handle;
