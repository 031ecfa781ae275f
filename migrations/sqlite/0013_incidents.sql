-- Incidents, and which customers were told of one. Addresses of customers are in no column: a
-- customer is the merchant's own name for it.

CREATE TABLE incidents (
    id             TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64), -- TypeID; clear
    title          TEXT    NOT NULL CHECK (length(title) BETWEEN 1 AND 255),         -- what it is called; clear
    opened_by      TEXT    NOT NULL CHECK (length(opened_by) BETWEEN 1 AND 255),     -- who opened it; clear
    opened_at_ms   INTEGER NOT NULL CHECK (opened_at_ms >= 0),                       -- when, ms; clear
    closed_by      TEXT    CHECK (length(closed_by) BETWEEN 1 AND 255),              -- who closed it; clear
    closed_at_ms   INTEGER CHECK (closed_at_ms >= opened_at_ms),                     -- when, ms; clear
    notifier       TEXT    CHECK (length(notifier) BETWEEN 1 AND 64),                -- the run that tells customers, TypeID; clear
    lease_until_ms INTEGER NOT NULL CHECK (lease_until_ms >= 0),                     -- till when no other run does, ms; clear
    CHECK ((closed_by IS NULL) = (closed_at_ms IS NULL))
) STRICT;

CREATE TABLE incident_notices (
    incident_id  TEXT    NOT NULL REFERENCES incidents (id),                                      -- which incident; clear
    channel      TEXT    NOT NULL CHECK (channel IN ('mail', 'webhook')),                         -- how the customer is told; clear
    account      TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),                       -- whose customer; clear
    customer_ref TEXT    NOT NULL CHECK (length(customer_ref) BETWEEN 1 AND 1024),                -- the merchant's name for the customer; clear
    state        TEXT    NOT NULL CHECK (state IN ('waiting', 'claimed', 'told', 'refused', 'unknown', 'no_contact')), -- what has become of it; clear
    attempts     INTEGER NOT NULL CHECK (attempts >= 0),                                          -- messages begun, count; clear
    due_at_ms    INTEGER NOT NULL CHECK (due_at_ms >= 0),                                         -- not before, ms; clear
    answer       TEXT    CHECK (length(answer) BETWEEN 1 AND 64),                                 -- the receiver's word for the last attempt; clear
    settled_at_ms INTEGER CHECK (settled_at_ms >= 0),                                             -- when it was told or given up, ms; clear
    PRIMARY KEY (incident_id, channel, account, customer_ref)
) STRICT;

CREATE INDEX incident_notices_open ON incident_notices (incident_id, channel, due_at_ms) WHERE state IN ('waiting', 'claimed');

-- Who was told stays told, and a record of an incident stays.
CREATE TRIGGER incident_notices_told BEFORE UPDATE ON incident_notices
WHEN OLD.state = 'told'
BEGIN
    SELECT RAISE(ABORT, 'incident_notices: told once');
END;

CREATE TRIGGER incident_notices_delete BEFORE DELETE ON incident_notices
BEGIN
    SELECT RAISE(ABORT, 'incident_notices: append-only');
END;

CREATE TRIGGER incidents_delete BEFORE DELETE ON incidents
BEGIN
    SELECT RAISE(ABORT, 'incidents: append-only');
END;
