-- Where a charge's shopper is led is the processor's word, as the internal plane has learned it.
ALTER TABLE charges ADD COLUMN redirect_proof BYTEA CHECK (octet_length(redirect_proof) = 33);
COMMENT ON COLUMN charges.redirect_proof IS 'of the issuer''s page, HMAC-SHA-256; keyed hash';

-- Each role has the verbs and columns of its own statements, and no more. Which statement needs
-- what, and the worst that is done with it: pci-docs/database/rights.md.

-- Every process: the row that shows that it can write.
REVOKE ALL ON write_probe FROM cloakroom_capture, cloakroom_internal, cloakroom_audit;
GRANT SELECT, INSERT, UPDATE (written_at_ms) ON write_probe TO cloakroom_capture, cloakroom_internal, cloakroom_audit;

-- The capture plane. A processor event is put into the inbox once, and never touched again.
REVOKE INSERT, UPDATE (deliveries, last_seen_at_ms), SELECT (deliveries) ON processor_events FROM cloakroom_capture;
GRANT INSERT (account, id, body, status, deliveries, tries, lease_until_ms, created_at_ms, received_at_ms, last_seen_at_ms, order_proof) ON processor_events TO cloakroom_capture;
COMMENT ON COLUMN processor_events.deliveries IS 'always 1: it is written once; clear';
COMMENT ON COLUMN processor_events.last_seen_at_ms IS 'when it came, ms; clear';
-- Of a token that is there it writes when its card expires, and nothing else.
REVOKE INSERT, UPDATE (status, brand, last4, funding, country) ON tokens FROM cloakroom_capture;
GRANT INSERT (id, account, customer_ref, session_id, status, sealed, data_key_id, reference_mac, brand, last4, exp_month, exp_year, funding, country, usage, metadata, created_at_ms, updated_at_ms, version) ON tokens TO cloakroom_capture;
REVOKE UPDATE ON token_cards FROM cloakroom_capture;
GRANT UPDATE (fingerprint_mac, token_id, created_at_ms, last_seen_at_ms) ON token_cards TO cloakroom_capture;
REVOKE INSERT ON orphans, events, watch_blocks FROM cloakroom_capture;
GRANT INSERT (id, account, sealed, data_key_id, token_id, exp_month, exp_year, tries, lease_until_ms, created_at_ms, sealed_for, reference_mac, customer_ref, usage, ordered_for, order_proof) ON orphans TO cloakroom_capture;
GRANT INSERT (id, account, kind, data, created_at_ms, order_proof) ON events TO cloakroom_capture;
GRANT INSERT (id, rule, subject, action, node, placed_at_ms, ends_at_ms, order_proof) ON watch_blocks TO cloakroom_capture;

