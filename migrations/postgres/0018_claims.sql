-- What else makes a process act or send carries a proof: blocks and counts of the watch, alerts, the
-- work of rotation, the processor's events and customers, incidents.

ALTER TABLE watch_blocks ADD COLUMN order_proof BYTEA CHECK (octet_length(order_proof) = 33);
COMMENT ON COLUMN watch_blocks.order_proof IS 'of what was decided, HMAC-SHA-256; keyed hash';
ALTER TABLE watch_blocks ADD COLUMN lift_proof BYTEA CHECK (octet_length(lift_proof) = 33);
COMMENT ON COLUMN watch_blocks.lift_proof IS 'that it was lifted, HMAC-SHA-256; keyed hash';
GRANT UPDATE (lift_proof) ON watch_blocks TO cloakroom_internal;

-- What was counted before has no proof; it counts anew.
DELETE FROM watch_buckets;
ALTER TABLE watch_buckets ADD COLUMN order_proof BYTEA CHECK (octet_length(order_proof) = 33);
COMMENT ON COLUMN watch_buckets.order_proof IS 'of what was counted, HMAC-SHA-256; keyed hash';
GRANT UPDATE (order_proof) ON watch_buckets TO cloakroom_capture;

-- An alert is told once by a tag that only our processes can make: a row that somebody else puts
-- there stands in no alert's way.
ALTER TABLE alerts DROP CONSTRAINT alerts_name_subject_window_start_ms_key;
ALTER TABLE alerts ADD COLUMN order_proof BYTEA CHECK (octet_length(order_proof) = 33);
COMMENT ON COLUMN alerts.order_proof IS 'of what is told, HMAC-SHA-256; keyed hash';
ALTER TABLE alerts ADD COLUMN window_mac BYTEA UNIQUE CHECK (octet_length(window_mac) = 33);
COMMENT ON COLUMN alerts.window_mac IS 'of name, subject and window, HMAC-SHA-256; keyed hash';
REVOKE INSERT ON alerts FROM cloakroom_capture;
GRANT INSERT (id, name, severity, subject, seen, next_step, node, window_start_ms, times, raised_at_ms, last_at_ms, order_proof, window_mac) ON alerts TO cloakroom_capture;

-- Work that cannot be done ends as failed, and so does work that nobody has ordered.
ALTER TABLE key_jobs DROP CONSTRAINT key_jobs_state_check;
ALTER TABLE key_jobs DROP CONSTRAINT key_jobs_check;
ALTER TABLE key_jobs ADD CONSTRAINT key_jobs_state_check CHECK (state IN ('running', 'done', 'failed'));
ALTER TABLE key_jobs ADD CONSTRAINT key_jobs_check CHECK ((state <> 'running') = (finished_at_ms IS NOT NULL));
ALTER TABLE key_jobs ADD COLUMN failure TEXT CHECK (length(failure) BETWEEN 1 AND 1024);
COMMENT ON COLUMN key_jobs.failure IS 'why it failed; clear';
ALTER TABLE key_jobs ADD CONSTRAINT key_jobs_check1 CHECK ((state = 'failed') = (failure IS NOT NULL));
ALTER TABLE key_jobs ADD COLUMN order_proof BYTEA CHECK (octet_length(order_proof) = 33);
COMMENT ON COLUMN key_jobs.order_proof IS 'of what was asked for, HMAC-SHA-256; keyed hash';

ALTER TABLE processor_events ADD COLUMN order_proof BYTEA CHECK (octet_length(order_proof) = 33);
COMMENT ON COLUMN processor_events.order_proof IS 'that its signature held, and of what it says, HMAC-SHA-256; keyed hash';
ALTER TABLE processor_customers ADD COLUMN order_proof BYTEA CHECK (octet_length(order_proof) = 33);
COMMENT ON COLUMN processor_customers.order_proof IS 'of whose customer it is, HMAC-SHA-256; keyed hash';
ALTER TABLE incidents ADD COLUMN order_proof BYTEA CHECK (octet_length(order_proof) = 33);
COMMENT ON COLUMN incidents.order_proof IS 'of what it is called, HMAC-SHA-256; keyed hash';
