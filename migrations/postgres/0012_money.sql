-- Exactly once for every money operation: who holds open work, what the processor reports until it
-- is applied, disputes as rows, looks that are owed to a charge, versions.

-- Charges: a capture or a cancellation under way is an operation with an id of its own.
ALTER TABLE charges RENAME COLUMN step TO operation;
ALTER TABLE charges RENAME COLUMN step_amount TO operation_amount;
ALTER TABLE charges RENAME COLUMN steps TO operations;
ALTER TABLE charges ADD COLUMN operation_id TEXT CHECK (length(operation_id) BETWEEN 1 AND 64);
COMMENT ON COLUMN charges.operation_id IS 'of the newest operation begun; clear';
ALTER TABLE charges ADD COLUMN operation_key TEXT CHECK (length(operation_key) BETWEEN 1 AND 255);
COMMENT ON COLUMN charges.operation_key IS 'the processor''s idempotency key of that operation; keyed hash';
ALTER TABLE charges ADD COLUMN processor_key TEXT CHECK (length(processor_key) BETWEEN 1 AND 255);
COMMENT ON COLUMN charges.processor_key IS 'the processor''s idempotency key of the charge; keyed hash';
ALTER TABLE charges ADD COLUMN lease_token BIGINT CHECK (lease_token > 0);
COMMENT ON COLUMN charges.lease_token IS 'of the worker that holds the lease, random; clear';
ALTER TABLE charges ADD COLUMN contradiction TEXT CHECK (length(contradiction) BETWEEN 1 AND 64);
COMMENT ON COLUMN charges.contradiction IS 'what the processor says against our final state; clear';
ALTER TABLE charges ADD COLUMN contradicted_at_ms BIGINT CHECK (contradicted_at_ms >= 0);
COMMENT ON COLUMN charges.contradicted_at_ms IS 'when that was first seen, ms; clear';
ALTER TABLE charges ADD COLUMN network_transaction_id TEXT CHECK (length(network_transaction_id) BETWEEN 1 AND 255);
COMMENT ON COLUMN charges.network_transaction_id IS 'the card network''s id of the payment; clear';
ALTER TABLE charges ADD COLUMN cvc_check TEXT CHECK (cvc_check IN ('pass', 'fail', 'unavailable', 'unchecked'));
COMMENT ON COLUMN charges.cvc_check IS 'the issuer''s check of the security code; clear';
ALTER TABLE charges ADD COLUMN postal_code_check TEXT CHECK (postal_code_check IN ('pass', 'fail', 'unavailable', 'unchecked'));
COMMENT ON COLUMN charges.postal_code_check IS 'the issuer''s check of the postal code; clear';
ALTER TABLE charges ADD COLUMN version BIGINT NOT NULL DEFAULT 1 CHECK (version >= 1);
COMMENT ON COLUMN charges.version IS 'goes up with each change that can be seen, count; clear';
UPDATE charges SET processor_key = id, operation_id = CASE WHEN operations > 0 THEN id || '/' || operations::text END, operation_key = CASE WHEN operation IS NOT NULL THEN id || '-' || operation || '-' || operations::text END;
ALTER TABLE charges DROP COLUMN operations;
CREATE UNIQUE INDEX charges_by_operation ON charges (operation_id) WHERE operation_id IS NOT NULL;

-- A final state is left only for what the processor says against it, once that is written down.
DROP TRIGGER charges_status ON charges;
CREATE TRIGGER charges_status BEFORE UPDATE OF status ON charges
    FOR EACH ROW
    WHEN (NOT (
        NEW.status = OLD.status
        OR OLD.status IN ('processing', 'requires_action')
        OR (OLD.status = 'requires_capture' AND NEW.status IN ('succeeded', 'canceled'))
        OR OLD.contradiction IS NOT NULL
    ))
    EXECUTE FUNCTION charges_status();
DROP TRIGGER charges_captured ON charges;
CREATE TRIGGER charges_captured BEFORE UPDATE OF captured ON charges
    FOR EACH ROW
    WHEN (OLD.captured > 0 AND NEW.captured <> OLD.captured AND OLD.contradiction IS NULL)
    EXECUTE FUNCTION charges_captured();