-- The internal plane: what a row is of, what was ordered, and when, it writes once.
REVOKE UPDATE ON alert_deliveries, alerts, audit_sinks, charge_pages, charge_reviews, charges, deliveries, disputes, event_places, events, idempotency_keys, kek_holders, key_canaries, key_jobs, key_rotations, orphans, processor_customers, processor_events, reconciliations, refunds, sessions, token_cards, tokens, watch_buckets FROM cloakroom_internal;
REVOKE INSERT ON event_places, events FROM cloakroom_internal;
GRANT INSERT (id, account, kind, data, created_at_ms, order_proof), UPDATE (seq) ON events TO cloakroom_internal;
GRANT UPDATE (last_seq) ON event_places TO cloakroom_internal;
GRANT UPDATE (status, attempts, answer, lease_until_ms, lease_token, updated_at_ms) ON alert_deliveries, deliveries TO cloakroom_internal;
GRANT UPDATE (times, last_at_ms, routed_at_ms) ON alerts TO cloakroom_internal;
GRANT UPDATE (size, held_ms) ON audit_sinks TO cloakroom_internal;
GRANT UPDATE (asked, asked_for, asked_at_ms, ask_proof, forwarded, answered, status, redirect_url, answer_mac) ON charge_pages TO cloakroom_internal;
GRANT UPDATE (payment, requests, tries, lease_until_ms, lease_token) ON charge_reviews TO cloakroom_internal;
GRANT UPDATE (captured, refunded, setup_pending, status, payment, decline_code, decline_advice, decline_retryable, redirect_url, redirect_proof, operation, operation_amount, operation_id, operation_key, disputed, lease_until_ms, lease_token, updated_at_ms, contradiction, contradicted_at_ms, network_transaction_id, cvc_check, postal_code_check, version, payment_proof, operation_proof) ON charges TO cloakroom_internal;
GRANT UPDATE (amount, reason, status, open, changed_at_ms) ON disputes TO cloakroom_internal;
GRANT UPDATE (route, request_hash, resource, replays, created_at_ms, last_seen_at_ms, expires_at_ms, order_proof) ON idempotency_keys TO cloakroom_internal;
GRANT UPDATE (state, after_id, done, lease_until_ms, node, finished_at_ms, failure) ON key_jobs TO cloakroom_internal;
GRANT UPDATE (run, by_whom, node, began_at_ms, lease_until_ms, order_proof) ON key_rotations TO cloakroom_internal;
GRANT UPDATE (sealed, data_key_id, token_id, exp_month, exp_year, tries, lease_until_ms, lease_token, sealed_for, reference_mac, ordered_for, order_proof) ON orphans TO cloakroom_internal;
GRANT UPDATE (processor_customer, last_seen_at_ms, order_proof) ON processor_customers TO cloakroom_internal;
GRANT UPDATE (body, status, tries, lease_until_ms, lease_token) ON processor_events TO cloakroom_internal;
GRANT UPDATE (run, node, lease_until_ms, started_at_ms, finished_at_ms, differences, report) ON reconciliations TO cloakroom_internal;
GRANT UPDATE (status, processor_refund, failure_code, lease_until_ms, lease_token, updated_at_ms, version, processor_refund_proof) ON refunds TO cloakroom_internal;
GRANT UPDATE (attempts_left, attempts_made, busy_until_ms, last_seen_at_ms, token_id, token_key, token_proof) ON sessions TO cloakroom_internal;
GRANT UPDATE (fingerprint_mac, token_id, created_at_ms, last_seen_at_ms) ON token_cards TO cloakroom_internal;
GRANT UPDATE (status, sealed, data_key_id, reference_mac, brand, last4, exp_month, exp_year, funding, country, deleted_at_ms, lease_until_ms, lease_token, detached_at_ms, version, updated_at_ms, deletion_proof) ON tokens TO cloakroom_internal;
GRANT UPDATE (events, hits, updated_at_ms, order_proof) ON watch_buckets TO cloakroom_internal;

-- Which rows of a table are the capture plane's. A trigger and not a row policy: a policy hides
-- rows from whoever dumps the database without owning it, and there is nothing here to hide.
CREATE FUNCTION only_of_capture() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_has_role(current_user, 'cloakroom_capture', 'MEMBER') AND NOT pg_has_role(current_user, 'cloakroom_internal', 'MEMBER') THEN
        RAISE EXCEPTION '%: permission denied, the row is the internal plane''s', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER watch_blocks_of_capture BEFORE INSERT ON watch_blocks
    FOR EACH ROW
    WHEN (NEW.subject LIKE 'client %')
    EXECUTE FUNCTION only_of_capture();
CREATE TRIGGER watch_buckets_of_capture BEFORE INSERT OR UPDATE ON watch_buckets
    FOR EACH ROW
    WHEN (NEW.subject LIKE 'client %')
    EXECUTE FUNCTION only_of_capture();
CREATE TRIGGER events_of_capture BEFORE INSERT ON events
    FOR EACH ROW
    WHEN (NEW.kind <> 'token.created')
    EXECUTE FUNCTION only_of_capture();
CREATE TRIGGER processor_events_of_capture BEFORE INSERT ON processor_events
    FOR EACH ROW
    WHEN (NEW.status NOT IN ('pending', 'ignored'))
    EXECUTE FUNCTION only_of_capture();
