-- +goose Up
CREATE TABLE direct_signing (
    id        TEXT   PRIMARY KEY,  -- the state of the authorisation
    org_id    TEXT   NOT NULL,
    browser   TEXT   NOT NULL,     -- SHA-256 of the browser's cookie
    phase     TEXT   NOT NULL,     -- waiting, redeeming, signed, refused, failed
    request   TEXT   NOT NULL,     -- JSON: what was asked, digests and names only; empty when it is over
    result    TEXT   NOT NULL,     -- JSON: signatures, or why there are none
    began     BIGINT NOT NULL,
    expires   BIGINT NOT NULL
);
CREATE INDEX direct_signing_expires ON direct_signing (expires);

-- +goose Down
DROP TABLE direct_signing;
