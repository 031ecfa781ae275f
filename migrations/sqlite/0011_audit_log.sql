-- The audit log as an append-only Merkle log (RFC 6962): the order of its events, and what was signed.

-- Each event with its leaf, from its own transaction until a copy of a checkpoint over it stands
-- outside of this database.
CREATE TABLE audit_pending (
    place    INTEGER NOT NULL PRIMARY KEY,                                         -- the order of arrival; clear
    event_id TEXT    NOT NULL UNIQUE CHECK (length(event_id) BETWEEN 1 AND 64),    -- the event; clear
    at_ms    INTEGER NOT NULL CHECK (at_ms >= 0),                                  -- when it was, ms; clear
    leaf     BLOB    NOT NULL CHECK (length(leaf) = 32),                           -- its leaf hash, SHA-256; clear
    seq      INTEGER CHECK (seq >= 0)                                              -- its place in the log, when it has one; clear
) STRICT;

CREATE INDEX audit_pending_next ON audit_pending (place) WHERE seq IS NULL;
CREATE INDEX audit_pending_by_seq ON audit_pending (seq) WHERE seq IS NOT NULL;

CREATE TABLE audit_log (
    seq      INTEGER NOT NULL PRIMARY KEY CHECK (seq >= 0),                        -- its place, counted from 0; clear
    event_id TEXT    NOT NULL UNIQUE CHECK (length(event_id) BETWEEN 1 AND 64),    -- the event; clear
    leaf     BLOB    NOT NULL CHECK (length(leaf) = 32)                            -- its leaf hash, SHA-256; clear
) STRICT;

CREATE TRIGGER audit_log_update BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'audit_log: append-only');
END;

CREATE TRIGGER audit_log_delete BEFORE DELETE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'audit_log: append-only');
END;

CREATE TABLE audit_checkpoints (
    size  INTEGER NOT NULL PRIMARY KEY CHECK (size > 0),                           -- events under it; clear
    note  TEXT    NOT NULL CHECK (length(note) BETWEEN 1 AND 4096),                -- the signed note, C2SP tlog-checkpoint; clear
    at_ms INTEGER NOT NULL CHECK (at_ms >= 0)                                      -- when it was signed, ms; clear
) STRICT;

CREATE TRIGGER audit_checkpoints_update BEFORE UPDATE ON audit_checkpoints
BEGIN
    SELECT RAISE(ABORT, 'audit_checkpoints: append-only');
END;

CREATE TRIGGER audit_checkpoints_delete BEFORE DELETE ON audit_checkpoints
BEGIN
    SELECT RAISE(ABORT, 'audit_checkpoints: append-only');
END;

CREATE TABLE audit_head (
    id             INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),                    -- there is one row; clear
    size           INTEGER NOT NULL CHECK (size >= 0),                             -- events in the log; clear
    peaks          BLOB    NOT NULL CHECK (length(peaks) % 32 = 0),                -- roots of its complete subtrees, largest first; clear
    node           TEXT    CHECK (length(node) BETWEEN 1 AND 255),                 -- who appends; clear
    lease_until_ms INTEGER NOT NULL CHECK (lease_until_ms >= 0)                    -- till when nobody else does, ms; clear
) STRICT;
INSERT INTO audit_head (id, size, peaks, lease_until_ms) VALUES (1, 0, x'', 0);

CREATE TABLE audit_sinks (
    name    TEXT    NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 512),   -- the node and the place; clear
    size    INTEGER NOT NULL CHECK (size >= 0),                                    -- of the newest checkpoint that it holds; clear
    held_ms INTEGER NOT NULL CHECK (held_ms >= 0)                                  -- when it took that one, ms; clear
) STRICT;
