-- Who replaces a key now: one operator at a time.
CREATE TABLE key_rotations (
    id             TEXT   NOT NULL PRIMARY KEY CHECK (id = 'rotation'),
    run            TEXT   NOT NULL CHECK (length(run) BETWEEN 1 AND 64),
    by_whom        TEXT   NOT NULL CHECK (length(by_whom) BETWEEN 1 AND 255),
    node           TEXT   NOT NULL CHECK (length(node) BETWEEN 1 AND 255),
    began_at_ms    BIGINT NOT NULL CHECK (began_at_ms >= 0),
    lease_until_ms BIGINT NOT NULL CHECK (lease_until_ms >= 0),
    order_proof    BYTEA  CHECK (octet_length(order_proof) = 33)
);
COMMENT ON TABLE key_rotations IS 'Who replaces a key now: one operator at a time.';
COMMENT ON COLUMN key_rotations.id IS 'there is one; clear';
COMMENT ON COLUMN key_rotations.run IS 'a name for the command''s run; clear';
COMMENT ON COLUMN key_rotations.by_whom IS 'the operator; clear';
COMMENT ON COLUMN key_rotations.node IS 'on which host; clear';
COMMENT ON COLUMN key_rotations.began_at_ms IS 'since when, ms; clear';
COMMENT ON COLUMN key_rotations.lease_until_ms IS 'till when no other operator does, ms; clear';
COMMENT ON COLUMN key_rotations.order_proof IS 'of who keeps others out, HMAC-SHA-256; keyed hash';
GRANT SELECT, INSERT, UPDATE, DELETE ON key_rotations TO cloakroom_internal;
