-- Charges, and the idempotency keys behind which each happens once.

CREATE TABLE charges (
    id                          TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),    -- TypeID; clear
    account                     TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),           -- whose charge; clear
    client                      TEXT    NOT NULL CHECK (length(client) BETWEEN 1 AND 1024),          -- certificate name of who asked for it; clear
    token_id                    TEXT    NOT NULL REFERENCES tokens (id),                             -- what is charged; clear
    amount                      INTEGER NOT NULL CHECK (amount > 0),                                 -- money, in the currency's minor unit; clear
    currency                    TEXT    NOT NULL CHECK (currency GLOB '[a-z][a-z][a-z]'),            -- ISO 4217, lower case; clear
    capture                     INTEGER NOT NULL CHECK (capture IN (0, 1)),                          -- 1: money moves at once, 0: authorized only; clear
    off_session                 INTEGER NOT NULL CHECK (off_session IN (0, 1)),                      -- 1: the shopper is away; clear
    description                 TEXT    CHECK (length(description) <= 1024),                         -- the merchant's words; clear
    statement_descriptor_suffix TEXT    CHECK (length(statement_descriptor_suffix) <= 64),           -- on the shopper's statement; clear
    metadata                    TEXT    NOT NULL CHECK (json_valid(metadata)),                       -- the merchant's own, a JSON object; clear
    setup_pending               INTEGER CHECK (setup_pending IN (0, 1)),                             -- 1: asked on-session, as the set-up waits for authentication; NULL: not asked yet; clear
    status                      TEXT    NOT NULL CHECK (status IN ('processing', 'succeeded', 'requires_capture', 'requires_action', 'declined', 'canceled')), -- where in its life; clear
    payment                     TEXT    CHECK (length(payment) BETWEEN 1 AND 255),                   -- the processor's name of the payment; clear
    decline_code                TEXT    CHECK (length(decline_code) BETWEEN 1 AND 64),               -- why it was declined, processor's word; clear
    decline_advice              TEXT    CHECK (length(decline_advice) BETWEEN 1 AND 64),             -- what the network advises, processor's word; clear
    decline_retryable           INTEGER CHECK (decline_retryable IN (0, 1)),                         -- 1: may be tried again later; clear
    redirect_url                TEXT    CHECK (length(redirect_url) BETWEEN 1 AND 4096),             -- where the shopper authenticates; clear
    lease_until_ms              INTEGER CHECK (lease_until_ms >= 0),                                 -- till when somebody is at work on it, ms; clear
    created_at_ms               INTEGER NOT NULL CHECK (created_at_ms >= 0),                         -- when it was asked for, ms; clear
    updated_at_ms               INTEGER NOT NULL CHECK (updated_at_ms >= 0),                         -- when its status was last written, ms; clear
    CHECK ((status = 'processing') = (lease_until_ms IS NOT NULL)),
    CHECK ((status = 'declined') = (decline_code IS NOT NULL)),
    CHECK ((status = 'declined') = (decline_retryable IS NOT NULL)),
    CHECK (status = 'declined' OR decline_advice IS NULL),
    CHECK (status = 'requires_action' OR redirect_url IS NULL),
    CHECK (status IN ('processing', 'declined', 'canceled') OR payment IS NOT NULL)
) STRICT;

CREATE INDEX charges_unsettled ON charges (lease_until_ms) WHERE status = 'processing';
CREATE INDEX charges_by_token ON charges (token_id, status);

-- Succeeded, declined and canceled are final. The rest is the processor's own order of things.
CREATE TRIGGER charges_status BEFORE UPDATE OF status ON charges
WHEN NOT (
    NEW.status = OLD.status
    OR OLD.status = 'processing'
    OR OLD.status = 'requires_action'
    OR (OLD.status = 'requires_capture' AND NEW.status IN ('succeeded', 'canceled'))
)
BEGIN
    SELECT RAISE(ABORT, 'charges: illegal transition of status');
END;

-- What was asked for is never rewritten, and the payment behind a charge is not exchanged.
CREATE TRIGGER charges_identity BEFORE UPDATE OF id, account, client, token_id, amount, currency, capture, off_session, created_at_ms ON charges
BEGIN
    SELECT RAISE(ABORT, 'charges: identity does not change');
END;

CREATE TRIGGER charges_payment BEFORE UPDATE OF payment ON charges
WHEN OLD.payment IS NOT NULL AND NEW.payment IS NOT OLD.payment
BEGIN
    SELECT RAISE(ABORT, 'charges: the payment does not change');
END;

-- Which request was seen under which Idempotency-Key, and what it made.
CREATE TABLE idempotency_keys (
    account         TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),     -- whose request; clear
    client          TEXT    NOT NULL CHECK (length(client) BETWEEN 1 AND 1024),    -- certificate name of who sent it; clear
    key             TEXT    NOT NULL CHECK (length(key) BETWEEN 1 AND 255),        -- the Idempotency-Key; clear
    route           TEXT    NOT NULL CHECK (length(route) BETWEEN 1 AND 64),       -- what was asked for; clear
    request_hash    BLOB    NOT NULL CHECK (length(request_hash) = 32),            -- of the request, which holds no card data; SHA-256 of clear
    resource        TEXT    NOT NULL CHECK (length(resource) BETWEEN 1 AND 64),    -- id of what it made; clear
    replays         INTEGER NOT NULL CHECK (replays >= 0),                         -- how often it was asked for again, count; clear
    created_at_ms   INTEGER NOT NULL CHECK (created_at_ms >= 0),                   -- when it was first seen, ms; clear
    last_seen_at_ms INTEGER NOT NULL CHECK (last_seen_at_ms >= 0),                 -- when it was last seen, ms; clear
    expires_at_ms   INTEGER NOT NULL CHECK (expires_at_ms > created_at_ms),        -- from when on it may be used anew, ms; clear
    PRIMARY KEY (account, client, key)
) STRICT;

CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at_ms);
CREATE INDEX idempotency_keys_by_resource ON idempotency_keys (resource);
