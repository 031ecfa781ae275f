-- The whole life of a charge: capture, cancellation, refunds. The table is made anew, because
-- SQLite cannot exchange a CHECK. What is known of the old rows is carried over.

CREATE TABLE charges_with_steps (
    id                          TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),    -- TypeID; clear
    account                     TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),           -- whose charge; clear
    client                      TEXT    NOT NULL CHECK (length(client) BETWEEN 1 AND 1024),          -- certificate name of who asked for it; clear
    token_id                    TEXT    NOT NULL REFERENCES tokens (id),                             -- what is charged; clear
    amount                      INTEGER NOT NULL CHECK (amount > 0),                                 -- money, in the currency's minor unit; clear
    captured                    INTEGER NOT NULL CHECK (captured BETWEEN 0 AND amount),              -- money taken, in the currency's minor unit; clear
    refunded                    INTEGER NOT NULL CHECK (refunded BETWEEN 0 AND captured),            -- money given back or on its way back, in the currency's minor unit; clear
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
    step                        TEXT    CHECK (step IN ('capture', 'cancel')),                       -- what the processor is being asked to do with the payment; clear
    step_amount                 INTEGER CHECK (step_amount BETWEEN 1 AND amount),                    -- how much a capture takes, in the currency's minor unit; clear
    steps                       INTEGER NOT NULL CHECK (steps >= 0),                                 -- steps begun so far, count; clear
    disputed                    INTEGER NOT NULL CHECK (disputed IN (0, 1)),                         -- 1: the shopper's bank has taken it up; clear
    lease_until_ms              INTEGER CHECK (lease_until_ms >= 0),                                 -- till when somebody is at work on it, or it rests, ms; clear
    created_at_ms               INTEGER NOT NULL CHECK (created_at_ms >= 0),                         -- when it was asked for, ms; clear
    updated_at_ms               INTEGER NOT NULL CHECK (updated_at_ms >= 0),                         -- when its status was last written, ms; clear
    CHECK (status <> 'processing' OR lease_until_ms IS NOT NULL),
    CHECK (step IS NULL OR lease_until_ms IS NOT NULL),
    CHECK (lease_until_ms IS NULL OR status IN ('processing', 'requires_action', 'requires_capture')),
    CHECK (step IS NULL OR status IN ('requires_capture', 'requires_action')),
    CHECK (step IS NULL OR step = 'cancel' OR status = 'requires_capture'),
    CHECK ((step IS NOT NULL AND step = 'capture') = (step_amount IS NOT NULL)),
    CHECK ((status = 'succeeded') = (captured > 0)),
    CHECK ((status = 'declined') = (decline_code IS NOT NULL)),
    CHECK ((status = 'declined') = (decline_retryable IS NOT NULL)),
    CHECK (status = 'declined' OR decline_advice IS NULL),
    CHECK (status = 'requires_action' OR redirect_url IS NULL),
    CHECK (status IN ('processing', 'declined', 'canceled') OR payment IS NOT NULL)
) STRICT;

INSERT INTO charges_with_steps (id, account, client, token_id, amount, captured, refunded, currency, capture, off_session, description, statement_descriptor_suffix, metadata, setup_pending, status, payment, decline_code, decline_advice, decline_retryable, redirect_url, steps, disputed, lease_until_ms, created_at_ms, updated_at_ms)
SELECT id, account, client, token_id, amount, CASE WHEN status = 'succeeded' THEN amount ELSE 0 END, 0, currency, capture, off_session, description, statement_descriptor_suffix, metadata, setup_pending, status, payment, decline_code, decline_advice, decline_retryable, redirect_url, 0, 0, lease_until_ms, created_at_ms, updated_at_ms
  FROM charges;

DROP TABLE charges;
ALTER TABLE charges_with_steps RENAME TO charges;

CREATE INDEX charges_open ON charges (lease_until_ms) WHERE lease_until_ms IS NOT NULL;
CREATE INDEX charges_by_token ON charges (token_id, id);
CREATE INDEX charges_of_account ON charges (account, id);
CREATE INDEX charges_by_payment ON charges (payment) WHERE payment IS NOT NULL;

-- Succeeded, declined and canceled are final. The rest is the processor's own order of things; a
-- payment that waits for the shopper may also still fail, and one that is authorized may lapse.
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

-- Money that was taken is given back by refunds only.
CREATE TRIGGER charges_captured BEFORE UPDATE OF captured ON charges
WHEN OLD.captured > 0 AND NEW.captured <> OLD.captured
BEGIN
    SELECT RAISE(ABORT, 'charges: what was captured does not change');
END;

-- Money given back.
CREATE TABLE refunds (
    id               TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),        -- TypeID; clear
    account          TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),               -- whose refund; clear
    client           TEXT    CHECK (length(client) BETWEEN 1 AND 1024),                       -- certificate name of who asked for it; NULL: made at the processor itself; clear
    charge_id        TEXT    NOT NULL REFERENCES charges (id),                                -- what is given back; clear
    amount           INTEGER NOT NULL CHECK (amount > 0),                                     -- money, in the charge's currency; clear
    reason           TEXT    CHECK (reason IN ('duplicate', 'fraudulent', 'requested_by_customer')), -- why; clear
    status           TEXT    NOT NULL CHECK (status IN ('processing', 'succeeded', 'failed', 'canceled')), -- where in its life; clear
    processor_refund TEXT    CHECK (length(processor_refund) BETWEEN 1 AND 255),              -- the processor's name of it; clear
    failure_code     TEXT    CHECK (length(failure_code) BETWEEN 1 AND 64),                   -- why it failed, processor's word; clear
    lease_until_ms   INTEGER CHECK (lease_until_ms >= 0),                                     -- till when somebody is at work on it, or it rests, ms; clear
    created_at_ms    INTEGER NOT NULL CHECK (created_at_ms >= 0),                             -- when it was asked for, ms; clear
    updated_at_ms    INTEGER NOT NULL CHECK (updated_at_ms >= 0),                             -- when its status was last written, ms; clear
    CHECK ((status = 'processing') = (lease_until_ms IS NOT NULL)),
    CHECK (status = 'failed' OR failure_code IS NULL),
    CHECK (status <> 'succeeded' OR processor_refund IS NOT NULL)
) STRICT;

CREATE UNIQUE INDEX refunds_by_processor_refund ON refunds (account, processor_refund) WHERE processor_refund IS NOT NULL;
CREATE INDEX refunds_open ON refunds (lease_until_ms) WHERE lease_until_ms IS NOT NULL;
CREATE INDEX refunds_of_charge ON refunds (charge_id, id);

-- A bank may send a refund back after it has succeeded; failed and canceled are final.
CREATE TRIGGER refunds_status BEFORE UPDATE OF status ON refunds
WHEN NOT (
    NEW.status = OLD.status
    OR OLD.status = 'processing'
    OR (OLD.status = 'succeeded' AND NEW.status = 'failed')
)
BEGIN
    SELECT RAISE(ABORT, 'refunds: illegal transition of status');
END;

CREATE TRIGGER refunds_identity BEFORE UPDATE OF id, account, client, charge_id, amount, reason, created_at_ms ON refunds
BEGIN
    SELECT RAISE(ABORT, 'refunds: identity does not change');
END;
