-- Exactly once for every money operation: who holds open work, what the processor reports until it
-- is applied, disputes as rows, looks that are owed to a charge, versions.

-- Charges: a capture or a cancellation under way is an operation with an id of its own.
ALTER TABLE charges RENAME COLUMN step TO operation;
ALTER TABLE charges RENAME COLUMN step_amount TO operation_amount;
ALTER TABLE charges RENAME COLUMN steps TO operations;
ALTER TABLE charges ADD COLUMN operation_id TEXT CHECK (length(operation_id) BETWEEN 1 AND 64); -- of the newest operation begun; clear
ALTER TABLE charges ADD COLUMN operation_key TEXT CHECK (length(operation_key) BETWEEN 1 AND 255); -- the processor's idempotency key of that operation; keyed hash
ALTER TABLE charges ADD COLUMN processor_key TEXT CHECK (length(processor_key) BETWEEN 1 AND 255); -- the processor's idempotency key of the charge; keyed hash
ALTER TABLE charges ADD COLUMN lease_token INTEGER CHECK (lease_token > 0); -- of the worker that holds the lease, random; clear
ALTER TABLE charges ADD COLUMN contradiction TEXT CHECK (length(contradiction) BETWEEN 1 AND 64); -- what the processor says against our final state; clear
ALTER TABLE charges ADD COLUMN contradicted_at_ms INTEGER CHECK (contradicted_at_ms >= 0); -- when that was first seen, ms; clear
ALTER TABLE charges ADD COLUMN network_transaction_id TEXT CHECK (length(network_transaction_id) BETWEEN 1 AND 255); -- the card network's id of the payment; clear
ALTER TABLE charges ADD COLUMN cvc_check TEXT CHECK (cvc_check IN ('pass', 'fail', 'unavailable', 'unchecked')); -- the issuer's check of the security code; clear
ALTER TABLE charges ADD COLUMN postal_code_check TEXT CHECK (postal_code_check IN ('pass', 'fail', 'unavailable', 'unchecked')); -- the issuer's check of the postal code; clear
ALTER TABLE charges ADD COLUMN version INTEGER NOT NULL DEFAULT 1 CHECK (version >= 1); -- goes up with each change that can be seen, count; clear
UPDATE charges SET processor_key = id, operation_id = CASE WHEN operations > 0 THEN id || '/' || operations END, operation_key = CASE WHEN operation IS NOT NULL THEN id || '-' || operation || '-' || operations END;
ALTER TABLE charges DROP COLUMN operations;
CREATE UNIQUE INDEX charges_by_operation ON charges (operation_id) WHERE operation_id IS NOT NULL;

-- A final state is left only for what the processor says against it, once that is written down.
DROP TRIGGER charges_status;
CREATE TRIGGER charges_status BEFORE UPDATE OF status ON charges
WHEN NOT (
    NEW.status = OLD.status
    OR OLD.status = 'processing'
    OR OLD.status = 'requires_action'
    OR (OLD.status = 'requires_capture' AND NEW.status IN ('succeeded', 'canceled'))
    OR OLD.contradiction IS NOT NULL
)
BEGIN
    SELECT RAISE(ABORT, 'charges: illegal transition of status');
END;
DROP TRIGGER charges_captured;
CREATE TRIGGER charges_captured BEFORE UPDATE OF captured ON charges
WHEN OLD.captured > 0 AND NEW.captured <> OLD.captured AND OLD.contradiction IS NULL
BEGIN
    SELECT RAISE(ABORT, 'charges: what was captured does not change');
END;
CREATE TRIGGER charges_version BEFORE UPDATE OF version ON charges
WHEN NEW.version < OLD.version
BEGIN
    SELECT RAISE(ABORT, 'charges: the version only goes up');
END;

ALTER TABLE refunds ADD COLUMN processor_key TEXT CHECK (length(processor_key) BETWEEN 1 AND 255); -- the processor's idempotency key of the refund; keyed hash
ALTER TABLE refunds ADD COLUMN lease_token INTEGER CHECK (lease_token > 0); -- of the worker that holds the lease, random; clear
ALTER TABLE refunds ADD COLUMN version INTEGER NOT NULL DEFAULT 1 CHECK (version >= 1); -- goes up with each change that can be seen, count; clear
UPDATE refunds SET processor_key = id;

-- Tokens: a deletion is finished by whichever node holds its lease; a card may be detached at the
-- processor without us.
ALTER TABLE tokens ADD COLUMN lease_until_ms INTEGER CHECK (lease_until_ms >= 0); -- of the deletion under way: held until, or not before, ms; clear
ALTER TABLE tokens ADD COLUMN lease_token INTEGER CHECK (lease_token > 0); -- of the worker that holds the lease, random; clear
ALTER TABLE tokens ADD COLUMN detached_at_ms INTEGER CHECK (detached_at_ms >= 0); -- when the processor was found to have let go of the card, ms; clear
ALTER TABLE tokens ADD COLUMN version INTEGER NOT NULL DEFAULT 1 CHECK (version >= 1); -- goes up with each change that can be seen, count; clear
ALTER TABLE tokens ADD COLUMN updated_at_ms INTEGER CHECK (updated_at_ms >= 0); -- when it last changed, ms; clear
UPDATE tokens SET updated_at_ms = COALESCE(deleted_at_ms, created_at_ms), lease_until_ms = CASE WHEN status = 'deleting' THEN 0 END;
CREATE INDEX tokens_owed ON tokens (lease_until_ms) WHERE lease_until_ms IS NOT NULL;

