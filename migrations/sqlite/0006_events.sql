-- What the processor tells, and what we tell: notices in, events and their deliveries out.

-- Which notices of the processor were taken, so that each has its effect once.
CREATE TABLE processor_notices (
    account         TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64), -- whose processor account; clear
    id              TEXT    NOT NULL CHECK (length(id) BETWEEN 1 AND 255),     -- the processor's name of the notice; clear
    deliveries      INTEGER NOT NULL CHECK (deliveries >= 1),                  -- how often it came, count; clear
    received_at_ms  INTEGER NOT NULL CHECK (received_at_ms >= 0),              -- when it first came, ms; clear
    last_seen_at_ms INTEGER NOT NULL CHECK (last_seen_at_ms >= 0),             -- when it last came, ms; clear
    PRIMARY KEY (account, id)
) STRICT;

CREATE INDEX processor_notices_by_time ON processor_notices (last_seen_at_ms);

-- What happened, for those who are told: written with what it tells of, numbered after its commit.
CREATE TABLE events (
    id            TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64), -- TypeID; clear
    account       TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),        -- who is told; clear
    kind          TEXT    NOT NULL CHECK (length(kind) BETWEEN 1 AND 64),           -- what happened: charge.succeeded; clear
    data          TEXT    NOT NULL CHECK (json_valid(data)),                        -- the object as the interface shows it, JSON; clear
    seq           INTEGER UNIQUE CHECK (seq > 0),                                   -- place in the feed; NULL until it has one, count; clear
    created_at_ms INTEGER NOT NULL CHECK (created_at_ms >= 0)                       -- when it happened, ms; clear
) STRICT;

CREATE INDEX events_unnumbered ON events (id) WHERE seq IS NULL;
CREATE INDEX events_of_account ON events (account, seq) WHERE seq IS NOT NULL;
CREATE INDEX events_by_time ON events (created_at_ms);

CREATE TRIGGER events_content BEFORE UPDATE OF id, account, kind, data, created_at_ms ON events
BEGIN
    SELECT RAISE(ABORT, 'events: what happened does not change');
END;

CREATE TRIGGER events_seq BEFORE UPDATE OF seq ON events
WHEN OLD.seq IS NOT NULL AND NEW.seq IS NOT OLD.seq
BEGIN
    SELECT RAISE(ABORT, 'events: the place in the feed does not change');
END;

-- The last place given: one row, whose lock makes the numbering one at a time on any engine.
CREATE TABLE event_places (
    id       INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), -- always 1; clear
    last_seq INTEGER NOT NULL CHECK (last_seq >= 0)       -- the last place given, count; clear
) STRICT;

INSERT INTO event_places (id, last_seq) VALUES (1, 0);

-- Who is still to be told of what.
CREATE TABLE deliveries (
    event_id       TEXT    NOT NULL REFERENCES events (id),                                           -- what is told; clear
    endpoint       TEXT    NOT NULL CHECK (length(endpoint) BETWEEN 1 AND 64),                        -- who is told: its name in the configuration; clear
    status         TEXT    NOT NULL CHECK (status IN ('due', 'delivered', 'given_up')),               -- how far it is; clear
    attempts       INTEGER NOT NULL CHECK (attempts >= 0),                                            -- how often it was tried, count; clear
    answer         TEXT    CHECK (length(answer) BETWEEN 1 AND 64),                                   -- how the last try ended: a status code or a reason; clear
    lease_until_ms INTEGER CHECK (lease_until_ms >= 0),                                               -- till when somebody is at work on it, or it rests, ms; clear
    updated_at_ms  INTEGER NOT NULL CHECK (updated_at_ms >= 0),                                       -- when it was last tried, ms; clear
    PRIMARY KEY (event_id, endpoint),
    CHECK ((status = 'due') = (lease_until_ms IS NOT NULL))
) STRICT;

CREATE INDEX deliveries_due ON deliveries (lease_until_ms) WHERE lease_until_ms IS NOT NULL;
