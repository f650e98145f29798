-- +goose Up

-- What this router verified and passed on. Digests only.
CREATE TABLE federation_receipt (
    id         TEXT   NOT NULL PRIMARY KEY,
    org_id     TEXT   NOT NULL,
    made       BIGINT NOT NULL,
    client     TEXT   NOT NULL,
    sid        TEXT   NOT NULL,
    credential TEXT   NOT NULL,
    service    TEXT   NOT NULL,
    algorithm  BIGINT NOT NULL,
    count      BIGINT NOT NULL,
    binding    TEXT   NOT NULL,
    cert       TEXT   NOT NULL,
    signatures TEXT   NOT NULL
);

CREATE INDEX federation_receipt_sid ON federation_receipt (org_id, sid, made);

-- +goose Down
DROP TABLE federation_receipt;
