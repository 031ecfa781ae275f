-- Pages on which a shopper confirms a charge at the issuer, as often as it takes.

ALTER TABLE charges ADD COLUMN page_expires_at_ms BIGINT CHECK (page_expires_at_ms > 0);
COMMENT ON COLUMN charges.page_expires_at_ms IS 'until when the shopper may try again on a page of ours, ms; clear';

CREATE TABLE charge_pages (
    charge_id     TEXT   NOT NULL PRIMARY KEY REFERENCES charges (id),
    account       TEXT   NOT NULL CHECK (length(account) BETWEEN 1 AND 64),
    amount        BIGINT NOT NULL CHECK (amount > 0),
    currency      TEXT   NOT NULL CHECK (length(currency) = 3),
    shop_name     TEXT   CHECK (length(shop_name) BETWEEN 1 AND 80),
    return_url    TEXT   CHECK (length(return_url) BETWEEN 1 AND 2048),
    expires_at_ms BIGINT NOT NULL CHECK (expires_at_ms > 0),
    secret_mac    BYTEA  NOT NULL CHECK (octet_length(secret_mac) = 32),
    shown_mac     BYTEA  NOT NULL CHECK (octet_length(shown_mac) = 32),
    asked         BIGINT NOT NULL CHECK (asked BETWEEN 0 AND 200),
    asked_for     TEXT   CHECK (asked_for IN ('look', 'challenge')),
    asked_at_ms   BIGINT CHECK (asked_at_ms > 0),
    ask_proof     BYTEA  CHECK (octet_length(ask_proof) = 33),
    forwarded     BIGINT NOT NULL CHECK (forwarded BETWEEN 0 AND asked),
    answered      BIGINT NOT NULL CHECK (answered BETWEEN 0 AND asked),
    status        TEXT   CHECK (length(status) BETWEEN 1 AND 32),
    redirect_url  TEXT   CHECK (length(redirect_url) BETWEEN 1 AND 4096),
    answer_mac    BYTEA  CHECK (octet_length(answer_mac) = 32),
    created_at_ms BIGINT NOT NULL CHECK (created_at_ms > 0),
    CHECK ((asked = 0) = (ask_proof IS NULL)),
    CHECK ((answered = 0) = (answer_mac IS NULL))
);
COMMENT ON TABLE charge_pages IS 'Pages on which a shopper confirms a charge at the issuer, as often as it takes.';
COMMENT ON COLUMN charge_pages.charge_id IS 'which charge; clear';
COMMENT ON COLUMN charge_pages.account IS 'whose charge; clear';
COMMENT ON COLUMN charge_pages.amount IS 'what is shown, minor unit; clear';
COMMENT ON COLUMN charge_pages.currency IS 'ISO 4217; clear';
COMMENT ON COLUMN charge_pages.shop_name IS 'who asks, as shown; clear';
COMMENT ON COLUMN charge_pages.return_url IS 'where in the shop the page leads; clear';
COMMENT ON COLUMN charge_pages.expires_at_ms IS 'until when it is shown, ms; clear';
COMMENT ON COLUMN charge_pages.secret_mac IS 'of the link''s secret, HMAC-SHA-256; keyed hash';
COMMENT ON COLUMN charge_pages.shown_mac IS 'of what is shown, under the link''s secret, HMAC-SHA-256; keyed hash';
COMMENT ON COLUMN charge_pages.asked IS 'how often the page has asked, count; clear';
COMMENT ON COLUMN charge_pages.asked_for IS 'what it asked for last; clear';
COMMENT ON COLUMN charge_pages.asked_at_ms IS 'when, ms; clear';
COMMENT ON COLUMN charge_pages.ask_proof IS 'that the shopper''s link asked, HMAC-SHA-256; keyed hash';
COMMENT ON COLUMN charge_pages.forwarded IS 'the newest question that was taken up, count; clear';
COMMENT ON COLUMN charge_pages.answered IS 'the newest question that is answered, count; clear';
COMMENT ON COLUMN charge_pages.status IS 'how the charge stood at that answer; clear';
COMMENT ON COLUMN charge_pages.redirect_url IS 'where the shopper authenticates; clear';
COMMENT ON COLUMN charge_pages.answer_mac IS 'of the answer, under the link''s secret, HMAC-SHA-256; keyed hash';
COMMENT ON COLUMN charge_pages.created_at_ms IS 'when it was made, ms; clear';

CREATE INDEX charge_pages_asking ON charge_pages (account) WHERE asked > forwarded;

GRANT SELECT, INSERT, UPDATE ON charge_pages TO cloakroom_internal;
-- The capture plane asks for a shopper.
GRANT SELECT, UPDATE (asked, asked_for, asked_at_ms, ask_proof) ON charge_pages TO cloakroom_capture;
