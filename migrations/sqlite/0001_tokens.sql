-- Keys, customers, sessions and tokens. Migrations are append-only: a published one is never edited.
--
-- Words used in the comments: "clear" may be read by whoever reads the database; "sealed" is
-- ciphertext that only its own row can open; "keyed hash" says nothing without our key. Times are
-- milliseconds since 1970-01-01T00:00:00Z. No column holds a card number, a security code, or
-- anything computed from them (PCI DSS 3.3.1, 3.5.1).

-- The wrapped keys under which values are sealed.
CREATE TABLE data_keys (
    id            TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64), -- the key's name, TypeID; clear
    kek           TEXT    NOT NULL CHECK (length(kek) BETWEEN 1 AND 64),            -- which key-encryption key wraps it; clear
    wrapped       BLOB    NOT NULL CHECK (length(wrapped) > 0),                     -- the data key, wrapped by the key-encryption key; sealed
    created_at_ms INTEGER NOT NULL CHECK (created_at_ms >= 0)                       -- when it was made, ms; clear
) STRICT;

-- A known value under each key-encryption key: shows at start that a process holds the right one.
CREATE TABLE key_canaries (
    kek         TEXT NOT NULL PRIMARY KEY CHECK (length(kek) BETWEEN 1 AND 64), -- the key-encryption key it vouches for; clear
    sealed      BLOB NOT NULL CHECK (length(sealed) > 0),                       -- the known value; sealed
    data_key_id TEXT NOT NULL REFERENCES data_keys (id)                         -- what it is sealed under; clear
) STRICT;

-- The processor's customer of each of a merchant's customers.
CREATE TABLE processor_customers (
    account            TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),             -- whose customer; clear
    customer_ref       TEXT    NOT NULL CHECK (length(customer_ref) BETWEEN 1 AND 1024),      -- the merchant's name for the customer; clear
    processor_customer TEXT    NOT NULL CHECK (length(processor_customer) BETWEEN 1 AND 255), -- the processor's name, useless without its key; clear
    created_at_ms      INTEGER NOT NULL CHECK (created_at_ms >= 0),                           -- when it was made, ms; clear
    last_seen_at_ms    INTEGER NOT NULL CHECK (last_seen_at_ms >= 0),                         -- when it was last asked for in a write, ms; clear
    PRIMARY KEY (account, customer_ref)
) STRICT;

-- The right to turn one card into one token.
CREATE TABLE sessions (
    id                 TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),      -- TypeID; clear
    account            TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),             -- who owns what becomes of it; clear
    client             TEXT    NOT NULL CHECK (length(client) BETWEEN 1 AND 1024),            -- certificate name of who made it; clear
    customer_ref       TEXT    CHECK (length(customer_ref) BETWEEN 1 AND 1024),               -- the merchant's name for the customer; clear
    processor_customer TEXT    NOT NULL CHECK (length(processor_customer) BETWEEN 1 AND 255), -- the processor's customer the card is attached to; clear
    origin             TEXT    CHECK (length(origin) BETWEEN 1 AND 1024),                     -- web origin of the page that posts the card; clear
    usage              TEXT    NOT NULL CHECK (usage IN ('off_session', 'on_session')),       -- how the token will be charged; clear
    metadata           TEXT    NOT NULL CHECK (json_valid(metadata)),                         -- the merchant's own, a JSON object; clear
    secret_mac         BLOB    NOT NULL CHECK (length(secret_mac) = 32),                      -- of the client secret, HMAC-SHA-256; keyed hash
    attempts_left      INTEGER NOT NULL CHECK (attempts_left >= 0),                           -- posted cards it will still take, count; clear
    attempts_made      INTEGER NOT NULL CHECK (attempts_made >= 0),                           -- posted cards it has taken, count; clear
    busy_until_ms      INTEGER CHECK (busy_until_ms >= 0),                                    -- lease of the attempt under way, ms; clear
    token_id           TEXT    REFERENCES tokens (id),                                        -- what became of it; clear
    token_key          TEXT    CHECK (length(token_key) BETWEEN 1 AND 255),                   -- Idempotency-Key of the attempt that made the token; clear
    last_seen_at_ms    INTEGER NOT NULL CHECK (last_seen_at_ms >= 0),                         -- when a card was last posted to it, ms; clear
    created_at_ms      INTEGER NOT NULL CHECK (created_at_ms >= 0),                           -- when it was made, ms; clear
    expires_at_ms      INTEGER NOT NULL CHECK (expires_at_ms > created_at_ms),                -- from when on it takes no card, ms; clear
    CHECK (token_key IS NULL OR token_id IS NOT NULL),
    CHECK (token_id IS NULL OR busy_until_ms IS NULL)
) STRICT;

