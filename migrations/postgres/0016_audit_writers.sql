-- Which process wrote an audit event, with a proof of it; and what a copy of a checkpoint needs, so that
-- the log can be held against it without being read from its first event.

ALTER TABLE audit_events ADD COLUMN writer TEXT CHECK (writer IN ('internal', 'capture', 'unproven'));
COMMENT ON COLUMN audit_events.writer IS 'what kind of process wrote it; clear';
ALTER TABLE audit_pending ADD COLUMN proof BYTEA CHECK (octet_length(proof) = 33);
COMMENT ON COLUMN audit_pending.proof IS 'of the leaf by its writer, HMAC-SHA-256; keyed hash';
ALTER TABLE audit_checkpoints ADD COLUMN peaks BYTEA CHECK (octet_length(peaks) % 32 = 0);
COMMENT ON COLUMN audit_checkpoints.peaks IS 'roots of the complete subtrees under it, largest first; clear';
ALTER TABLE audit_head ADD COLUMN writers_after BIGINT NOT NULL DEFAULT 0 CHECK (writers_after >= 0);
COMMENT ON COLUMN audit_head.writers_after IS 'the last place in audit_pending whose event was written before events named their writer; clear';
UPDATE audit_head SET writers_after = (SELECT COALESCE(MAX(place), 0) FROM audit_pending WHERE seq IS NULL);

-- Who gives places holds each event against its leaf and its writer's proof.
GRANT SELECT ON audit_events TO cloakroom_internal;
GRANT SELECT (event_id) ON audit_pending TO cloakroom_capture;
GRANT INSERT (proof) ON audit_pending TO cloakroom_capture, cloakroom_internal, cloakroom_audit;
REVOKE UPDATE ON audit_head FROM cloakroom_internal;
GRANT UPDATE (size, peaks, node, lease_until_ms) ON audit_head TO cloakroom_internal;
