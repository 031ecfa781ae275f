-- Charges, refunds, and the idempotency keys behind which each happens once.

CREATE TABLE charges (
    id                          TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),
    account                     TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),
    client                      TEXT    NOT NULL CHECK (length(client) BETWEEN 1 AND 1024),
    token_id                    TEXT    NOT NULL REFERENCES tokens (id),
    amount                      BIGINT  NOT NULL CHECK (amount > 0),
    captured                    BIGINT  NOT NULL CHECK (captured BETWEEN 0 AND amount),
    refunded                    BIGINT  NOT NULL CHECK (refunded BETWEEN 0 AND captured),
    currency                    TEXT    NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    capture                     BOOLEAN NOT NULL,
    off_session                 BOOLEAN NOT NULL,
    description                 TEXT    CHECK (length(description) <= 1024),
    statement_descriptor_suffix TEXT    CHECK (length(statement_descriptor_suffix) <= 64),
    metadata                    TEXT    NOT NULL CHECK (jsonb_typeof(metadata::jsonb) = 'object'),
    setup_pending               BOOLEAN,
    status                      TEXT    NOT NULL CHECK (status IN ('processing', 'succeeded', 'requires_capture', 'requires_action', 'declined', 'canceled')),
    payment                     TEXT    CHECK (length(payment) BETWEEN 1 AND 255),
    decline_code                TEXT    CHECK (length(decline_code) BETWEEN 1 AND 64),
    decline_advice              TEXT    CHECK (length(decline_advice) BETWEEN 1 AND 64),
    decline_retryable           BOOLEAN,
    redirect_url                TEXT    CHECK (length(redirect_url) BETWEEN 1 AND 4096),
    step                        TEXT    CHECK (step IN ('capture', 'cancel')),
    step_amount                 BIGINT  CHECK (step_amount BETWEEN 1 AND amount),
    steps                       BIGINT  NOT NULL CHECK (steps >= 0),
    disputed                    BOOLEAN NOT NULL,
    lease_until_ms              BIGINT  CHECK (lease_until_ms >= 0),
    created_at_ms               BIGINT  NOT NULL CHECK (created_at_ms >= 0),
    updated_at_ms               BIGINT  NOT NULL CHECK (updated_at_ms >= 0),
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
);
COMMENT ON TABLE charges IS 'What was asked for, and what became of it.';
COMMENT ON COLUMN charges.id IS 'TypeID; clear';
COMMENT ON COLUMN charges.account IS 'whose charge; clear';
COMMENT ON COLUMN charges.client IS 'certificate name of who asked for it; clear';
COMMENT ON COLUMN charges.token_id IS 'what is charged; clear';
COMMENT ON COLUMN charges.amount IS 'money, in the currency''s minor unit; clear';
COMMENT ON COLUMN charges.captured IS 'money taken, in the currency''s minor unit; clear';
COMMENT ON COLUMN charges.refunded IS 'money given back or on its way back, in the currency''s minor unit; clear';
COMMENT ON COLUMN charges.currency IS 'ISO 4217, lower case; clear';
COMMENT ON COLUMN charges.capture IS 'true: money moves at once, false: authorized only; clear';
COMMENT ON COLUMN charges.off_session IS 'true: the shopper is away; clear';
COMMENT ON COLUMN charges.description IS 'the merchant''s words; clear';
COMMENT ON COLUMN charges.statement_descriptor_suffix IS 'on the shopper''s statement; clear';
COMMENT ON COLUMN charges.metadata IS 'the merchant''s own, a JSON object; clear';
COMMENT ON COLUMN charges.setup_pending IS 'true: asked on-session, as the set-up waits for authentication; NULL: not asked yet; clear';
COMMENT ON COLUMN charges.status IS 'where in its life; clear';
COMMENT ON COLUMN charges.payment IS 'the processor''s name of the payment; clear';
COMMENT ON COLUMN charges.decline_code IS 'why it was declined, processor''s word; clear';
COMMENT ON COLUMN charges.decline_advice IS 'what the network advises, processor''s word; clear';
COMMENT ON COLUMN charges.decline_retryable IS 'true: may be tried again later; clear';
COMMENT ON COLUMN charges.redirect_url IS 'where the shopper authenticates; clear';
COMMENT ON COLUMN charges.step IS 'what the processor is being asked to do with the payment; clear';
COMMENT ON COLUMN charges.step_amount IS 'how much a capture takes, in the currency''s minor unit; clear';
COMMENT ON COLUMN charges.steps IS 'steps begun so far, count; clear';
COMMENT ON COLUMN charges.disputed IS 'true: the shopper''s bank has taken it up; clear';
COMMENT ON COLUMN charges.lease_until_ms IS 'till when somebody is at work on it, or it rests, ms; clear';
COMMENT ON COLUMN charges.created_at_ms IS 'when it was asked for, ms; clear';
COMMENT ON COLUMN charges.updated_at_ms IS 'when its status was last written, ms; clear';

