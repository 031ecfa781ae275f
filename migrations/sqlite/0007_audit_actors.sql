-- The processor is an actor, too: it tells under its signature. The table is made anew, because
-- SQLite cannot exchange a CHECK; every event is carried over as it is, in its order.

CREATE TABLE audit_events_with_processor (
    id         TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),                                     -- TypeID; clear
    at_ms      INTEGER NOT NULL CHECK (at_ms >= 0),                                                                  -- when, ms; clear
    actor_kind TEXT    NOT NULL CHECK (actor_kind IN ('client', 'session', 'operator', 'processor', 'process', 'unidentified')), -- what kind of actor; clear
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

INSERT INTO audit_events_with_processor (id, at_ms, actor_kind, actor, action, outcome, account, subject, origin, node, request_id)
SELECT id, at_ms, actor_kind, actor, action, outcome, account, subject, origin, node, request_id
  FROM audit_events
 ORDER BY rowid;

DROP TABLE audit_events;
ALTER TABLE audit_events_with_processor RENAME TO audit_events;

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
