-- +goose Up

-- The browser that opened a request's page first: only there a passkey approves
-- without the number, and only from there the way leads back.

CREATE TABLE sam_claim (
    sid  TEXT  NOT NULL PRIMARY KEY,
    hash BYTEA NOT NULL
);
