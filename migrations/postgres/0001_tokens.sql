-- Keys, customers, sessions and tokens. Migrations are append-only: a published one is never edited.
-- 
-- Words used in the comments: "clear" may be read by whoever reads the database; "sealed" is
-- ciphertext that only its own row can open; "keyed hash" says nothing without our key. Times are
-- milliseconds since 1970-01-01T00:00:00Z. No column holds a card number, a security code, or
-- anything computed from them (PCI DSS 3.3.1, 3.5.1).

-- Roles of least privilege (PCI DSS 7.2.5). They cannot log in: the operator makes login users and
-- grants each one of them. Whoever migrates owns the tables and must be able to make roles; where
-- it may not, somebody who may runs these four statements first.
DO $$
DECLARE
    role TEXT;
BEGIN
    FOREACH role IN ARRAY ARRAY['cloakroom_owner', 'cloakroom_capture', 'cloakroom_internal', 'cloakroom_audit'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION
                -- Another database of this cluster is being migrated at the same time.
                WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
    END LOOP;
END
$$;

CREATE TABLE data_keys (
    id            TEXT   NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),
    kek           TEXT   NOT NULL CHECK (length(kek) BETWEEN 1 AND 64),
    wrapped       BYTEA  NOT NULL CHECK (octet_length(wrapped) > 0),
    created_at_ms BIGINT NOT NULL CHECK (created_at_ms >= 0)
);
COMMENT ON TABLE data_keys IS 'The wrapped keys under which values are sealed.';
COMMENT ON COLUMN data_keys.id IS 'the key''s name, TypeID; clear';
COMMENT ON COLUMN data_keys.kek IS 'which key-encryption key wraps it; clear';
COMMENT ON COLUMN data_keys.wrapped IS 'the data key, wrapped by the key-encryption key; sealed';
COMMENT ON COLUMN data_keys.created_at_ms IS 'when it was made, ms; clear';

CREATE TABLE key_canaries (
    kek         TEXT  NOT NULL PRIMARY KEY CHECK (length(kek) BETWEEN 1 AND 64),
    sealed      BYTEA NOT NULL CHECK (octet_length(sealed) > 0),
    data_key_id TEXT  NOT NULL REFERENCES data_keys (id)
);
COMMENT ON TABLE key_canaries IS 'A known value under each key-encryption key: shows at start that a process holds the right one.';
COMMENT ON COLUMN key_canaries.kek IS 'the key-encryption key it vouches for; clear';
COMMENT ON COLUMN key_canaries.sealed IS 'the known value; sealed';
COMMENT ON COLUMN key_canaries.data_key_id IS 'what it is sealed under; clear';

CREATE TABLE processor_customers (
    account            TEXT   NOT NULL CHECK (length(account) BETWEEN 1 AND 64),
    customer_ref       TEXT   NOT NULL CHECK (length(customer_ref) BETWEEN 1 AND 1024),
    processor_customer TEXT   NOT NULL CHECK (length(processor_customer) BETWEEN 1 AND 255),
    created_at_ms      BIGINT NOT NULL CHECK (created_at_ms >= 0),
    last_seen_at_ms    BIGINT NOT NULL CHECK (last_seen_at_ms >= 0),
    PRIMARY KEY (account, customer_ref)
);
COMMENT ON TABLE processor_customers IS 'The processor''s customer of each of a merchant''s customers.';
COMMENT ON COLUMN processor_customers.account IS 'whose customer; clear';
COMMENT ON COLUMN processor_customers.customer_ref IS 'the merchant''s name for the customer; clear';
COMMENT ON COLUMN processor_customers.processor_customer IS 'the processor''s name, useless without its key; clear';
COMMENT ON COLUMN processor_customers.created_at_ms IS 'when it was made, ms; clear';
COMMENT ON COLUMN processor_customers.last_seen_at_ms IS 'when it was last asked for in a write, ms; clear';

