-- Which process wrote an audit event, with a proof of it; and what a copy of a checkpoint needs, so that
-- the log can be held against it without being read from its first event.

ALTER TABLE audit_events ADD COLUMN writer TEXT CHECK (writer IN ('internal', 'capture', 'unproven'));  -- what kind of process wrote it; clear
ALTER TABLE audit_pending ADD COLUMN proof BLOB CHECK (length(proof) = 33);                                  -- of the leaf by its writer, HMAC-SHA-256; keyed hash
ALTER TABLE audit_checkpoints ADD COLUMN peaks BLOB CHECK (length(peaks) % 32 = 0);                          -- roots of the complete subtrees under it, largest first; clear
ALTER TABLE audit_head ADD COLUMN writers_after INTEGER NOT NULL DEFAULT 0 CHECK (writers_after >= 0);       -- the last place in audit_pending whose event was written before events named their writer; clear
UPDATE audit_head SET writers_after = (SELECT COALESCE(MAX(place), 0) FROM audit_pending WHERE seq IS NULL);
