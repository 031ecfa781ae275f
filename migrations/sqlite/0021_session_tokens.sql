-- Which token a session has made is the capture plane's word, and carries its proof.

ALTER TABLE sessions ADD COLUMN token_proof BLOB CHECK (length(token_proof) = 33); -- that it has made the token under the key, HMAC-SHA-256; keyed hash