CREATE TABLE sessions (
    id                 TEXT   NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),
    account            TEXT   NOT NULL CHECK (length(account) BETWEEN 1 AND 64),
    client             TEXT   NOT NULL CHECK (length(client) BETWEEN 1 AND 1024),
    customer_ref       TEXT   CHECK (length(customer_ref) BETWEEN 1 AND 1024),
    processor_customer TEXT   NOT NULL CHECK (length(processor_customer) BETWEEN 1 AND 255),
    origin             TEXT   CHECK (length(origin) BETWEEN 1 AND 1024),
    usage              TEXT   NOT NULL CHECK (usage IN ('off_session', 'on_session')),
    metadata           TEXT   NOT NULL CHECK (jsonb_typeof(metadata::jsonb) = 'object'),
    secret_mac         BYTEA  NOT NULL CHECK (octet_length(secret_mac) = 32),
    attempts_left      BIGINT NOT NULL CHECK (attempts_left >= 0),
    attempts_made      BIGINT NOT NULL CHECK (attempts_made >= 0),
    busy_until_ms      BIGINT CHECK (busy_until_ms >= 0),
    token_id           TEXT  ,
    token_key          TEXT   CHECK (length(token_key) BETWEEN 1 AND 255),
    last_seen_at_ms    BIGINT NOT NULL CHECK (last_seen_at_ms >= 0),
    created_at_ms      BIGINT NOT NULL CHECK (created_at_ms >= 0),
    expires_at_ms      BIGINT NOT NULL CHECK (expires_at_ms > created_at_ms),
    CHECK (token_key IS NULL OR token_id IS NOT NULL),
    CHECK (token_id IS NULL OR busy_until_ms IS NULL)
);
COMMENT ON TABLE sessions IS 'The right to turn one card into one token.';
COMMENT ON COLUMN sessions.id IS 'TypeID; clear';
COMMENT ON COLUMN sessions.account IS 'who owns what becomes of it; clear';
COMMENT ON COLUMN sessions.client IS 'certificate name of who made it; clear';
COMMENT ON COLUMN sessions.customer_ref IS 'the merchant''s name for the customer; clear';
COMMENT ON COLUMN sessions.processor_customer IS 'the processor''s customer the card is attached to; clear';
COMMENT ON COLUMN sessions.origin IS 'web origin of the page that posts the card; clear';
COMMENT ON COLUMN sessions.usage IS 'how the token will be charged; clear';
COMMENT ON COLUMN sessions.metadata IS 'the merchant''s own, a JSON object; clear';
COMMENT ON COLUMN sessions.secret_mac IS 'of the client secret, HMAC-SHA-256; keyed hash';
COMMENT ON COLUMN sessions.attempts_left IS 'posted cards it will still take, count; clear';
COMMENT ON COLUMN sessions.attempts_made IS 'posted cards it has taken, count; clear';
COMMENT ON COLUMN sessions.busy_until_ms IS 'lease of the attempt under way, ms; clear';
COMMENT ON COLUMN sessions.token_id IS 'what became of it; clear';
COMMENT ON COLUMN sessions.token_key IS 'Idempotency-Key of the attempt that made the token; clear';
COMMENT ON COLUMN sessions.last_seen_at_ms IS 'when a card was last posted to it, ms; clear';
COMMENT ON COLUMN sessions.created_at_ms IS 'when it was made, ms; clear';
COMMENT ON COLUMN sessions.expires_at_ms IS 'from when on it takes no card, ms; clear';