CREATE FUNCTION charges_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'charges: the version only goes up';
END
$$;
CREATE TRIGGER charges_version BEFORE UPDATE OF version ON charges
    FOR EACH ROW
    WHEN (NEW.version < OLD.version)
    EXECUTE FUNCTION charges_version();

ALTER TABLE refunds ADD COLUMN processor_key TEXT CHECK (length(processor_key) BETWEEN 1 AND 255);
COMMENT ON COLUMN refunds.processor_key IS 'the processor''s idempotency key of the refund; keyed hash';
ALTER TABLE refunds ADD COLUMN lease_token BIGINT CHECK (lease_token > 0);
COMMENT ON COLUMN refunds.lease_token IS 'of the worker that holds the lease, random; clear';
ALTER TABLE refunds ADD COLUMN version BIGINT NOT NULL DEFAULT 1 CHECK (version >= 1);
COMMENT ON COLUMN refunds.version IS 'goes up with each change that can be seen, count; clear';
UPDATE refunds SET processor_key = id;

-- Tokens: a deletion is finished by whichever node holds its lease; a card may be detached at the
-- processor without us.
ALTER TABLE tokens ADD COLUMN lease_until_ms BIGINT CHECK (lease_until_ms >= 0);
COMMENT ON COLUMN tokens.lease_until_ms IS 'of the deletion under way: held until, or not before, ms; clear';
ALTER TABLE tokens ADD COLUMN lease_token BIGINT CHECK (lease_token > 0);
COMMENT ON COLUMN tokens.lease_token IS 'of the worker that holds the lease, random; clear';
ALTER TABLE tokens ADD COLUMN detached_at_ms BIGINT CHECK (detached_at_ms >= 0);
COMMENT ON COLUMN tokens.detached_at_ms IS 'when the processor was found to have let go of the card, ms; clear';
ALTER TABLE tokens ADD COLUMN version BIGINT NOT NULL DEFAULT 1 CHECK (version >= 1);
COMMENT ON COLUMN tokens.version IS 'goes up with each change that can be seen, count; clear';
ALTER TABLE tokens ADD COLUMN updated_at_ms BIGINT CHECK (updated_at_ms >= 0);
COMMENT ON COLUMN tokens.updated_at_ms IS 'when it last changed, ms; clear';
UPDATE tokens SET updated_at_ms = COALESCE(deleted_at_ms, created_at_ms), lease_until_ms = CASE WHEN status = 'deleting' THEN 0 END;
CREATE INDEX tokens_owed ON tokens (lease_until_ms) WHERE lease_until_ms IS NOT NULL;

-- Orphans: a card that takes another's place in its token is adopted before that one is detached.
ALTER TABLE orphans ADD COLUMN sealed_for TEXT CHECK (length(sealed_for) BETWEEN 1 AND 64);
COMMENT ON COLUMN orphans.sealed_for IS 'the token that the value was sealed for, TypeID; clear';
ALTER TABLE orphans ADD COLUMN reference_mac BYTEA CHECK (octet_length(reference_mac) = 32);
COMMENT ON COLUMN orphans.reference_mac IS 'of the processor''s name of the card, HMAC-SHA-256; keyed hash';
ALTER TABLE orphans ADD COLUMN lease_token BIGINT CHECK (lease_token > 0);
COMMENT ON COLUMN orphans.lease_token IS 'of the worker that holds the lease, random; clear';
UPDATE orphans SET sealed_for = id;
CREATE INDEX orphans_by_token ON orphans (token_id) WHERE token_id IS NOT NULL;

ALTER TABLE deliveries ADD COLUMN lease_token BIGINT CHECK (lease_token > 0);
COMMENT ON COLUMN deliveries.lease_token IS 'of the worker that holds the lease, random; clear';
ALTER TABLE alert_deliveries ADD COLUMN lease_token BIGINT CHECK (lease_token > 0);
COMMENT ON COLUMN alert_deliveries.lease_token IS 'of the worker that holds the lease, random; clear';

