-- What the processor tells, and what we tell: notices in, events and their deliveries out.

CREATE TABLE processor_notices (
    account         TEXT   NOT NULL CHECK (length(account) BETWEEN 1 AND 64),
    id              TEXT   NOT NULL CHECK (length(id) BETWEEN 1 AND 255),
    deliveries      BIGINT NOT NULL CHECK (deliveries >= 1),
    received_at_ms  BIGINT NOT NULL CHECK (received_at_ms >= 0),
    last_seen_at_ms BIGINT NOT NULL CHECK (last_seen_at_ms >= 0),
    PRIMARY KEY (account, id)
);
COMMENT ON TABLE processor_notices IS 'Which notices of the processor were taken, so that each has its effect once.';
COMMENT ON COLUMN processor_notices.account IS 'whose processor account; clear';
COMMENT ON COLUMN processor_notices.id IS 'the processor''s name of the notice; clear';
COMMENT ON COLUMN processor_notices.deliveries IS 'how often it came, count; clear';
COMMENT ON COLUMN processor_notices.received_at_ms IS 'when it first came, ms; clear';
COMMENT ON COLUMN processor_notices.last_seen_at_ms IS 'when it last came, ms; clear';

CREATE INDEX processor_notices_by_time ON processor_notices (last_seen_at_ms);

CREATE TABLE events (
    id            TEXT   NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),
    account       TEXT   NOT NULL CHECK (length(account) BETWEEN 1 AND 64),
    kind          TEXT   NOT NULL CHECK (length(kind) BETWEEN 1 AND 64),
    data          TEXT   NOT NULL CHECK (jsonb_typeof(data::jsonb) = 'object'),
    seq           BIGINT UNIQUE CHECK (seq > 0),
    created_at_ms BIGINT NOT NULL CHECK (created_at_ms >= 0)
);
COMMENT ON TABLE events IS 'What happened, for those who are told: written with what it tells of, numbered after its commit.';
COMMENT ON COLUMN events.id IS 'TypeID; clear';
COMMENT ON COLUMN events.account IS 'who is told; clear';
COMMENT ON COLUMN events.kind IS 'what happened: charge.succeeded; clear';
COMMENT ON COLUMN events.data IS 'the object as the interface shows it, JSON; clear';
COMMENT ON COLUMN events.seq IS 'place in the feed; NULL until it has one, count; clear';
COMMENT ON COLUMN events.created_at_ms IS 'when it happened, ms; clear';

CREATE INDEX events_unnumbered ON events (id) WHERE seq IS NULL;
CREATE INDEX events_of_account ON events (account, seq) WHERE seq IS NOT NULL;
CREATE INDEX events_by_time ON events (created_at_ms);

CREATE FUNCTION events_content() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events: what happened does not change';
END
$$;
CREATE TRIGGER events_content BEFORE UPDATE OF id, account, kind, data, created_at_ms ON events
    FOR EACH ROW
    EXECUTE FUNCTION events_content();
CREATE FUNCTION events_seq() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events: the place in the feed does not change';
END
$$;
CREATE TRIGGER events_seq BEFORE UPDATE OF seq ON events
    FOR EACH ROW
    WHEN (OLD.seq IS NOT NULL AND NEW.seq IS DISTINCT FROM OLD.seq)
    EXECUTE FUNCTION events_seq();

CREATE TABLE event_places (
    id       BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    last_seq BIGINT NOT NULL CHECK (last_seq >= 0)
);
COMMENT ON TABLE event_places IS 'The last place given in the feed: one row, whose lock makes the numbering one at a time.';
COMMENT ON COLUMN event_places.id IS 'always 1; clear';
COMMENT ON COLUMN event_places.last_seq IS 'the last place given, count; clear';

INSERT INTO event_places (id, last_seq) VALUES (1, 0);

CREATE TABLE deliveries (
    event_id       TEXT   NOT NULL REFERENCES events (id),
    endpoint       TEXT   NOT NULL CHECK (length(endpoint) BETWEEN 1 AND 64),
    status         TEXT   NOT NULL CHECK (status IN ('due', 'delivered', 'given_up')),
    attempts       BIGINT NOT NULL CHECK (attempts >= 0),
    answer         TEXT   CHECK (length(answer) BETWEEN 1 AND 64),
    lease_until_ms BIGINT CHECK (lease_until_ms >= 0),
    updated_at_ms  BIGINT NOT NULL CHECK (updated_at_ms >= 0),
    PRIMARY KEY (event_id, endpoint),
    CHECK ((status = 'due') = (lease_until_ms IS NOT NULL))
);
COMMENT ON TABLE deliveries IS 'Who is still to be told of what.';
COMMENT ON COLUMN deliveries.event_id IS 'what is told; clear';
COMMENT ON COLUMN deliveries.endpoint IS 'who is told: its name in the configuration; clear';
COMMENT ON COLUMN deliveries.status IS 'how far it is; clear';
COMMENT ON COLUMN deliveries.attempts IS 'how often it was tried, count; clear';
COMMENT ON COLUMN deliveries.answer IS 'how the last try ended: a status code or a reason; clear';
COMMENT ON COLUMN deliveries.lease_until_ms IS 'till when somebody is at work on it, or it rests, ms; clear';
COMMENT ON COLUMN deliveries.updated_at_ms IS 'when it was last tried, ms; clear';

CREATE INDEX deliveries_due ON deliveries (lease_until_ms) WHERE lease_until_ms IS NOT NULL;
