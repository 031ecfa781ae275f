-- The security code of a saved card, given again for one charge. The code itself stands nowhere: the
-- processor has it, and gives a token for it that is good once.

ALTER TABLE sessions ADD COLUMN security_code_of TEXT CHECK (length(security_code_of) BETWEEN 1 AND 64);
COMMENT ON COLUMN sessions.security_code_of IS 'the saved token whose security code it takes, where it takes no card; clear';

ALTER TABLE charges ADD COLUMN security_code_token BYTEA CHECK (octet_length(security_code_token) BETWEEN 1 AND 1024);
COMMENT ON COLUMN charges.security_code_token IS 'the processor''s token of the security code, until the charge is settled; sealed';
ALTER TABLE charges ADD COLUMN security_code_hash BYTEA CHECK (octet_length(security_code_hash) = 32) CHECK (security_code_token IS NULL OR security_code_hash IS NOT NULL);
COMMENT ON COLUMN charges.security_code_hash IS 'of what is sealed there, SHA-256; clear';

-- It is taken away when the charge is settled, and never put there later.
GRANT UPDATE (security_code_token) ON charges TO cloakroom_internal;