CREATE INDEX charges_open ON charges (lease_until_ms) WHERE lease_until_ms IS NOT NULL;
CREATE INDEX charges_by_token ON charges (token_id, id);
CREATE INDEX charges_of_account ON charges (account, id);
CREATE INDEX charges_by_payment ON charges (payment) WHERE payment IS NOT NULL;

-- Succeeded, declined and canceled are final. The rest is the processor's own order of things; a
-- payment that waits for the shopper may also still fail, and one that is authorized may lapse.
CREATE FUNCTION charges_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'charges: illegal transition of status';
END
$$;
CREATE TRIGGER charges_status BEFORE UPDATE OF status ON charges
    FOR EACH ROW
    WHEN (NOT (
        NEW.status = OLD.status
        OR OLD.status IN ('processing', 'requires_action')
        OR (OLD.status = 'requires_capture' AND NEW.status IN ('succeeded', 'canceled'))
    ))
    EXECUTE FUNCTION charges_status();

-- What was asked for is never rewritten, and the payment behind a charge is not exchanged.
CREATE FUNCTION charges_identity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'charges: identity does not change';
END
$$;
CREATE TRIGGER charges_identity BEFORE UPDATE OF id, account, client, token_id, amount, currency, capture, off_session, created_at_ms ON charges
    FOR EACH ROW
    EXECUTE FUNCTION charges_identity();

CREATE FUNCTION charges_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'charges: the payment does not change';
END
$$;
CREATE TRIGGER charges_payment BEFORE UPDATE OF payment ON charges
    FOR EACH ROW
    WHEN (OLD.payment IS NOT NULL AND NEW.payment IS DISTINCT FROM OLD.payment)
    EXECUTE FUNCTION charges_payment();

-- Money that was taken is given back by refunds only.
CREATE FUNCTION charges_captured() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'charges: what was captured does not change';
END
$$;
CREATE TRIGGER charges_captured BEFORE UPDATE OF captured ON charges
    FOR EACH ROW
    WHEN (OLD.captured > 0 AND NEW.captured <> OLD.captured)
    EXECUTE FUNCTION charges_captured();

CREATE TABLE refunds (
    id               TEXT   NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),
    account          TEXT   NOT NULL CHECK (length(account) BETWEEN 1 AND 64),
    client           TEXT   CHECK (length(client) BETWEEN 1 AND 1024),
    charge_id        TEXT   NOT NULL REFERENCES charges (id),
    amount           BIGINT NOT NULL CHECK (amount > 0),
    reason           TEXT   CHECK (reason IN ('duplicate', 'fraudulent', 'requested_by_customer')),
    status           TEXT   NOT NULL CHECK (status IN ('processing', 'succeeded', 'failed', 'canceled')),
    processor_refund TEXT   CHECK (length(processor_refund) BETWEEN 1 AND 255),
    failure_code     TEXT   CHECK (length(failure_code) BETWEEN 1 AND 64),
    lease_until_ms   BIGINT CHECK (lease_until_ms >= 0),
    created_at_ms    BIGINT NOT NULL CHECK (created_at_ms >= 0),
    updated_at_ms    BIGINT NOT NULL CHECK (updated_at_ms >= 0),
    CHECK ((status = 'processing') = (lease_until_ms IS NOT NULL)),
    CHECK (status = 'failed' OR failure_code IS NULL),
    CHECK (status <> 'succeeded' OR processor_refund IS NOT NULL)
);
COMMENT ON TABLE refunds IS 'Money given back.';
COMMENT ON COLUMN refunds.id IS 'TypeID; clear';
COMMENT ON COLUMN refunds.account IS 'whose refund; clear';
COMMENT ON COLUMN refunds.client IS 'certificate name of who asked for it; NULL: made at the processor itself; clear';
COMMENT ON COLUMN refunds.charge_id IS 'what is given back; clear';
COMMENT ON COLUMN refunds.amount IS 'money, in the charge''s currency; clear';
COMMENT ON COLUMN refunds.reason IS 'why; clear';
COMMENT ON COLUMN refunds.status IS 'where in its life; clear';
COMMENT ON COLUMN refunds.processor_refund IS 'the processor''s name of it; clear';
COMMENT ON COLUMN refunds.failure_code IS 'why it failed, processor''s word; clear';
COMMENT ON COLUMN refunds.lease_until_ms IS 'till when somebody is at work on it, or it rests, ms; clear';
COMMENT ON COLUMN refunds.created_at_ms IS 'when it was asked for, ms; clear';
COMMENT ON COLUMN refunds.updated_at_ms IS 'when its status was last written, ms; clear';

