-- Which token a session has made is the capture plane's word, and carries its proof.

ALTER TABLE sessions ADD COLUMN token_proof BYTEA CHECK (octet_length(token_proof) = 33);
COMMENT ON COLUMN sessions.token_proof IS 'that it has made the token under the key, HMAC-SHA-256; keyed hash';
GRANT UPDATE (token_proof) ON sessions TO cloakroom_capture;

-- What an idempotency key stands for, and for which request, is the internal plane's word.
ALTER TABLE idempotency_keys ADD COLUMN order_proof BYTEA CHECK (octet_length(order_proof) = 33);
COMMENT ON COLUMN idempotency_keys.order_proof IS 'of the request and of what was made under the key, HMAC-SHA-256; keyed hash';