-- The feed's order is the order in which the rows were written, on any clocks.
DROP INDEX events_unnumbered;
ALTER TABLE events ADD COLUMN rowid BIGINT GENERATED ALWAYS AS IDENTITY;
COMMENT ON COLUMN events.rowid IS 'the order of writing, as SQLite''s own column of that name, count; clear';
CREATE INDEX events_unnumbered ON events (rowid) WHERE seq IS NULL;

-- What the processor reports under its signature: each event once, kept until it is applied.
CREATE TABLE processor_events (
    account         TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),
    id              TEXT    NOT NULL CHECK (length(id) BETWEEN 1 AND 255),
    body            TEXT    CHECK (jsonb_typeof(body::jsonb) = 'object'),
    status          TEXT    NOT NULL CHECK (status IN ('pending', 'applied', 'ignored', 'given_up')),
    deliveries      BIGINT  NOT NULL CHECK (deliveries >= 1),
    tries           BIGINT  NOT NULL CHECK (tries >= 0),
    lease_until_ms  BIGINT  CHECK (lease_until_ms >= 0),
    lease_token     BIGINT  CHECK (lease_token > 0),
    created_at_ms   BIGINT  NOT NULL CHECK (created_at_ms >= 0),
    received_at_ms  BIGINT  NOT NULL CHECK (received_at_ms >= 0),
    last_seen_at_ms BIGINT  NOT NULL CHECK (last_seen_at_ms >= 0),
    PRIMARY KEY (account, id),
    CHECK ((status = 'pending') = (lease_until_ms IS NOT NULL)),
    CHECK ((status = 'pending') = (body IS NOT NULL))
);
COMMENT ON TABLE processor_events IS 'What the processor reports under its signature: each event once, kept until it is applied.';
COMMENT ON COLUMN processor_events.account IS 'whose processor account; clear';
COMMENT ON COLUMN processor_events.id IS 'the processor''s name of the event; clear';
COMMENT ON COLUMN processor_events.body IS 'what it says, as far as it is used, JSON; NULL once it is over; clear';
COMMENT ON COLUMN processor_events.status IS 'what became of it; clear';
COMMENT ON COLUMN processor_events.deliveries IS 'how often it came, count; clear';
COMMENT ON COLUMN processor_events.tries IS 'how often it was tried to apply it, count; clear';
COMMENT ON COLUMN processor_events.lease_until_ms IS 'held until, or not before, ms; clear';
COMMENT ON COLUMN processor_events.lease_token IS 'of the worker that holds the lease, random; clear';
COMMENT ON COLUMN processor_events.created_at_ms IS 'when it happened, by the processor''s clock, ms; clear';
COMMENT ON COLUMN processor_events.received_at_ms IS 'when it first came, ms; clear';
COMMENT ON COLUMN processor_events.last_seen_at_ms IS 'when it last came, ms; clear';
INSERT INTO processor_events (account, id, status, deliveries, tries, created_at_ms, received_at_ms, last_seen_at_ms)
SELECT account, id, 'applied', deliveries, 0, received_at_ms, received_at_ms, last_seen_at_ms FROM processor_notices;
DROP TABLE processor_notices;
CREATE INDEX processor_events_by_time ON processor_events (last_seen_at_ms);
CREATE INDEX processor_events_due ON processor_events (lease_until_ms) WHERE lease_until_ms IS NOT NULL;

