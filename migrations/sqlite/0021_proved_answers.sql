-- Which token a session has made is the capture plane's word, and carries its proof.

ALTER TABLE sessions ADD COLUMN token_proof BLOB CHECK (length(token_proof) = 33); -- that it has made the token under the key, HMAC-SHA-256; keyed hash

-- What an idempotency key stands for, and for which request, is the internal plane's word.
ALTER TABLE idempotency_keys ADD COLUMN order_proof BLOB CHECK (length(order_proof) = 33); -- of the request and of what was made under the key, HMAC-SHA-256; keyed hash
