-- Watch and alerts (PCI DSS 10.4, 10.7, 11.5, 12.10): what was counted, whom a rule stopped, and who
-- is to be told. Nothing here is computed from a card number.

CREATE TABLE alerts (
    id              TEXT   NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),
    name            TEXT   NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    severity        TEXT   NOT NULL CHECK (severity IN ('page', 'ticket')),
    subject         TEXT   NOT NULL CHECK (length(subject) BETWEEN 1 AND 1024),
    seen            TEXT   NOT NULL CHECK (length(seen) BETWEEN 1 AND 1024),
    next_step       TEXT   NOT NULL CHECK (length(next_step) BETWEEN 1 AND 1024),
    node            TEXT   NOT NULL CHECK (length(node) BETWEEN 1 AND 255),
    window_start_ms BIGINT NOT NULL CHECK (window_start_ms >= 0),
    times           BIGINT NOT NULL CHECK (times >= 1),
    raised_at_ms    BIGINT NOT NULL CHECK (raised_at_ms >= 0),
    last_at_ms      BIGINT NOT NULL CHECK (last_at_ms >= 0),
    routed_at_ms    BIGINT CHECK (routed_at_ms >= 0),
    UNIQUE (name, subject, window_start_ms)
);
COMMENT ON TABLE alerts IS 'What the operator is told, once for each name and subject in each window.';
COMMENT ON COLUMN alerts.id IS 'TypeID; clear';
COMMENT ON COLUMN alerts.name IS 'what kind it is; clear';
COMMENT ON COLUMN alerts.severity IS 'whom it wakes; clear';
COMMENT ON COLUMN alerts.subject IS 'whom or what it is about; clear';
COMMENT ON COLUMN alerts.seen IS 'what was seen, in words; clear';
COMMENT ON COLUMN alerts.next_step IS 'what to do next, in words; clear';
COMMENT ON COLUMN alerts.node IS 'which process saw it first; clear';
COMMENT ON COLUMN alerts.window_start_ms IS 'the window in which it is told once, ms; clear';
COMMENT ON COLUMN alerts.times IS 'how often it was seen in the window, count; clear';
COMMENT ON COLUMN alerts.raised_at_ms IS 'when it was first seen, ms; clear';
COMMENT ON COLUMN alerts.last_at_ms IS 'when it was last seen, ms; clear';
COMMENT ON COLUMN alerts.routed_at_ms IS 'when its deliveries were made, ms; clear';

CREATE INDEX alerts_by_time ON alerts (raised_at_ms);
CREATE INDEX alerts_unrouted ON alerts (id) WHERE routed_at_ms IS NULL;

CREATE TABLE alert_deliveries (
    alert_id       TEXT   NOT NULL REFERENCES alerts (id),
    destination    TEXT   NOT NULL CHECK (length(destination) BETWEEN 1 AND 320),
    status         TEXT   NOT NULL CHECK (status IN ('due', 'delivered', 'given_up')),
    attempts       BIGINT NOT NULL CHECK (attempts >= 0),
    answer         TEXT   CHECK (length(answer) BETWEEN 1 AND 64),
    lease_until_ms BIGINT CHECK (lease_until_ms >= 0),
    updated_at_ms  BIGINT NOT NULL CHECK (updated_at_ms >= 0),
    PRIMARY KEY (alert_id, destination),
    CHECK ((status = 'due') = (lease_until_ms IS NOT NULL))
);
COMMENT ON TABLE alert_deliveries IS 'Who is still to be told of what.';
COMMENT ON COLUMN alert_deliveries.alert_id IS 'what is told; clear';
COMMENT ON COLUMN alert_deliveries.destination IS 'who is told: a webhook''s name or an address; clear';
COMMENT ON COLUMN alert_deliveries.status IS 'how far it is; clear';
COMMENT ON COLUMN alert_deliveries.attempts IS 'how often it was tried, count; clear';
COMMENT ON COLUMN alert_deliveries.answer IS 'how the last try ended: a status code or a reason; clear';
COMMENT ON COLUMN alert_deliveries.lease_until_ms IS 'till when somebody is at work on it, or it rests, ms; clear';
COMMENT ON COLUMN alert_deliveries.updated_at_ms IS 'when it was last tried, ms; clear';

CREATE INDEX alert_deliveries_due ON alert_deliveries (destination, lease_until_ms) WHERE lease_until_ms IS NOT NULL;

