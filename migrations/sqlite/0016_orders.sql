-- Who ordered it: a row is acted on, or told of, only with a proof of who ordered it, which the
-- database does not hold the keys to make.

ALTER TABLE charges ADD COLUMN order_proof BLOB CHECK (length(order_proof) = 33); -- of the charge as it was asked for, HMAC-SHA-256; keyed hash
ALTER TABLE charges ADD COLUMN payment_proof BLOB CHECK (length(payment_proof) = 33); -- of its payment's name, HMAC-SHA-256; keyed hash
ALTER TABLE charges ADD COLUMN operation_proof BLOB CHECK (length(operation_proof) = 33); -- of the newest operation, HMAC-SHA-256; keyed hash
ALTER TABLE refunds ADD COLUMN order_proof BLOB CHECK (length(order_proof) = 33); -- of the refund as it was asked for, HMAC-SHA-256; keyed hash
ALTER TABLE refunds ADD COLUMN processor_refund_proof BLOB CHECK (length(processor_refund_proof) = 33); -- of the processor's name of it, HMAC-SHA-256; keyed hash
ALTER TABLE events ADD COLUMN order_proof BLOB CHECK (length(order_proof) = 33); -- of what is published, HMAC-SHA-256; keyed hash
ALTER TABLE tokens ADD COLUMN deletion_proof BLOB CHECK (length(deletion_proof) = 33); -- that its end was ordered, HMAC-SHA-256; keyed hash
ALTER TABLE orphans ADD COLUMN order_proof BLOB CHECK (length(order_proof) = 33); -- of the card and of what is to become of it, HMAC-SHA-256; keyed hash
ALTER TABLE orphans ADD COLUMN customer_ref TEXT CHECK (length(customer_ref) BETWEEN 1 AND 1024); -- the customer that the value is sealed for; clear
ALTER TABLE orphans ADD COLUMN usage TEXT CHECK (usage IN ('off_session', 'on_session')); -- the usage that the value is sealed for; clear
ALTER TABLE orphans ADD COLUMN ordered_for TEXT CHECK (length(ordered_for) BETWEEN 1 AND 64); -- the token whose place it was ordered to take, TypeID; clear
ALTER TABLE sessions ADD COLUMN owner_mac BLOB CHECK (length(owner_mac) = 32); -- of whose session it is, under the client secret, HMAC-SHA-256; keyed hash

CREATE TABLE quarantine (
    table_name       TEXT    NOT NULL CHECK (length(table_name) BETWEEN 1 AND 64), -- where the row stands, or stood; clear
    row_id           TEXT    NOT NULL CHECK (length(row_id) BETWEEN 1 AND 1024),   -- which row; clear
    content          TEXT    CHECK (length(content) BETWEEN 1 AND 1048576),        -- what it said, where it was taken out of its table; clear
    times            INTEGER NOT NULL CHECK (times >= 1),                          -- how often it was met, count; clear
    first_seen_at_ms INTEGER NOT NULL CHECK (first_seen_at_ms >= 0),               -- when it was first met, ms; clear
    last_seen_at_ms  INTEGER NOT NULL CHECK (last_seen_at_ms >= 0),                -- when it was last met, ms; clear
    PRIMARY KEY (table_name, row_id)
) STRICT;
