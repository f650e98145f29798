-- +goose Up
CREATE TABLE portal_return (
    id      TEXT   PRIMARY KEY,
    org_id  TEXT   NOT NULL,
    outcome TEXT   NOT NULL,
    at      BIGINT NOT NULL
);
CREATE INDEX portal_return_at ON portal_return (org_id, at);

-- +goose Down
DROP TABLE portal_return;
