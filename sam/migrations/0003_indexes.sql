-- +goose Up

-- A state changes several times in the life of a request or a batch, so indexes
-- hold only the few rows that somebody looks for by it. Queries repeat the
-- condition word for word.

DROP INDEX sam_request_pending;
DROP INDEX sam_request_expires;
DROP INDEX sam_batch_state;
CREATE INDEX sam_request_signer ON sam_request (signer, issued);
CREATE INDEX sam_request_pending ON sam_request (signer, client, expires) WHERE state = 'pending';
CREATE INDEX sam_batch_open ON sam_batch (begun) WHERE state IN ('spent', 'signed', 'burned');
