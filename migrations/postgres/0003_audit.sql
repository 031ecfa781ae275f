-- The audit log, and the row that shows that writes are durable.

CREATE TABLE audit_events (
    id         TEXT   NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),
    at_ms      BIGINT NOT NULL CHECK (at_ms >= 0),
    actor_kind TEXT   NOT NULL CHECK (actor_kind IN ('client', 'session', 'operator', 'processor', 'process', 'unidentified')),
    actor      TEXT   CHECK (length(actor) BETWEEN 1 AND 1024),
    action     TEXT   NOT NULL CHECK (action ~ '^[a-z]+[.][a-z_]+$'),
    outcome    TEXT   NOT NULL CHECK (outcome IN ('success', 'refused', 'failed')),
    account    TEXT   CHECK (length(account) BETWEEN 1 AND 64),
    subject    TEXT   CHECK (length(subject) BETWEEN 1 AND 1024),
    origin     TEXT   NOT NULL CHECK (length(origin) BETWEEN 1 AND 255),
    node       TEXT   NOT NULL CHECK (length(node) BETWEEN 1 AND 255),
    request_id TEXT   CHECK (length(request_id) BETWEEN 1 AND 255),
    CHECK ((actor IS NULL) = (actor_kind IN ('process', 'unidentified')))
);
COMMENT ON TABLE audit_events IS 'The audit log, with the fields of PCI DSS 10.2.2. Append-only (10.3.2).';
COMMENT ON COLUMN audit_events.id IS 'TypeID; clear';
COMMENT ON COLUMN audit_events.at_ms IS 'when, ms; clear';
COMMENT ON COLUMN audit_events.actor_kind IS 'what kind of actor; clear';
COMMENT ON COLUMN audit_events.actor IS 'which one of its kind; clear';
COMMENT ON COLUMN audit_events.action IS 'what was done; clear';
COMMENT ON COLUMN audit_events.outcome IS 'whether it was done; clear';
COMMENT ON COLUMN audit_events.account IS 'whose data; clear';
COMMENT ON COLUMN audit_events.subject IS 'id of the affected data; clear';
COMMENT ON COLUMN audit_events.origin IS 'peer address, or "-"; clear';
COMMENT ON COLUMN audit_events.node IS 'which process saw it; clear';
COMMENT ON COLUMN audit_events.request_id IS 'the request it belongs to; clear';

CREATE INDEX audit_events_by_time ON audit_events (at_ms);

CREATE FUNCTION audit_events_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_events: append-only';
END
$$;
CREATE TRIGGER audit_events_rows BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW
    EXECUTE FUNCTION audit_events_append_only();
CREATE TRIGGER audit_events_table BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT
    EXECUTE FUNCTION audit_events_append_only();

CREATE TABLE write_probe (
    id            BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    written_at_ms BIGINT NOT NULL CHECK (written_at_ms >= 0)
);
COMMENT ON TABLE write_probe IS 'One row, rewritten by each probe: a process that cannot write is not ready.';
COMMENT ON COLUMN write_probe.id IS 'there is one row; clear';
COMMENT ON COLUMN write_probe.written_at_ms IS 'when it was last written, ms; clear';