CREATE TABLE watch_buckets (
    process       TEXT   NOT NULL CHECK (length(process) BETWEEN 1 AND 64),
    rule          TEXT   NOT NULL CHECK (length(rule) BETWEEN 1 AND 64),
    subject       TEXT   NOT NULL CHECK (length(subject) BETWEEN 1 AND 1024),
    bucket_ms     BIGINT NOT NULL CHECK (bucket_ms >= 0),
    events        BIGINT NOT NULL CHECK (events >= 0),
    hits          BIGINT NOT NULL CHECK (hits >= 0 AND hits <= events),
    updated_at_ms BIGINT NOT NULL CHECK (updated_at_ms >= 0),
    PRIMARY KEY (process, rule, subject, bucket_ms)
);
COMMENT ON TABLE watch_buckets IS 'What each process counted, for the others.';
COMMENT ON COLUMN watch_buckets.process IS 'who counted, a name for this run; clear';
COMMENT ON COLUMN watch_buckets.rule IS 'for which rule; clear';
COMMENT ON COLUMN watch_buckets.subject IS 'about whom: an address, a shop, a client, a customer; clear';
COMMENT ON COLUMN watch_buckets.bucket_ms IS 'when the bucket begins, ms; clear';
COMMENT ON COLUMN watch_buckets.events IS 'what happened, count; clear';
COMMENT ON COLUMN watch_buckets.hits IS 'how much of it speaks against the subject, count; clear';
COMMENT ON COLUMN watch_buckets.updated_at_ms IS 'when it was last written, ms; clear';

CREATE INDEX watch_buckets_by_time ON watch_buckets (updated_at_ms);

CREATE TABLE watch_blocks (
    id           TEXT   NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),
    rule         TEXT   NOT NULL CHECK (length(rule) BETWEEN 1 AND 64),
    subject      TEXT   NOT NULL CHECK (length(subject) BETWEEN 1 AND 1024),
    action       TEXT   NOT NULL CHECK (action IN ('challenge', 'throttle', 'block')),
    node         TEXT   NOT NULL CHECK (length(node) BETWEEN 1 AND 255),
    placed_at_ms BIGINT NOT NULL CHECK (placed_at_ms >= 0),
    ends_at_ms   BIGINT CHECK (ends_at_ms > placed_at_ms),
    lifted_at_ms BIGINT CHECK (lifted_at_ms >= placed_at_ms),
    lifted_by    TEXT   CHECK (length(lifted_by) BETWEEN 1 AND 255),
    CHECK ((lifted_at_ms IS NULL) = (lifted_by IS NULL))
);
COMMENT ON TABLE watch_blocks IS 'Whom a rule stopped, and who let them go.';
COMMENT ON COLUMN watch_blocks.id IS 'TypeID; clear';
COMMENT ON COLUMN watch_blocks.rule IS 'which rule; clear';
COMMENT ON COLUMN watch_blocks.subject IS 'whom: an address, a shop, a client, a customer; clear';
COMMENT ON COLUMN watch_blocks.action IS 'what is done to them; clear';
COMMENT ON COLUMN watch_blocks.node IS 'which process decided it; clear';
COMMENT ON COLUMN watch_blocks.placed_at_ms IS 'from when on, ms; clear';
COMMENT ON COLUMN watch_blocks.ends_at_ms IS 'till when; NULL: till it is lifted, ms; clear';
COMMENT ON COLUMN watch_blocks.lifted_at_ms IS 'when somebody lifted it, ms; clear';
COMMENT ON COLUMN watch_blocks.lifted_by IS 'who lifted it; clear';

CREATE INDEX watch_blocks_by_time ON watch_blocks (placed_at_ms);

CREATE FUNCTION watch_blocks_content() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'watch_blocks: what was decided does not change';
END
$$;
CREATE TRIGGER watch_blocks_content BEFORE UPDATE OF id, rule, subject, action, node, placed_at_ms, ends_at_ms ON watch_blocks
    FOR EACH ROW
    EXECUTE FUNCTION watch_blocks_content();

ALTER TABLE sessions ADD COLUMN shopper_verified BOOLEAN NOT NULL DEFAULT FALSE;
COMMENT ON COLUMN sessions.shopper_verified IS 'whether the merchant verified the shopper for this session; clear';

-- The capture plane counts, stops and raises; it cannot lift a block, nor silence an alert.
GRANT INSERT, SELECT, UPDATE (times, last_at_ms) ON alerts TO cloakroom_capture;
GRANT INSERT, SELECT, UPDATE (events, hits, updated_at_ms) ON watch_buckets TO cloakroom_capture;
GRANT INSERT, SELECT ON watch_blocks TO cloakroom_capture;
GRANT SELECT, INSERT, UPDATE, DELETE ON alerts, alert_deliveries, watch_buckets TO cloakroom_internal;
GRANT SELECT, INSERT, UPDATE (lifted_at_ms, lifted_by), DELETE ON watch_blocks TO cloakroom_internal;