-- Orphans: a card that takes another's place in its token is adopted before that one is detached.
ALTER TABLE orphans ADD COLUMN sealed_for TEXT CHECK (length(sealed_for) BETWEEN 1 AND 64); -- the token that the value was sealed for, TypeID; clear
ALTER TABLE orphans ADD COLUMN reference_mac BLOB CHECK (length(reference_mac) = 32); -- of the processor's name of the card, HMAC-SHA-256; keyed hash
ALTER TABLE orphans ADD COLUMN lease_token INTEGER CHECK (lease_token > 0); -- of the worker that holds the lease, random; clear
UPDATE orphans SET sealed_for = id;
CREATE INDEX orphans_by_token ON orphans (token_id) WHERE token_id IS NOT NULL;

ALTER TABLE deliveries ADD COLUMN lease_token INTEGER CHECK (lease_token > 0); -- of the worker that holds the lease, random; clear
ALTER TABLE alert_deliveries ADD COLUMN lease_token INTEGER CHECK (lease_token > 0); -- of the worker that holds the lease, random; clear

-- The feed's order is the order in which the rows were written, on any clocks.
DROP INDEX events_unnumbered;
CREATE INDEX events_unnumbered ON events (seq) WHERE seq IS NULL;

-- What the processor reports under its signature: each event once, kept until it is applied.
CREATE TABLE processor_events (
    account         TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),                                 -- whose processor account; clear
    id              TEXT    NOT NULL CHECK (length(id) BETWEEN 1 AND 255),                                     -- the processor's name of the event; clear
    body            TEXT    CHECK (json_valid(body)),                                                          -- what it says, as far as it is used, JSON; NULL once it is over; clear
    status          TEXT    NOT NULL CHECK (status IN ('pending', 'applied', 'ignored', 'given_up')),          -- what became of it; clear
    deliveries      INTEGER NOT NULL CHECK (deliveries >= 1),                                                  -- how often it came, count; clear
    tries           INTEGER NOT NULL CHECK (tries >= 0),                                                       -- how often it was tried to apply it, count; clear
    lease_until_ms  INTEGER CHECK (lease_until_ms >= 0),                                                       -- held until, or not before, ms; clear
    lease_token     INTEGER CHECK (lease_token > 0),                                                           -- of the worker that holds the lease, random; clear
    created_at_ms   INTEGER NOT NULL CHECK (created_at_ms >= 0),                                               -- when it happened, by the processor's clock, ms; clear
    received_at_ms  INTEGER NOT NULL CHECK (received_at_ms >= 0),                                              -- when it first came, ms; clear
    last_seen_at_ms INTEGER NOT NULL CHECK (last_seen_at_ms >= 0),                                             -- when it last came, ms; clear
    PRIMARY KEY (account, id),
    CHECK ((status = 'pending') = (lease_until_ms IS NOT NULL)),
    CHECK ((status = 'pending') = (body IS NOT NULL))
) STRICT;
INSERT INTO processor_events (account, id, status, deliveries, tries, created_at_ms, received_at_ms, last_seen_at_ms)
SELECT account, id, 'applied', deliveries, 0, received_at_ms, received_at_ms, last_seen_at_ms FROM processor_notices;
DROP TABLE processor_notices;
CREATE INDEX processor_events_by_time ON processor_events (last_seen_at_ms);
CREATE INDEX processor_events_due ON processor_events (lease_until_ms) WHERE lease_until_ms IS NOT NULL;

-- Looks at the processor that are owed to a charge, in whatever state it is.
CREATE TABLE charge_reviews (
    charge_id      TEXT    NOT NULL PRIMARY KEY REFERENCES charges (id),                   -- which charge; clear
    account        TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),              -- whose charge; clear
    payment        TEXT    CHECK (length(payment) BETWEEN 1 AND 255),                      -- the processor's name of the payment to look at, where the charge has none; clear
    requests       INTEGER NOT NULL CHECK (requests >= 1),                                 -- how often it was asked for, count; clear
    tries          INTEGER NOT NULL CHECK (tries >= 0),                                    -- how often it was tried, count; clear
    lease_until_ms INTEGER NOT NULL CHECK (lease_until_ms >= 0),                           -- held until, or not before, ms; clear
    lease_token    INTEGER CHECK (lease_token > 0),                                        -- of the worker that holds the lease, random; clear
    created_at_ms  INTEGER NOT NULL CHECK (created_at_ms >= 0)                             -- when it was first asked for, ms; clear
) STRICT;
CREATE INDEX charge_reviews_due ON charge_reviews (lease_until_ms);

-- What the shopper's bank has taken up.
CREATE TABLE disputes (
    account       TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),                                   -- whose processor account; clear
    id            TEXT    NOT NULL CHECK (length(id) BETWEEN 1 AND 255),                                       -- the processor's name of it; clear
    charge_id     TEXT    NOT NULL REFERENCES charges (id),                                                    -- what is disputed; clear
    amount        INTEGER NOT NULL CHECK (amount >= 0),                                                        -- money, in the currency's minor unit; clear
    currency      TEXT    NOT NULL CHECK (currency GLOB '[a-z][a-z][a-z]'),                                    -- ISO 4217, lower case; clear
    reason        TEXT    NOT NULL CHECK (length(reason) BETWEEN 1 AND 64),                                    -- why, processor's word; clear
    status        TEXT    NOT NULL CHECK (length(status) BETWEEN 1 AND 64),                                    -- where in its life, processor's word; clear
    open          INTEGER NOT NULL CHECK (open IN (0, 1)),                                                     -- 1: it is not decided; clear
    changed_at_ms INTEGER NOT NULL CHECK (changed_at_ms >= 0),                                                 -- when it changed, by the processor's clock, ms; clear
    created_at_ms INTEGER NOT NULL CHECK (created_at_ms >= 0),                                                 -- when it was first seen, ms; clear
    PRIMARY KEY (account, id)
) STRICT;
CREATE INDEX disputes_of_charge ON disputes (charge_id);
