-- The newest comparison of each account's rows with the processor, and whose work it is.

CREATE TABLE reconciliations (
    account        TEXT    NOT NULL PRIMARY KEY CHECK (length(account) BETWEEN 1 AND 64),  -- whose rows; clear
    run            TEXT    NOT NULL CHECK (length(run) BETWEEN 1 AND 64),                  -- the run that compares, or compared last, TypeID; clear
    node           TEXT    NOT NULL CHECK (length(node) BETWEEN 1 AND 255),                -- the process of that run; clear
    lease_until_ms INTEGER NOT NULL CHECK (lease_until_ms >= 0),                           -- till when no other run compares, ms; clear
    started_at_ms  INTEGER NOT NULL CHECK (started_at_ms >= 0),                            -- when that run began, ms; clear
    finished_at_ms INTEGER CHECK (finished_at_ms >= 0),                                    -- when the newest finished run ended, ms; clear
    differences    TEXT    CHECK (json_valid(differences)),                                -- its open differences by kind, a JSON object of counts; clear
    report         TEXT    CHECK (length(report) BETWEEN 1 AND 4194304),                   -- its signed report, a compact JWS; clear
    CHECK ((finished_at_ms IS NULL) = (differences IS NULL)),
    CHECK ((finished_at_ms IS NULL) = (report IS NULL))
) STRICT;
