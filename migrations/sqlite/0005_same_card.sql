-- The same card of the same customer is the same token, known by a MAC of the processor's own
-- fingerprint: nothing here is computed from a card number (PCI DSS 3.5.1).

CREATE TABLE token_cards (
    account         TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),           -- whose token; clear
    customer_ref    TEXT    NOT NULL CHECK (length(customer_ref) BETWEEN 1 AND 1024),    -- the merchant's name for the customer; clear
    usage           TEXT    NOT NULL CHECK (usage IN ('off_session', 'on_session')),     -- how the token will be charged; clear
    fingerprint_mac BLOB    NOT NULL CHECK (length(fingerprint_mac) = 32),               -- of the processor's fingerprint, HMAC-SHA-256; keyed hash
    token_id        TEXT    NOT NULL REFERENCES tokens (id),                             -- the token it is; clear
    created_at_ms   INTEGER NOT NULL CHECK (created_at_ms >= 0),                         -- when the card was first seen, ms; clear
    last_seen_at_ms INTEGER NOT NULL CHECK (last_seen_at_ms >= 0),                       -- when it was last posted, ms; clear
    PRIMARY KEY (account, customer_ref, usage, fingerprint_mac)
) STRICT;

CREATE INDEX token_cards_by_token ON token_cards (token_id);

-- The processor tells by its own name of a card that the card was renewed; the name itself is sealed.
ALTER TABLE tokens ADD COLUMN reference_mac BLOB CHECK (length(reference_mac) = 32); -- of the processor's name of the card, HMAC-SHA-256; keyed hash
CREATE INDEX tokens_by_reference ON tokens (reference_mac) WHERE reference_mac IS NOT NULL;

-- A session may end in a token that another session made.
DROP INDEX sessions_by_token;
CREATE INDEX sessions_by_token ON sessions (token_id) WHERE token_id IS NOT NULL;

-- Cards vaulted at the processor that became no token, and are to be forgotten there.
CREATE TABLE orphans (
    id             TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64), -- the token it would have become, TypeID; clear
    account        TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),        -- at whose processor account; clear
    sealed         BLOB    NOT NULL CHECK (length(sealed) > 0),                      -- the processor's reference; sealed
    data_key_id    TEXT    NOT NULL REFERENCES data_keys (id),                       -- what it is sealed under; clear
    token_id       TEXT    REFERENCES tokens (id),                                   -- the token that is this same card, whose expiry at the processor is to be renewed; clear
    exp_month      INTEGER CHECK (exp_month BETWEEN 1 AND 12),                       -- that expiry's month; clear
    exp_year       INTEGER CHECK (exp_year BETWEEN 1970 AND 9999),                   -- that expiry's year; clear
    tries          INTEGER NOT NULL CHECK (tries >= 0),                              -- how often it was tried, count; clear
    lease_until_ms INTEGER NOT NULL CHECK (lease_until_ms >= 0),                     -- till when somebody is at work on it, or it rests, ms; clear
    created_at_ms  INTEGER NOT NULL CHECK (created_at_ms >= 0),                      -- when it was made, ms; clear
    CHECK ((token_id IS NULL) = (exp_month IS NULL)),
    CHECK ((exp_month IS NULL) = (exp_year IS NULL))
) STRICT;

CREATE INDEX orphans_due ON orphans (lease_until_ms);
