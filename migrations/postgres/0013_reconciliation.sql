-- The newest comparison of each account's rows with the processor, and whose work it is.

CREATE TABLE reconciliations (
    account        TEXT   NOT NULL PRIMARY KEY CHECK (length(account) BETWEEN 1 AND 64),
    run            TEXT   NOT NULL CHECK (length(run) BETWEEN 1 AND 64),
    node           TEXT   NOT NULL CHECK (length(node) BETWEEN 1 AND 255),
    lease_until_ms BIGINT NOT NULL CHECK (lease_until_ms >= 0),
    started_at_ms  BIGINT NOT NULL CHECK (started_at_ms >= 0),
    finished_at_ms BIGINT CHECK (finished_at_ms >= 0),
    differences    TEXT   CHECK (jsonb_typeof(differences::jsonb) = 'object'),
    report         TEXT   CHECK (length(report) BETWEEN 1 AND 4194304),
    CHECK ((finished_at_ms IS NULL) = (differences IS NULL)),
    CHECK ((finished_at_ms IS NULL) = (report IS NULL))
);
COMMENT ON TABLE reconciliations IS 'The newest comparison of each account''s rows with the processor.';
COMMENT ON COLUMN reconciliations.account IS 'whose rows; clear';
COMMENT ON COLUMN reconciliations.run IS 'the run that compares, or compared last, TypeID; clear';
COMMENT ON COLUMN reconciliations.node IS 'the process of that run; clear';
COMMENT ON COLUMN reconciliations.lease_until_ms IS 'till when no other run compares, ms; clear';
COMMENT ON COLUMN reconciliations.started_at_ms IS 'when that run began, ms; clear';
COMMENT ON COLUMN reconciliations.finished_at_ms IS 'when the newest finished run ended, ms; clear';
COMMENT ON COLUMN reconciliations.differences IS 'its open differences by kind, a JSON object of counts; clear';
COMMENT ON COLUMN reconciliations.report IS 'its signed report, a compact JWS; clear';

GRANT SELECT, INSERT, UPDATE ON reconciliations TO cloakroom_internal;
