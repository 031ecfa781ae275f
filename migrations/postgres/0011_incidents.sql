-- Incidents, and which customers were told of one. Addresses of customers are in no column: a
-- customer is the merchant's own name for it.

CREATE TABLE incidents (
    id             TEXT   NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),
    title          TEXT   NOT NULL CHECK (length(title) BETWEEN 1 AND 255),
    opened_by      TEXT   NOT NULL CHECK (length(opened_by) BETWEEN 1 AND 255),
    opened_at_ms   BIGINT NOT NULL CHECK (opened_at_ms >= 0),
    closed_by      TEXT   CHECK (length(closed_by) BETWEEN 1 AND 255),
    closed_at_ms   BIGINT CHECK (closed_at_ms >= opened_at_ms),
    notifier       TEXT   CHECK (length(notifier) BETWEEN 1 AND 64),
    lease_until_ms BIGINT NOT NULL CHECK (lease_until_ms >= 0),
    CHECK ((closed_by IS NULL) = (closed_at_ms IS NULL))
);
COMMENT ON TABLE incidents IS 'Incidents, from their opening to their close.';
COMMENT ON COLUMN incidents.id IS 'TypeID; clear';
COMMENT ON COLUMN incidents.title IS 'what it is called; clear';
COMMENT ON COLUMN incidents.opened_by IS 'who opened it; clear';
COMMENT ON COLUMN incidents.opened_at_ms IS 'when, ms; clear';
COMMENT ON COLUMN incidents.closed_by IS 'who closed it; clear';
COMMENT ON COLUMN incidents.closed_at_ms IS 'when, ms; clear';
COMMENT ON COLUMN incidents.notifier IS 'the run that tells customers, TypeID; clear';
COMMENT ON COLUMN incidents.lease_until_ms IS 'till when no other run does, ms; clear';

CREATE TABLE incident_notices (
    incident_id   TEXT   NOT NULL REFERENCES incidents (id),
    channel       TEXT   NOT NULL CHECK (channel IN ('mail', 'webhook')),
    account       TEXT   NOT NULL CHECK (length(account) BETWEEN 1 AND 64),
    customer_ref  TEXT   NOT NULL CHECK (length(customer_ref) BETWEEN 1 AND 1024),
    state         TEXT   NOT NULL CHECK (state IN ('waiting', 'claimed', 'told', 'refused', 'unknown', 'no_contact')),
    attempts      BIGINT NOT NULL CHECK (attempts >= 0),
    due_at_ms     BIGINT NOT NULL CHECK (due_at_ms >= 0),
    answer        TEXT   CHECK (length(answer) BETWEEN 1 AND 64),
    settled_at_ms BIGINT CHECK (settled_at_ms >= 0),
    PRIMARY KEY (incident_id, channel, account, customer_ref)
);
COMMENT ON TABLE incident_notices IS 'Which customers are told of an incident, each once.';
COMMENT ON COLUMN incident_notices.incident_id IS 'which incident; clear';
COMMENT ON COLUMN incident_notices.channel IS 'how the customer is told; clear';
COMMENT ON COLUMN incident_notices.account IS 'whose customer; clear';
COMMENT ON COLUMN incident_notices.customer_ref IS 'the merchant''s name for the customer; clear';
COMMENT ON COLUMN incident_notices.state IS 'what has become of it; clear';
COMMENT ON COLUMN incident_notices.attempts IS 'messages begun, count; clear';
COMMENT ON COLUMN incident_notices.due_at_ms IS 'not before, ms; clear';
COMMENT ON COLUMN incident_notices.answer IS 'the receiver''s word for the last attempt; clear';
COMMENT ON COLUMN incident_notices.settled_at_ms IS 'when it was told or given up, ms; clear';

CREATE INDEX incident_notices_open ON incident_notices (incident_id, channel, due_at_ms) WHERE state IN ('waiting', 'claimed');

CREATE FUNCTION incident_notices_told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'incident_notices: told once';
END
$$;
CREATE TRIGGER incident_notices_told BEFORE UPDATE ON incident_notices
    FOR EACH ROW WHEN (OLD.state = 'told')
    EXECUTE FUNCTION incident_notices_told();

-- Whoever investigates reads the log, whose tokens it tells of, and nothing that is sealed.
GRANT SELECT (id, account, customer_ref, session_id, data_key_id, created_at_ms) ON tokens TO cloakroom_audit;
GRANT SELECT (id, kek) ON data_keys TO cloakroom_audit;
GRANT SELECT (id, token_id) ON charges TO cloakroom_audit;
GRANT SELECT (id, charge_id) ON refunds TO cloakroom_audit;
GRANT SELECT, INSERT ON incidents, incident_notices TO cloakroom_audit, cloakroom_internal;
GRANT UPDATE (closed_by, closed_at_ms, notifier, lease_until_ms) ON incidents TO cloakroom_audit, cloakroom_internal;
GRANT UPDATE (state, attempts, due_at_ms, answer, settled_at_ms) ON incident_notices TO cloakroom_audit, cloakroom_internal;
