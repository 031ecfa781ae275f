-- Watch and alerts (PCI DSS 10.4, 10.7, 11.5, 12.10): what was counted, whom a rule stopped, and who
-- is to be told. Nothing here is computed from a card number.

-- What the operator is told: one row for each name and subject in each window, whichever node saw it.
CREATE TABLE alerts (
    id              TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64), -- TypeID; clear
    name            TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 64),           -- what kind it is; clear
    severity        TEXT    NOT NULL CHECK (severity IN ('page', 'ticket')),          -- whom it wakes; clear
    subject         TEXT    NOT NULL CHECK (length(subject) BETWEEN 1 AND 1024),      -- whom or what it is about; clear
    seen            TEXT    NOT NULL CHECK (length(seen) BETWEEN 1 AND 1024),         -- what was seen, in words; clear
    next_step       TEXT    NOT NULL CHECK (length(next_step) BETWEEN 1 AND 1024),    -- what to do next, in words; clear
    node            TEXT    NOT NULL CHECK (length(node) BETWEEN 1 AND 255),          -- which process saw it first; clear
    window_start_ms INTEGER NOT NULL CHECK (window_start_ms >= 0),                    -- the window in which it is told once, ms; clear
    times           INTEGER NOT NULL CHECK (times >= 1),                              -- how often it was seen in the window, count; clear
    raised_at_ms    INTEGER NOT NULL CHECK (raised_at_ms >= 0),                       -- when it was first seen, ms; clear
    last_at_ms      INTEGER NOT NULL CHECK (last_at_ms >= 0),                         -- when it was last seen, ms; clear
    routed_at_ms    INTEGER CHECK (routed_at_ms >= 0),                                -- when its deliveries were made, ms; clear
    UNIQUE (name, subject, window_start_ms)
) STRICT;

CREATE INDEX alerts_by_time ON alerts (raised_at_ms);
CREATE INDEX alerts_unrouted ON alerts (id) WHERE routed_at_ms IS NULL;

-- Who is still to be told of what.
CREATE TABLE alert_deliveries (
    alert_id       TEXT    NOT NULL REFERENCES alerts (id),                             -- what is told; clear
    destination    TEXT    NOT NULL CHECK (length(destination) BETWEEN 1 AND 320),      -- who is told: a webhook's name or an address; clear
    status         TEXT    NOT NULL CHECK (status IN ('due', 'delivered', 'given_up')), -- how far it is; clear
    attempts       INTEGER NOT NULL CHECK (attempts >= 0),                              -- how often it was tried, count; clear
    answer         TEXT    CHECK (length(answer) BETWEEN 1 AND 64),                     -- how the last try ended: a status code or a reason; clear
    lease_until_ms INTEGER CHECK (lease_until_ms >= 0),                                 -- till when somebody is at work on it, or it rests, ms; clear
    updated_at_ms  INTEGER NOT NULL CHECK (updated_at_ms >= 0),                         -- when it was last tried, ms; clear
    PRIMARY KEY (alert_id, destination),
    CHECK ((status = 'due') = (lease_until_ms IS NOT NULL))
) STRICT;

CREATE INDEX alert_deliveries_due ON alert_deliveries (destination, lease_until_ms) WHERE lease_until_ms IS NOT NULL;

-- What each process counted, for the others: only its own rows, so that writing twice counts once.
CREATE TABLE watch_buckets (
    process       TEXT    NOT NULL CHECK (length(process) BETWEEN 1 AND 64),   -- who counted, a name for this run; clear
    rule          TEXT    NOT NULL CHECK (length(rule) BETWEEN 1 AND 64),      -- for which rule; clear
    subject       TEXT    NOT NULL CHECK (length(subject) BETWEEN 1 AND 1024), -- about whom: an address, a shop, a client, a customer; clear
    bucket_ms     INTEGER NOT NULL CHECK (bucket_ms >= 0),                     -- when the bucket begins, ms; clear
    events        INTEGER NOT NULL CHECK (events >= 0),                        -- what happened, count; clear
    hits          INTEGER NOT NULL CHECK (hits >= 0 AND hits <= events),       -- how much of it speaks against the subject, count; clear
    updated_at_ms INTEGER NOT NULL CHECK (updated_at_ms >= 0),                 -- when it was last written, ms; clear
    PRIMARY KEY (process, rule, subject, bucket_ms)
) STRICT;

CREATE INDEX watch_buckets_by_time ON watch_buckets (updated_at_ms);

-- Whom a rule stopped, and who let them go. Rows are added; only lifting changes one.
CREATE TABLE watch_blocks (
    id           TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),          -- TypeID; clear
    rule         TEXT    NOT NULL CHECK (length(rule) BETWEEN 1 AND 64),                    -- which rule; clear
    subject      TEXT    NOT NULL CHECK (length(subject) BETWEEN 1 AND 1024),               -- whom: an address, a shop, a client, a customer; clear
    action       TEXT    NOT NULL CHECK (action IN ('challenge', 'throttle', 'block')),     -- what is done to them; clear
    node         TEXT    NOT NULL CHECK (length(node) BETWEEN 1 AND 255),                   -- which process decided it; clear
    placed_at_ms INTEGER NOT NULL CHECK (placed_at_ms >= 0),                                -- from when on, ms; clear
    ends_at_ms   INTEGER CHECK (ends_at_ms > placed_at_ms),                                 -- till when; NULL: till it is lifted, ms; clear
    lifted_at_ms INTEGER CHECK (lifted_at_ms >= placed_at_ms),                              -- when somebody lifted it, ms; clear
    lifted_by    TEXT    CHECK (length(lifted_by) BETWEEN 1 AND 255),                       -- who lifted it; clear
    CHECK ((lifted_at_ms IS NULL) = (lifted_by IS NULL))
) STRICT;

CREATE INDEX watch_blocks_by_time ON watch_blocks (placed_at_ms);

CREATE TRIGGER watch_blocks_content BEFORE UPDATE OF id, rule, subject, action, node, placed_at_ms, ends_at_ms ON watch_blocks
BEGIN
    SELECT RAISE(ABORT, 'watch_blocks: what was decided does not change');
END;

-- The merchant says that it has verified the shopper anew: such a session passes a challenge.
ALTER TABLE sessions ADD COLUMN shopper_verified INTEGER NOT NULL DEFAULT 0 CHECK (shopper_verified IN (0, 1)); -- whether the merchant verified the shopper for this session; clear
