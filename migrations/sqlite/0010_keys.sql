-- Rotation of keys: the signed manifest, who holds which key, and the work of moving values
-- (PCI DSS 3.7.4, 3.7.5).

CREATE TABLE key_manifests (
    version       INTEGER NOT NULL PRIMARY KEY CHECK (version > 0),          -- which one, counted from 1; clear
    jws           TEXT    NOT NULL CHECK (length(jws) BETWEEN 1 AND 262144), -- the manifest under its signature, JWS; clear
    created_at_ms INTEGER NOT NULL CHECK (created_at_ms >= 0)                -- when it was written, ms; clear
) STRICT;

CREATE TRIGGER key_manifests_update BEFORE UPDATE ON key_manifests
BEGIN
    SELECT RAISE(ABORT, 'key_manifests: append-only');
END;

CREATE TRIGGER key_manifests_delete BEFORE DELETE ON key_manifests
BEGIN
    SELECT RAISE(ABORT, 'key_manifests: append-only');
END;

CREATE TABLE kek_holders (
    node       TEXT    NOT NULL CHECK (length(node) BETWEEN 1 AND 255), -- the process's name in its configuration; clear
    kek        TEXT    NOT NULL CHECK (length(kek) BETWEEN 1 AND 64),   -- the key-encryption key it can open with; clear
    seen_at_ms INTEGER NOT NULL CHECK (seen_at_ms >= 0),                -- when it last said so, ms; clear
    PRIMARY KEY (node, kek)
) STRICT;

CREATE TABLE key_jobs (
    id             TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),        -- the kind and when it was asked for; clear
    kind           TEXT    NOT NULL CHECK (kind IN ('rewrap', 'reseal')),                   -- data keys to another KEK, or values to other data keys; clear
    state          TEXT    NOT NULL CHECK (state IN ('running', 'done')),                   -- whether there is work left; clear
    after_id       TEXT    NOT NULL CHECK (length(after_id) <= 64),                         -- the last row that was looked at; clear
    done           INTEGER NOT NULL CHECK (done >= 0),                                      -- rows moved, count; clear
    total          INTEGER NOT NULL CHECK (total >= 0),                                     -- rows there were when it was asked for, count; clear
    rows_per_s_max INTEGER NOT NULL CHECK (rows_per_s_max > 0),                             -- how fast it may go, rows each second; clear
    lease_until_ms INTEGER NOT NULL CHECK (lease_until_ms >= 0),                            -- till when a node is at work on it, ms; clear
    node           TEXT    CHECK (length(node) BETWEEN 1 AND 255),                          -- that node; clear
    created_at_ms  INTEGER NOT NULL CHECK (created_at_ms >= 0),                             -- when it was asked for, ms; clear
    finished_at_ms INTEGER CHECK (finished_at_ms >= 0),                                     -- when nothing was left, ms; clear
    CHECK ((state = 'done') = (finished_at_ms IS NOT NULL))
) STRICT;

-- One of a kind at a time.
CREATE UNIQUE INDEX key_jobs_running ON key_jobs (kind) WHERE state = 'running';
