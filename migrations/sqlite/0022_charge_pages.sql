-- Pages on which a shopper confirms a charge at the issuer, as often as it takes.

ALTER TABLE charges ADD COLUMN page_expires_at_ms INTEGER CHECK (page_expires_at_ms > 0); -- until when the shopper may try again on a page of ours, ms; clear

CREATE TABLE charge_pages (
    charge_id     TEXT    NOT NULL PRIMARY KEY REFERENCES charges (id),                             -- which charge; clear
    account       TEXT    NOT NULL CHECK (length(account) BETWEEN 1 AND 64),                        -- whose charge; clear
    amount        INTEGER NOT NULL CHECK (amount > 0),                                              -- what is shown, minor unit; clear
    currency      TEXT    NOT NULL CHECK (length(currency) = 3),                                    -- ISO 4217; clear
    shop_name     TEXT    CHECK (length(shop_name) BETWEEN 1 AND 80),                               -- who asks, as shown; clear
    return_url    TEXT    CHECK (length(return_url) BETWEEN 1 AND 2048),                            -- where in the shop the page leads; clear
    expires_at_ms INTEGER NOT NULL CHECK (expires_at_ms > 0),                                       -- until when it is shown, ms; clear
    secret_mac    BLOB    NOT NULL CHECK (length(secret_mac) = 32),                                 -- of the link's secret, HMAC-SHA-256; keyed hash
    shown_mac     BLOB    NOT NULL CHECK (length(shown_mac) = 32),                                  -- of what is shown, under the link's secret, HMAC-SHA-256; keyed hash
    asked         INTEGER NOT NULL CHECK (asked BETWEEN 0 AND 200),                                 -- how often the page has asked, count; clear
    asked_for     TEXT    CHECK (asked_for IN ('look', 'challenge')),                               -- what it asked for last; clear
    asked_at_ms   INTEGER CHECK (asked_at_ms > 0),                                                  -- when, ms; clear
    ask_proof     BLOB    CHECK (length(ask_proof) = 33),                                           -- that the shopper's link asked, HMAC-SHA-256; keyed hash
    forwarded     INTEGER NOT NULL CHECK (forwarded BETWEEN 0 AND asked),                           -- the newest question that was taken up, count; clear
    answered      INTEGER NOT NULL CHECK (answered BETWEEN 0 AND asked),                            -- the newest question that is answered, count; clear
    status        TEXT    CHECK (length(status) BETWEEN 1 AND 32),                                  -- how the charge stood at that answer; clear
    redirect_url  TEXT    CHECK (length(redirect_url) BETWEEN 1 AND 4096),                          -- where the shopper authenticates; clear
    answer_mac    BLOB    CHECK (length(answer_mac) = 32),                                          -- of the answer, under the link's secret, HMAC-SHA-256; keyed hash
    created_at_ms INTEGER NOT NULL CHECK (created_at_ms > 0),                                       -- when it was made, ms; clear
    CHECK ((asked = 0) = (ask_proof IS NULL)),
    CHECK ((answered = 0) = (answer_mac IS NULL))
) STRICT;

CREATE INDEX charge_pages_asking ON charge_pages (account) WHERE asked > forwarded;