CREATE TABLE tokens (
    id            TEXT   NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),
    account       TEXT   NOT NULL CHECK (length(account) BETWEEN 1 AND 64),
    customer_ref  TEXT   CHECK (length(customer_ref) BETWEEN 1 AND 1024),
    session_id    TEXT   UNIQUE REFERENCES sessions (id),
    status        TEXT   NOT NULL CHECK (status IN ('active', 'requires_action', 'deleting', 'deleted')),
    sealed        BYTEA  CHECK (octet_length(sealed) > 0),
    data_key_id   TEXT   NOT NULL REFERENCES data_keys (id),
    reference_mac BYTEA  CHECK (octet_length(reference_mac) = 32),
    brand         TEXT   NOT NULL CHECK (length(brand) BETWEEN 1 AND 32),
    last4         TEXT   NOT NULL CHECK (last4 ~ '^[0-9]{4}$'),
    exp_month     BIGINT NOT NULL CHECK (exp_month BETWEEN 1 AND 12),
    exp_year      BIGINT NOT NULL CHECK (exp_year BETWEEN 1970 AND 9999),
    funding       TEXT   NOT NULL CHECK (length(funding) BETWEEN 1 AND 32),
    country       TEXT   CHECK (country ~ '^[A-Z]{2}$'),
    usage         TEXT   NOT NULL CHECK (usage IN ('off_session', 'on_session')),
    metadata      TEXT   NOT NULL CHECK (jsonb_typeof(metadata::jsonb) = 'object'),
    created_at_ms BIGINT NOT NULL CHECK (created_at_ms >= 0),
    deleted_at_ms BIGINT CHECK (deleted_at_ms >= 0),
    CHECK ((status = 'deleted') = (sealed IS NULL)),
    CHECK ((status = 'deleted') = (deleted_at_ms IS NOT NULL))
);
COMMENT ON TABLE tokens IS 'What the world may know of a card in clear (PCI DSS 3.4.1), and the processor''s reference, sealed.';
COMMENT ON COLUMN tokens.id IS 'TypeID; clear';
COMMENT ON COLUMN tokens.account IS 'whose token; clear';
COMMENT ON COLUMN tokens.customer_ref IS 'the merchant''s name for the customer; clear';
COMMENT ON COLUMN tokens.session_id IS 'the session it came from; clear';
COMMENT ON COLUMN tokens.status IS 'where in its life; clear';
COMMENT ON COLUMN tokens.sealed IS 'the processor''s reference; sealed';
COMMENT ON COLUMN tokens.data_key_id IS 'what it is or was sealed under; clear';
COMMENT ON COLUMN tokens.reference_mac IS 'of the processor''s name of the card, HMAC-SHA-256; keyed hash';
COMMENT ON COLUMN tokens.brand IS 'the processor''s name of the brand; clear';
COMMENT ON COLUMN tokens.last4 IS 'last four digits; clear';
COMMENT ON COLUMN tokens.exp_month IS 'month of expiry; clear';
COMMENT ON COLUMN tokens.exp_year IS 'year of expiry; clear';
COMMENT ON COLUMN tokens.funding IS 'credit, debit, prepaid, unknown; clear';
COMMENT ON COLUMN tokens.country IS 'of the issuer, ISO 3166-1 alpha-2; clear';
COMMENT ON COLUMN tokens.usage IS 'how it will be charged; clear';
COMMENT ON COLUMN tokens.metadata IS 'the merchant''s own, a JSON object; clear';
COMMENT ON COLUMN tokens.created_at_ms IS 'when it was made, ms; clear';
COMMENT ON COLUMN tokens.deleted_at_ms IS 'when the sealed value was erased, ms; clear';

ALTER TABLE sessions ADD CONSTRAINT sessions_token_id_fkey FOREIGN KEY (token_id) REFERENCES tokens (id);

CREATE INDEX sessions_by_token ON sessions (token_id) WHERE token_id IS NOT NULL;
CREATE INDEX sessions_by_origin ON sessions (origin, expires_at_ms) WHERE origin IS NOT NULL;
CREATE INDEX sessions_unused_by_expiry ON sessions (expires_at_ms) WHERE token_id IS NULL;
CREATE INDEX tokens_of_customer ON tokens (account, customer_ref, id) WHERE status <> 'deleted';
CREATE INDEX tokens_by_data_key ON tokens (data_key_id);
CREATE INDEX tokens_by_reference ON tokens (reference_mac) WHERE reference_mac IS NOT NULL;

-- A tombstone stays a tombstone, and a deletion once begun is not taken back.
CREATE FUNCTION tokens_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'tokens: illegal transition of status';
END
$$;
CREATE TRIGGER tokens_status BEFORE UPDATE OF status ON tokens
    FOR EACH ROW
    WHEN (NOT (
        NEW.status = OLD.status
        OR (OLD.status = 'requires_action' AND NEW.status IN ('active', 'deleting'))
        OR (OLD.status = 'active' AND NEW.status = 'deleting')
        OR (OLD.status = 'deleting' AND NEW.status = 'deleted')
    ))
    EXECUTE FUNCTION tokens_status();

