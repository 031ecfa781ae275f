-- The audit log, and the row that shows that writes are durable.

-- Fields of PCI DSS 10.2.2. Written in the transaction of the act; never changed (10.3.2).
CREATE TABLE audit_events (
    id         TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),                                     -- TypeID; clear
    at_ms      INTEGER NOT NULL CHECK (at_ms >= 0),                                                                  -- when, ms; clear
    actor_kind TEXT    NOT NULL CHECK (actor_kind IN ('client', 'session', 'operator', 'process', 'unidentified')),  -- what kind of actor; clear
    actor      TEXT    CHECK (length(actor) BETWEEN 1 AND 1024),                                                     -- which one of its kind; clear
    action     TEXT    NOT NULL CHECK (action GLOB '[a-z]*.[a-z]*'),                                                 -- what was done; clear
    outcome    TEXT    NOT NULL CHECK (outcome IN ('success', 'refused', 'failed')),                                 -- whether it was done; clear
    account    TEXT    CHECK (length(account) BETWEEN 1 AND 64),                                                     -- whose data; clear
    subject    TEXT    CHECK (length(subject) BETWEEN 1 AND 1024),                                                   -- id of the affected data; clear
    origin     TEXT    NOT NULL CHECK (length(origin) BETWEEN 1 AND 255),                                            -- peer address, or "-"; clear
    node       TEXT    NOT NULL CHECK (length(node) BETWEEN 1 AND 255),                                              -- which process saw it; clear
    request_id TEXT    CHECK (length(request_id) BETWEEN 1 AND 255),                                                 -- the request it belongs to; clear
    CHECK ((actor IS NULL) = (actor_kind IN ('process', 'unidentified')))
) STRICT;

CREATE INDEX audit_events_by_time ON audit_events (at_ms);

CREATE TRIGGER audit_events_update BEFORE UPDATE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'audit_events: append-only');
END;

CREATE TRIGGER audit_events_delete BEFORE DELETE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'audit_events: append-only');
END;

-- INSERT OR REPLACE deletes without asking the trigger above, so an id is never inserted twice.
CREATE TRIGGER audit_events_replace BEFORE INSERT ON audit_events
WHEN EXISTS (SELECT 1 FROM audit_events WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'audit_events: append-only');
END;

-- One row, rewritten by each probe: a process that cannot write is not ready.
CREATE TABLE write_probe (
    id            INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), -- there is one row; clear
    written_at_ms INTEGER NOT NULL CHECK (written_at_ms >= 0)  -- when it was last written, ms; clear
) STRICT;
