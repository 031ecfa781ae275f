-- Rotation of keys: the signed manifest, who holds which key, and the work of moving values
-- (PCI DSS 3.7.4, 3.7.5).

CREATE TABLE key_manifests (
    version       BIGINT NOT NULL PRIMARY KEY CHECK (version > 0),
    jws           TEXT   NOT NULL CHECK (length(jws) BETWEEN 1 AND 262144),
    created_at_ms BIGINT NOT NULL CHECK (created_at_ms >= 0)
);
COMMENT ON TABLE key_manifests IS 'Which key-encryption keys there are and what each may do, signed.';
COMMENT ON COLUMN key_manifests.version IS 'which one, counted from 1; clear';
COMMENT ON COLUMN key_manifests.jws IS 'the manifest under its signature, JWS; clear';
COMMENT ON COLUMN key_manifests.created_at_ms IS 'when it was written, ms; clear';

CREATE TABLE kek_holders (
    node       TEXT   NOT NULL CHECK (length(node) BETWEEN 1 AND 255),
    kek        TEXT   NOT NULL CHECK (length(kek) BETWEEN 1 AND 64),
    seen_at_ms BIGINT NOT NULL CHECK (seen_at_ms >= 0),
    PRIMARY KEY (node, kek)
);
COMMENT ON TABLE kek_holders IS 'Which process can open with which key-encryption key.';
COMMENT ON COLUMN kek_holders.node IS 'the process''s name in its configuration; clear';
COMMENT ON COLUMN kek_holders.kek IS 'the key-encryption key it can open with; clear';
COMMENT ON COLUMN kek_holders.seen_at_ms IS 'when it last said so, ms; clear';

CREATE TABLE key_jobs (
    id             TEXT   NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),
    kind           TEXT   NOT NULL CHECK (kind IN ('rewrap', 'reseal')),
    state          TEXT   NOT NULL CHECK (state IN ('running', 'done')),
    after_id       TEXT   NOT NULL CHECK (length(after_id) <= 64),
    done           BIGINT NOT NULL CHECK (done >= 0),
    total          BIGINT NOT NULL CHECK (total >= 0),
    rows_per_s_max BIGINT NOT NULL CHECK (rows_per_s_max > 0),
    lease_until_ms BIGINT NOT NULL CHECK (lease_until_ms >= 0),
    node           TEXT   CHECK (length(node) BETWEEN 1 AND 255),
    created_at_ms  BIGINT NOT NULL CHECK (created_at_ms >= 0),
    finished_at_ms BIGINT CHECK (finished_at_ms >= 0),
    CHECK ((state = 'done') = (finished_at_ms IS NOT NULL))
);
COMMENT ON TABLE key_jobs IS 'The work of moving data keys to another KEK, and values to other data keys.';
COMMENT ON COLUMN key_jobs.id IS 'the kind and when it was asked for; clear';
COMMENT ON COLUMN key_jobs.kind IS 'data keys to another KEK, or values to other data keys; clear';
COMMENT ON COLUMN key_jobs.state IS 'whether there is work left; clear';
COMMENT ON COLUMN key_jobs.after_id IS 'the last row that was looked at; clear';
COMMENT ON COLUMN key_jobs.done IS 'rows moved, count; clear';
COMMENT ON COLUMN key_jobs.total IS 'rows there were when it was asked for, count; clear';
COMMENT ON COLUMN key_jobs.rows_per_s_max IS 'how fast it may go, rows each second; clear';
COMMENT ON COLUMN key_jobs.lease_until_ms IS 'till when a node is at work on it, ms; clear';
COMMENT ON COLUMN key_jobs.node IS 'that node; clear';
COMMENT ON COLUMN key_jobs.created_at_ms IS 'when it was asked for, ms; clear';
COMMENT ON COLUMN key_jobs.finished_at_ms IS 'when nothing was left, ms; clear';

CREATE UNIQUE INDEX key_jobs_running ON key_jobs (kind) WHERE state = 'running';

-- The capture plane reads which key to wrap to, and cannot say so itself.
GRANT SELECT ON key_manifests TO cloakroom_capture, cloakroom_internal;
GRANT INSERT ON key_manifests TO cloakroom_internal;
GRANT SELECT, INSERT, UPDATE, DELETE ON kek_holders TO cloakroom_internal;
GRANT SELECT, INSERT, UPDATE ON key_jobs TO cloakroom_internal;
GRANT UPDATE (kek, wrapped), DELETE ON data_keys TO cloakroom_internal;
