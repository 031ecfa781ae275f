-- Reports of abuse or an incident, from anybody (PCI DSS 12.10.5: alerts may come from outside).

CREATE TABLE reports (
    id            TEXT   NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),
    about         TEXT   NOT NULL CHECK (about IN ('abuse', 'incident', 'vulnerability', 'other')),
    message       TEXT   NOT NULL CHECK (length(message) BETWEEN 1 AND 8000),
    contact       TEXT   CHECK (length(contact) BETWEEN 1 AND 320),
    origin        TEXT   NOT NULL CHECK (length(origin) BETWEEN 1 AND 64),
    created_at_ms BIGINT NOT NULL CHECK (created_at_ms >= 0)
);
COMMENT ON TABLE reports IS 'Reports of abuse or an incident, from anybody.';
COMMENT ON COLUMN reports.id IS 'TypeID; clear';
COMMENT ON COLUMN reports.about IS 'what kind it is; clear';
COMMENT ON COLUMN reports.message IS 'what is reported, searched for card numbers; clear';
COMMENT ON COLUMN reports.contact IS 'where to answer, if the reporter says; clear';
COMMENT ON COLUMN reports.origin IS 'the address it came from; clear';
COMMENT ON COLUMN reports.created_at_ms IS 'when it came, ms; clear';

CREATE INDEX reports_by_time ON reports (created_at_ms);

CREATE FUNCTION reports_content() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'reports: what was reported does not change';
END
$$;
CREATE TRIGGER reports_content BEFORE UPDATE ON reports
    FOR EACH ROW
    EXECUTE FUNCTION reports_content();

-- The capture plane takes reports and counts them; what they say only the internal plane reads.
GRANT INSERT, SELECT (origin, created_at_ms) ON reports TO cloakroom_capture;
GRANT INSERT, SELECT ON reports TO cloakroom_internal;