-- What a token belongs to is authenticated in its sealed value, so none of it may change.
CREATE FUNCTION tokens_identity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'tokens: identity does not change';
END
$$;
CREATE TRIGGER tokens_identity BEFORE UPDATE OF id, account, session_id, created_at_ms ON tokens
    FOR EACH ROW
    EXECUTE FUNCTION tokens_identity();

CREATE TABLE token_cards (
    account         TEXT   NOT NULL CHECK (length(account) BETWEEN 1 AND 64),
    customer_ref    TEXT   NOT NULL CHECK (length(customer_ref) BETWEEN 1 AND 1024),
    usage           TEXT   NOT NULL CHECK (usage IN ('off_session', 'on_session')),
    fingerprint_mac BYTEA  NOT NULL CHECK (octet_length(fingerprint_mac) = 32),
    token_id        TEXT   NOT NULL REFERENCES tokens (id),
    created_at_ms   BIGINT NOT NULL CHECK (created_at_ms >= 0),
    last_seen_at_ms BIGINT NOT NULL CHECK (last_seen_at_ms >= 0),
    PRIMARY KEY (account, customer_ref, usage, fingerprint_mac)
);
COMMENT ON TABLE token_cards IS 'Which token a customer''s card is already.';
COMMENT ON COLUMN token_cards.account IS 'whose token; clear';
COMMENT ON COLUMN token_cards.customer_ref IS 'the merchant''s name for the customer; clear';
COMMENT ON COLUMN token_cards.usage IS 'how the token will be charged; clear';
COMMENT ON COLUMN token_cards.fingerprint_mac IS 'of the processor''s fingerprint, HMAC-SHA-256; keyed hash';
COMMENT ON COLUMN token_cards.token_id IS 'the token it is; clear';
COMMENT ON COLUMN token_cards.created_at_ms IS 'when the card was first seen, ms; clear';
COMMENT ON COLUMN token_cards.last_seen_at_ms IS 'when it was last posted, ms; clear';

CREATE INDEX token_cards_by_token ON token_cards (token_id);

CREATE TABLE orphans (
    id             TEXT   NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),
    account        TEXT   NOT NULL CHECK (length(account) BETWEEN 1 AND 64),
    sealed         BYTEA  NOT NULL CHECK (octet_length(sealed) > 0),
    data_key_id    TEXT   NOT NULL REFERENCES data_keys (id),
    token_id       TEXT   REFERENCES tokens (id),
    exp_month      BIGINT CHECK (exp_month BETWEEN 1 AND 12),
    exp_year       BIGINT CHECK (exp_year BETWEEN 1970 AND 9999),
    tries          BIGINT NOT NULL CHECK (tries >= 0),
    lease_until_ms BIGINT NOT NULL CHECK (lease_until_ms >= 0),
    created_at_ms  BIGINT NOT NULL CHECK (created_at_ms >= 0),
    CHECK ((token_id IS NULL) = (exp_month IS NULL)),
    CHECK ((exp_month IS NULL) = (exp_year IS NULL))
);
COMMENT ON TABLE orphans IS 'Cards vaulted at the processor that became no token, and are to be forgotten there.';
COMMENT ON COLUMN orphans.id IS 'the token it would have become, TypeID; clear';
COMMENT ON COLUMN orphans.account IS 'at whose processor account; clear';
COMMENT ON COLUMN orphans.sealed IS 'the processor''s reference; sealed';
COMMENT ON COLUMN orphans.data_key_id IS 'what it is sealed under; clear';
COMMENT ON COLUMN orphans.token_id IS 'the token that is this same card, whose expiry at the processor is to be renewed; clear';
COMMENT ON COLUMN orphans.exp_month IS 'that expiry''s month; clear';
COMMENT ON COLUMN orphans.exp_year IS 'that expiry''s year; clear';
COMMENT ON COLUMN orphans.tries IS 'how often it was tried, count; clear';
COMMENT ON COLUMN orphans.lease_until_ms IS 'till when somebody is at work on it, or it rests, ms; clear';
COMMENT ON COLUMN orphans.created_at_ms IS 'when it was made, ms; clear';

CREATE INDEX orphans_due ON orphans (lease_until_ms);
