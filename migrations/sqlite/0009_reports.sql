-- Reports of abuse or an incident, from anybody (PCI DSS 12.10.5: alerts may come from outside).

CREATE TABLE reports (
    id            TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),                             -- TypeID; clear
    about         TEXT    NOT NULL CHECK (about IN ('abuse', 'incident', 'vulnerability', 'other')),            -- what kind it is; clear
    message       TEXT    NOT NULL CHECK (length(message) BETWEEN 1 AND 8000),                                  -- what is reported, searched for card numbers; clear
    contact       TEXT    CHECK (length(contact) BETWEEN 1 AND 320),                                            -- where to answer, if the reporter says; clear
    origin        TEXT    NOT NULL CHECK (length(origin) BETWEEN 1 AND 64),                                     -- the address it came from; clear
    created_at_ms INTEGER NOT NULL CHECK (created_at_ms >= 0)                                                   -- when it came, ms; clear
) STRICT;

CREATE INDEX reports_by_time ON reports (created_at_ms);

CREATE TRIGGER reports_content BEFORE UPDATE ON reports
BEGIN
    SELECT RAISE(ABORT, 'reports: what was reported does not change');
END;
