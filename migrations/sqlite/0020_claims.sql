-- What else makes a process act or send carries a proof: blocks and counts of the watch, alerts, the
-- work of rotation, the processor's events and customers, incidents.

ALTER TABLE watch_blocks ADD COLUMN order_proof BLOB CHECK (length(order_proof) = 33); -- of what was decided, HMAC-SHA-256; keyed hash
ALTER TABLE watch_blocks ADD COLUMN lift_proof BLOB CHECK (length(lift_proof) = 33); -- that it was lifted, HMAC-SHA-256; keyed hash

-- What was counted before has no proof; it counts anew.
DELETE FROM watch_buckets;
ALTER TABLE watch_buckets ADD COLUMN order_proof BLOB CHECK (length(order_proof) = 33); -- of what was counted, HMAC-SHA-256; keyed hash

-- An alert is told once by a tag that only our processes can make: a row that somebody else puts
-- there stands in no alert's way.
CREATE TABLE alerts_with_proofs (
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
    order_proof     BLOB    CHECK (length(order_proof) = 33),                         -- of what is told, HMAC-SHA-256; keyed hash
    window_mac      BLOB    UNIQUE CHECK (length(window_mac) = 33)                    -- of name, subject and window, HMAC-SHA-256; keyed hash
) STRICT;
CREATE TABLE alert_deliveries_of_before (
    alert_id       TEXT    NOT NULL, -- what is told; clear
    destination    TEXT    NOT NULL, -- who is told: a webhook's name or an address; clear
    status         TEXT    NOT NULL, -- how far it is; clear
    attempts       INTEGER NOT NULL, -- how often it was tried, count; clear
    answer         TEXT,             -- how the last try ended: a status code or a reason; clear
    lease_until_ms INTEGER,          -- till when somebody is at work on it, or it rests, ms; clear
    updated_at_ms  INTEGER NOT NULL, -- when it was last tried, ms; clear
    lease_token    INTEGER           -- of the worker that holds the lease, random; clear
) STRICT;
INSERT INTO alerts_with_proofs (id, name, severity, subject, seen, next_step, node, window_start_ms, times, raised_at_ms, last_at_ms, routed_at_ms)
SELECT id, name, severity, subject, seen, next_step, node, window_start_ms, times, raised_at_ms, last_at_ms, routed_at_ms FROM alerts;
INSERT INTO alert_deliveries_of_before (alert_id, destination, status, attempts, answer, lease_until_ms, updated_at_ms, lease_token)
SELECT alert_id, destination, status, attempts, answer, lease_until_ms, updated_at_ms, lease_token FROM alert_deliveries;
DROP TABLE alert_deliveries;
DROP TABLE alerts;
ALTER TABLE alerts_with_proofs RENAME TO alerts;
CREATE INDEX alerts_by_time ON alerts (raised_at_ms);
CREATE INDEX alerts_unrouted ON alerts (id) WHERE routed_at_ms IS NULL;
CREATE TABLE alert_deliveries (
    alert_id       TEXT    NOT NULL REFERENCES alerts (id),                             -- what is told; clear
    destination    TEXT    NOT NULL CHECK (length(destination) BETWEEN 1 AND 320),      -- who is told: a webhook's name or an address; clear
    status         TEXT    NOT NULL CHECK (status IN ('due', 'delivered', 'given_up')), -- how far it is; clear
    attempts       INTEGER NOT NULL CHECK (attempts >= 0),                              -- how often it was tried, count; clear
    answer         TEXT    CHECK (length(answer) BETWEEN 1 AND 64),                     -- how the last try ended: a status code or a reason; clear
    lease_until_ms INTEGER CHECK (lease_until_ms >= 0),                                 -- till when somebody is at work on it, or it rests, ms; clear
    updated_at_ms  INTEGER NOT NULL CHECK (updated_at_ms >= 0),                         -- when it was last tried, ms; clear
    lease_token    INTEGER CHECK (lease_token > 0),                                     -- of the worker that holds the lease, random; clear
    PRIMARY KEY (alert_id, destination),
    CHECK ((status = 'due') = (lease_until_ms IS NOT NULL))
) STRICT;
INSERT INTO alert_deliveries (alert_id, destination, status, attempts, answer, lease_until_ms, updated_at_ms, lease_token)
SELECT alert_id, destination, status, attempts, answer, lease_until_ms, updated_at_ms, lease_token FROM alert_deliveries_of_before;
DROP TABLE alert_deliveries_of_before;
CREATE INDEX alert_deliveries_due ON alert_deliveries (destination, lease_until_ms) WHERE lease_until_ms IS NOT NULL;

-- Work that cannot be done ends as failed, and so does work that nobody has ordered.
CREATE TABLE key_jobs_that_fail (
    id             TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64), -- the kind and when it was asked for; clear
    kind           TEXT    NOT NULL CHECK (kind IN ('rewrap', 'reseal')),            -- data keys to another KEK, or values to other data keys; clear
    state          TEXT    NOT NULL CHECK (state IN ('running', 'done', 'failed')),  -- whether there is work left; clear
    after_id       TEXT    NOT NULL CHECK (length(after_id) <= 64),                  -- the last row that was looked at; clear
    done           INTEGER NOT NULL CHECK (done >= 0),                               -- rows moved, count; clear
    total          INTEGER NOT NULL CHECK (total >= 0),                              -- rows there were when it was asked for, count; clear
    rows_per_s_max INTEGER NOT NULL CHECK (rows_per_s_max > 0),                      -- how fast it may go, rows each second; clear
    lease_until_ms INTEGER NOT NULL CHECK (lease_until_ms >= 0),                     -- till when a node is at work on it, ms; clear
    node           TEXT    CHECK (length(node) BETWEEN 1 AND 255),                   -- that node; clear
    created_at_ms  INTEGER NOT NULL CHECK (created_at_ms >= 0),                      -- when it was asked for, ms; clear
    finished_at_ms INTEGER CHECK (finished_at_ms >= 0),                              -- when nothing was left, ms; clear
    failure        TEXT    CHECK (length(failure) BETWEEN 1 AND 1024),               -- why it failed; clear
    order_proof    BLOB    CHECK (length(order_proof) = 33),                         -- of what was asked for, HMAC-SHA-256; keyed hash
    CHECK ((state <> 'running') = (finished_at_ms IS NOT NULL)),
    CHECK ((state = 'failed') = (failure IS NOT NULL))
) STRICT;
INSERT INTO key_jobs_that_fail (id, kind, state, after_id, done, total, rows_per_s_max, lease_until_ms, node, created_at_ms, finished_at_ms)
SELECT id, kind, state, after_id, done, total, rows_per_s_max, lease_until_ms, node, created_at_ms, finished_at_ms FROM key_jobs;
DROP TABLE key_jobs;
ALTER TABLE key_jobs_that_fail RENAME TO key_jobs;
CREATE UNIQUE INDEX key_jobs_running ON key_jobs (kind) WHERE state = 'running';

ALTER TABLE processor_events ADD COLUMN order_proof BLOB CHECK (length(order_proof) = 33); -- that its signature held, and of what it says, HMAC-SHA-256; keyed hash
ALTER TABLE processor_customers ADD COLUMN order_proof BLOB CHECK (length(order_proof) = 33); -- of whose customer it is, HMAC-SHA-256; keyed hash
ALTER TABLE incidents ADD COLUMN order_proof BLOB CHECK (length(order_proof) = 33); -- of what it is called, HMAC-SHA-256; keyed hash