-- Looks at the processor that are owed to a charge, in whatever state it is.
CREATE TABLE charge_reviews (
    charge_id      TEXT    NOT NULL PRIMARY KEY REFERENCES charges (id),
    account        TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),
    payment        TEXT    CHECK (length(payment) BETWEEN 1 AND 255),
    requests       BIGINT  NOT NULL CHECK (requests >= 1),
    tries          BIGINT  NOT NULL CHECK (tries >= 0),
    lease_until_ms BIGINT  NOT NULL CHECK (lease_until_ms >= 0),
    lease_token    BIGINT  CHECK (lease_token > 0),
    created_at_ms  BIGINT  NOT NULL CHECK (created_at_ms >= 0)
);
COMMENT ON TABLE charge_reviews IS 'Looks at the processor that are owed to a charge, in whatever state it is.';
COMMENT ON COLUMN charge_reviews.charge_id IS 'which charge; clear';
COMMENT ON COLUMN charge_reviews.account IS 'whose charge; clear';
COMMENT ON COLUMN charge_reviews.payment IS 'the processor''s name of the payment to look at, where the charge has none; clear';
COMMENT ON COLUMN charge_reviews.requests IS 'how often it was asked for, count; clear';
COMMENT ON COLUMN charge_reviews.tries IS 'how often it was tried, count; clear';
COMMENT ON COLUMN charge_reviews.lease_until_ms IS 'held until, or not before, ms; clear';
COMMENT ON COLUMN charge_reviews.lease_token IS 'of the worker that holds the lease, random; clear';
COMMENT ON COLUMN charge_reviews.created_at_ms IS 'when it was first asked for, ms; clear';
CREATE INDEX charge_reviews_due ON charge_reviews (lease_until_ms);

-- What the shopper's bank has taken up.
CREATE TABLE disputes (
    account       TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),
    id            TEXT    NOT NULL CHECK (length(id) BETWEEN 1 AND 255),
    charge_id     TEXT    NOT NULL REFERENCES charges (id),
    amount        BIGINT  NOT NULL CHECK (amount >= 0),
    currency      TEXT    NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    reason        TEXT    NOT NULL CHECK (length(reason) BETWEEN 1 AND 64),
    status        TEXT    NOT NULL CHECK (length(status) BETWEEN 1 AND 64),
    open          BOOLEAN NOT NULL,
    changed_at_ms BIGINT  NOT NULL CHECK (changed_at_ms >= 0),
    created_at_ms BIGINT  NOT NULL CHECK (created_at_ms >= 0),
    PRIMARY KEY (account, id)
);
COMMENT ON TABLE disputes IS 'What the shopper''s bank has taken up.';
COMMENT ON COLUMN disputes.account IS 'whose processor account; clear';
COMMENT ON COLUMN disputes.id IS 'the processor''s name of it; clear';
COMMENT ON COLUMN disputes.charge_id IS 'what is disputed; clear';
COMMENT ON COLUMN disputes.amount IS 'money, in the currency''s minor unit; clear';
COMMENT ON COLUMN disputes.currency IS 'ISO 4217, lower case; clear';
COMMENT ON COLUMN disputes.reason IS 'why, processor''s word; clear';
COMMENT ON COLUMN disputes.status IS 'where in its life, processor''s word; clear';
COMMENT ON COLUMN disputes.open IS 'true: it is not decided; clear';
COMMENT ON COLUMN disputes.changed_at_ms IS 'when it changed, by the processor''s clock, ms; clear';
COMMENT ON COLUMN disputes.created_at_ms IS 'when it was first seen, ms; clear';
CREATE INDEX disputes_of_charge ON disputes (charge_id);

-- The capture plane writes what the processor reports into the inbox and applies none of it: that
-- is the internal plane's, and so is every sweep.
REVOKE UPDATE (lease_until_ms, refunded, disputed) ON charges FROM cloakroom_capture;
REVOKE SELECT, INSERT, UPDATE, DELETE ON refunds FROM cloakroom_capture;
REVOKE UPDATE (status, processor_refund, failure_code, lease_until_ms, updated_at_ms) ON refunds FROM cloakroom_capture;
REVOKE SELECT ON charges FROM cloakroom_capture;
REVOKE SELECT, DELETE ON idempotency_keys, events, deliveries FROM cloakroom_capture;
REVOKE DELETE ON sessions FROM cloakroom_capture;
GRANT SELECT (account, id, deliveries), INSERT, UPDATE (deliveries, last_seen_at_ms) ON processor_events TO cloakroom_capture;
GRANT SELECT (version, updated_at_ms, detached_at_ms) ON tokens TO cloakroom_capture;
GRANT UPDATE (version, updated_at_ms) ON tokens TO cloakroom_capture;
GRANT SELECT, INSERT, UPDATE, DELETE ON processor_events, charge_reviews TO cloakroom_internal;
GRANT SELECT, INSERT, UPDATE ON disputes TO cloakroom_internal;
