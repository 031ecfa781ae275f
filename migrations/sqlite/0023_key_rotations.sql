-- Who replaces a key now: one operator at a time.
CREATE TABLE key_rotations (
    id             TEXT    NOT NULL PRIMARY KEY CHECK (id = 'rotation'),          -- there is one; clear
    run            TEXT    NOT NULL CHECK (length(run) BETWEEN 1 AND 64),         -- a name for the command's run; clear
    by_whom        TEXT    NOT NULL CHECK (length(by_whom) BETWEEN 1 AND 255),    -- the operator; clear
    node           TEXT    NOT NULL CHECK (length(node) BETWEEN 1 AND 255),       -- on which host; clear
    began_at_ms    INTEGER NOT NULL CHECK (began_at_ms >= 0),                     -- since when, ms; clear
    lease_until_ms INTEGER NOT NULL CHECK (lease_until_ms >= 0),                  -- till when no other operator does, ms; clear
    order_proof    BLOB    CHECK (length(order_proof) = 33)                       -- of who keeps others out, HMAC-SHA-256; keyed hash
) STRICT;