CREATE UNIQUE INDEX refunds_by_processor_refund ON refunds (account, processor_refund) WHERE processor_refund IS NOT NULL;
CREATE INDEX refunds_open ON refunds (lease_until_ms) WHERE lease_until_ms IS NOT NULL;
CREATE INDEX refunds_of_charge ON refunds (charge_id, id);

-- A bank may send a refund back after it has succeeded; failed and canceled are final.
CREATE FUNCTION refunds_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'refunds: illegal transition of status';
END
$$;
CREATE TRIGGER refunds_status BEFORE UPDATE OF status ON refunds
    FOR EACH ROW
    WHEN (NOT (
        NEW.status = OLD.status
        OR OLD.status = 'processing'
        OR (OLD.status = 'succeeded' AND NEW.status = 'failed')
    ))
    EXECUTE FUNCTION refunds_status();
CREATE FUNCTION refunds_identity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'refunds: identity does not change';
END
$$;
CREATE TRIGGER refunds_identity BEFORE UPDATE OF id, account, client, charge_id, amount, reason, created_at_ms ON refunds
    FOR EACH ROW
    EXECUTE FUNCTION refunds_identity();

CREATE TABLE idempotency_keys (
    account         TEXT   NOT NULL CHECK (length(account) BETWEEN 1 AND 64),
    client          TEXT   NOT NULL CHECK (length(client) BETWEEN 1 AND 1024),
    key             TEXT   NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    route           TEXT   NOT NULL CHECK (length(route) BETWEEN 1 AND 64),
    request_hash    BYTEA  NOT NULL CHECK (octet_length(request_hash) = 32),
    resource        TEXT   NOT NULL CHECK (length(resource) BETWEEN 1 AND 64),
    replays         BIGINT NOT NULL CHECK (replays >= 0),
    created_at_ms   BIGINT NOT NULL CHECK (created_at_ms >= 0),
    last_seen_at_ms BIGINT NOT NULL CHECK (last_seen_at_ms >= 0),
    expires_at_ms   BIGINT NOT NULL CHECK (expires_at_ms > created_at_ms),
    PRIMARY KEY (account, client, key)
);
COMMENT ON TABLE idempotency_keys IS 'Which request was seen under which Idempotency-Key, and what it made.';
COMMENT ON COLUMN idempotency_keys.account IS 'whose request; clear';
COMMENT ON COLUMN idempotency_keys.client IS 'certificate name of who sent it; clear';
COMMENT ON COLUMN idempotency_keys.key IS 'the Idempotency-Key; clear';
COMMENT ON COLUMN idempotency_keys.route IS 'what was asked for; clear';
COMMENT ON COLUMN idempotency_keys.request_hash IS 'of the request, which holds no card data; SHA-256 of clear';
COMMENT ON COLUMN idempotency_keys.resource IS 'id of what it made; clear';
COMMENT ON COLUMN idempotency_keys.replays IS 'how often it was asked for again, count; clear';
COMMENT ON COLUMN idempotency_keys.created_at_ms IS 'when it was first seen, ms; clear';
COMMENT ON COLUMN idempotency_keys.last_seen_at_ms IS 'when it was last seen, ms; clear';
COMMENT ON COLUMN idempotency_keys.expires_at_ms IS 'from when on it may be used anew, ms; clear';

CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at_ms);
CREATE INDEX idempotency_keys_by_resource ON idempotency_keys (resource);
