-- The audit log as an append-only Merkle log (RFC 6962): the order of its events, and what was signed.

CREATE TABLE audit_pending (
    place    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id TEXT   NOT NULL UNIQUE CHECK (length(event_id) BETWEEN 1 AND 64),
    at_ms    BIGINT NOT NULL CHECK (at_ms >= 0),
    leaf     BYTEA  NOT NULL CHECK (octet_length(leaf) = 32),
    seq      BIGINT CHECK (seq >= 0)
);
COMMENT ON TABLE audit_pending IS 'Each event with its leaf, from its own transaction until a copy of a checkpoint over it stands outside of this database.';
COMMENT ON COLUMN audit_pending.place IS 'the order of arrival; clear';
COMMENT ON COLUMN audit_pending.event_id IS 'the event; clear';
COMMENT ON COLUMN audit_pending.at_ms IS 'when it was, ms; clear';
COMMENT ON COLUMN audit_pending.leaf IS 'its leaf hash, SHA-256; clear';
COMMENT ON COLUMN audit_pending.seq IS 'its place in the log, when it has one; clear';

CREATE INDEX audit_pending_next ON audit_pending (place) WHERE seq IS NULL;
CREATE INDEX audit_pending_by_seq ON audit_pending (seq) WHERE seq IS NOT NULL;

CREATE TABLE audit_log (
    seq      BIGINT NOT NULL PRIMARY KEY CHECK (seq >= 0),
    event_id TEXT   NOT NULL UNIQUE CHECK (length(event_id) BETWEEN 1 AND 64),
    leaf     BYTEA  NOT NULL CHECK (octet_length(leaf) = 32)
);
COMMENT ON TABLE audit_log IS 'The order of the events. Append-only (10.3.2).';
COMMENT ON COLUMN audit_log.seq IS 'its place, counted from 0; clear';
COMMENT ON COLUMN audit_log.event_id IS 'the event; clear';
COMMENT ON COLUMN audit_log.leaf IS 'its leaf hash, SHA-256; clear';

CREATE TABLE audit_checkpoints (
    size  BIGINT NOT NULL PRIMARY KEY CHECK (size > 0),
    note  TEXT   NOT NULL CHECK (length(note) BETWEEN 1 AND 4096),
    at_ms BIGINT NOT NULL CHECK (at_ms >= 0)
);
COMMENT ON TABLE audit_checkpoints IS 'What was signed of the log. Append-only (10.3.2).';
COMMENT ON COLUMN audit_checkpoints.size IS 'events under it; clear';
COMMENT ON COLUMN audit_checkpoints.note IS 'the signed note, C2SP tlog-checkpoint; clear';
COMMENT ON COLUMN audit_checkpoints.at_ms IS 'when it was signed, ms; clear';

CREATE FUNCTION audit_log_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%: append-only', TG_TABLE_NAME;
END
$$;
CREATE TRIGGER audit_log_rows BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW
    EXECUTE FUNCTION audit_log_append_only();
CREATE TRIGGER audit_log_table BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT
    EXECUTE FUNCTION audit_log_append_only();
CREATE TRIGGER audit_checkpoints_rows BEFORE UPDATE OR DELETE ON audit_checkpoints
    FOR EACH ROW
    EXECUTE FUNCTION audit_log_append_only();
CREATE TRIGGER audit_checkpoints_table BEFORE TRUNCATE ON audit_checkpoints
    FOR EACH STATEMENT
    EXECUTE FUNCTION audit_log_append_only();

CREATE TABLE audit_head (
    id             BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    size           BIGINT NOT NULL CHECK (size >= 0),
    peaks          BYTEA  NOT NULL CHECK (octet_length(peaks) % 32 = 0),
    node           TEXT   CHECK (length(node) BETWEEN 1 AND 255),
    lease_until_ms BIGINT NOT NULL CHECK (lease_until_ms >= 0)
);
COMMENT ON TABLE audit_head IS 'How far the log is, and who appends to it.';
COMMENT ON COLUMN audit_head.id IS 'there is one row; clear';
COMMENT ON COLUMN audit_head.size IS 'events in the log; clear';
COMMENT ON COLUMN audit_head.peaks IS 'roots of its complete subtrees, largest first; clear';
COMMENT ON COLUMN audit_head.node IS 'who appends; clear';
COMMENT ON COLUMN audit_head.lease_until_ms IS 'till when nobody else does, ms; clear';
INSERT INTO audit_head (id, size, peaks, lease_until_ms) VALUES (1, 0, '', 0);

CREATE TABLE audit_sinks (
    name    TEXT   NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 512),
    size    BIGINT NOT NULL CHECK (size >= 0),
    held_ms BIGINT NOT NULL CHECK (held_ms >= 0)
);
COMMENT ON TABLE audit_sinks IS 'How far the copies outside of this database are.';
COMMENT ON COLUMN audit_sinks.name IS 'the node and the place; clear';
COMMENT ON COLUMN audit_sinks.size IS 'of the newest checkpoint that it holds; clear';
COMMENT ON COLUMN audit_sinks.held_ms IS 'when it took that one, ms; clear';

-- Whoever acts hands its event in. Only the internal plane gives it its place, and nobody takes it
-- away again.
GRANT INSERT ON audit_pending TO cloakroom_capture, cloakroom_internal, cloakroom_audit;
GRANT SELECT (place, at_ms) ON audit_pending TO cloakroom_capture;
GRANT SELECT, UPDATE (seq), DELETE ON audit_pending TO cloakroom_internal;
GRANT SELECT, INSERT ON audit_log, audit_checkpoints TO cloakroom_internal;
GRANT SELECT, UPDATE ON audit_head TO cloakroom_internal;
GRANT SELECT, INSERT, UPDATE ON audit_sinks TO cloakroom_internal;

-- Whoever reads the log reads nothing else, and leaves word of it.
GRANT SELECT ON audit_pending, audit_log, audit_checkpoints, audit_head, audit_sinks, _sqlx_migrations TO cloakroom_audit;
GRANT INSERT ON audit_events TO cloakroom_audit;
GRANT SELECT, INSERT, UPDATE ON write_probe TO cloakroom_audit;
