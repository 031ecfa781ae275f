-- Who ordered it: a row is acted on, or told of, only with a proof of who ordered it, which the
-- database does not hold the keys to make.

ALTER TABLE charges ADD COLUMN order_proof BYTEA CHECK (octet_length(order_proof) = 33);
COMMENT ON COLUMN charges.order_proof IS 'of the charge as it was asked for, HMAC-SHA-256; keyed hash';
ALTER TABLE charges ADD COLUMN payment_proof BYTEA CHECK (octet_length(payment_proof) = 33);
COMMENT ON COLUMN charges.payment_proof IS 'of its payment''s name, HMAC-SHA-256; keyed hash';
ALTER TABLE charges ADD COLUMN operation_proof BYTEA CHECK (octet_length(operation_proof) = 33);
COMMENT ON COLUMN charges.operation_proof IS 'of the newest operation, HMAC-SHA-256; keyed hash';
ALTER TABLE refunds ADD COLUMN order_proof BYTEA CHECK (octet_length(order_proof) = 33);
COMMENT ON COLUMN refunds.order_proof IS 'of the refund as it was asked for, HMAC-SHA-256; keyed hash';
ALTER TABLE refunds ADD COLUMN processor_refund_proof BYTEA CHECK (octet_length(processor_refund_proof) = 33);
COMMENT ON COLUMN refunds.processor_refund_proof IS 'of the processor''s name of it, HMAC-SHA-256; keyed hash';
ALTER TABLE events ADD COLUMN order_proof BYTEA CHECK (octet_length(order_proof) = 33);
COMMENT ON COLUMN events.order_proof IS 'of what is published, HMAC-SHA-256; keyed hash';
ALTER TABLE tokens ADD COLUMN deletion_proof BYTEA CHECK (octet_length(deletion_proof) = 33);
COMMENT ON COLUMN tokens.deletion_proof IS 'that its end was ordered, HMAC-SHA-256; keyed hash';
ALTER TABLE orphans ADD COLUMN order_proof BYTEA CHECK (octet_length(order_proof) = 33);
COMMENT ON COLUMN orphans.order_proof IS 'of the card and of what is to become of it, HMAC-SHA-256; keyed hash';
ALTER TABLE orphans ADD COLUMN customer_ref TEXT CHECK (length(customer_ref) BETWEEN 1 AND 1024);
COMMENT ON COLUMN orphans.customer_ref IS 'the customer that the value is sealed for; clear';
ALTER TABLE orphans ADD COLUMN usage TEXT CHECK (usage IN ('off_session', 'on_session'));
COMMENT ON COLUMN orphans.usage IS 'the usage that the value is sealed for; clear';
ALTER TABLE orphans ADD COLUMN ordered_for TEXT CHECK (length(ordered_for) BETWEEN 1 AND 64);
COMMENT ON COLUMN orphans.ordered_for IS 'the token whose place it was ordered to take, TypeID; clear';
ALTER TABLE sessions ADD COLUMN owner_mac BYTEA CHECK (octet_length(owner_mac) = 32);
COMMENT ON COLUMN sessions.owner_mac IS 'of whose session it is, under the client secret, HMAC-SHA-256; keyed hash';

CREATE TABLE quarantine (
    table_name       TEXT   NOT NULL CHECK (length(table_name) BETWEEN 1 AND 64),
    row_id           TEXT   NOT NULL CHECK (length(row_id) BETWEEN 1 AND 1024),
    content          TEXT   CHECK (length(content) BETWEEN 1 AND 1048576),
    times            BIGINT NOT NULL CHECK (times >= 1),
    first_seen_at_ms BIGINT NOT NULL CHECK (first_seen_at_ms >= 0),
    last_seen_at_ms  BIGINT NOT NULL CHECK (last_seen_at_ms >= 0),
    PRIMARY KEY (table_name, row_id)
);
COMMENT ON TABLE quarantine IS 'Rows without a valid proof of who ordered them: nothing is done on them.';
COMMENT ON COLUMN quarantine.table_name IS 'where the row stands, or stood; clear';
COMMENT ON COLUMN quarantine.row_id IS 'which row; clear';
COMMENT ON COLUMN quarantine.content IS 'what it said, where it was taken out of its table; clear';
COMMENT ON COLUMN quarantine.times IS 'how often it was met, count; clear';
COMMENT ON COLUMN quarantine.first_seen_at_ms IS 'when it was first met, ms; clear';
COMMENT ON COLUMN quarantine.last_seen_at_ms IS 'when it was last met, ms; clear';

GRANT SELECT, INSERT, UPDATE (times, last_seen_at_ms) ON quarantine TO cloakroom_internal;

-- A session is made by the internal plane; the capture plane spends it, and says of it no more.
REVOKE UPDATE ON sessions FROM cloakroom_capture;
GRANT UPDATE (attempts_left, attempts_made, busy_until_ms, token_id, token_key, last_seen_at_ms) ON sessions TO cloakroom_capture;

-- An event is handed in without a place; who could give one would stop the log.
REVOKE INSERT ON audit_pending FROM cloakroom_capture, cloakroom_internal, cloakroom_audit;
GRANT INSERT (event_id, at_ms, leaf) ON audit_pending TO cloakroom_capture, cloakroom_internal, cloakroom_audit;