CREATE UNIQUE INDEX sessions_by_token ON sessions (token_id) WHERE token_id IS NOT NULL;
CREATE INDEX sessions_by_origin ON sessions (origin, expires_at_ms) WHERE origin IS NOT NULL;
CREATE INDEX sessions_unused_by_expiry ON sessions (expires_at_ms) WHERE token_id IS NULL;

-- The tokens: what the world may know in clear (PCI DSS 3.4.1 allows the last four digits), and
-- the processor's reference, sealed.
CREATE TABLE tokens (
    id             TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),                              -- TypeID; clear
    account        TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),                                     -- whose token; clear
    customer_ref   TEXT    CHECK (length(customer_ref) BETWEEN 1 AND 1024),                                       -- the merchant's name for the customer; clear
    session_id     TEXT    UNIQUE REFERENCES sessions (id),                                                       -- the session it came from; clear
    status         TEXT    NOT NULL CHECK (status IN ('active', 'requires_action', 'deleting', 'deleted')),       -- where in its life; clear
    sealed         BLOB    CHECK (length(sealed) > 0),                                                            -- the processor's reference; sealed
    data_key_id    TEXT    NOT NULL REFERENCES data_keys (id),                                                    -- what it is or was sealed under; clear
    brand          TEXT    NOT NULL CHECK (length(brand) BETWEEN 1 AND 32),                                       -- the processor's name of the brand; clear
    last4          TEXT    NOT NULL CHECK (last4 GLOB '[0-9][0-9][0-9][0-9]'),                                    -- last four digits; clear
    exp_month      INTEGER NOT NULL CHECK (exp_month BETWEEN 1 AND 12),                                           -- month of expiry; clear
    exp_year       INTEGER NOT NULL CHECK (exp_year BETWEEN 1970 AND 9999),                                       -- year of expiry; clear
    funding        TEXT    NOT NULL CHECK (length(funding) BETWEEN 1 AND 32),                                     -- credit, debit, prepaid, unknown; clear
    country        TEXT    CHECK (country GLOB '[A-Z][A-Z]'),                                                     -- of the issuer, ISO 3166-1 alpha-2; clear
    usage          TEXT    NOT NULL CHECK (usage IN ('off_session', 'on_session')),                               -- how it will be charged; clear
    metadata       TEXT    NOT NULL CHECK (json_valid(metadata)),                                                 -- the merchant's own, a JSON object; clear
    created_at_ms  INTEGER NOT NULL CHECK (created_at_ms >= 0),                                                   -- when it was made, ms; clear
    deleted_at_ms  INTEGER CHECK (deleted_at_ms >= 0),                                                            -- when the sealed value was erased, ms; clear
    CHECK ((status = 'deleted') = (sealed IS NULL)),
    CHECK ((status = 'deleted') = (deleted_at_ms IS NOT NULL))
) STRICT;

CREATE INDEX tokens_of_customer ON tokens (account, customer_ref, id) WHERE status <> 'deleted';
CREATE INDEX tokens_by_data_key ON tokens (data_key_id);

-- A tombstone stays a tombstone, and a deletion once begun is not taken back.
CREATE TRIGGER tokens_status BEFORE UPDATE OF status ON tokens
WHEN NOT (
    NEW.status = OLD.status
    OR (OLD.status = 'requires_action' AND NEW.status IN ('active', 'deleting'))
    OR (OLD.status = 'active' AND NEW.status = 'deleting')
    OR (OLD.status = 'deleting' AND NEW.status = 'deleted')
)
BEGIN
    SELECT RAISE(ABORT, 'tokens: illegal transition of status');
END;

-- What a token belongs to is authenticated in its sealed value, so none of it may change.
CREATE TRIGGER tokens_identity BEFORE UPDATE OF id, account, session_id, created_at_ms ON tokens
BEGIN
    SELECT RAISE(ABORT, 'tokens: identity does not change');
END;
