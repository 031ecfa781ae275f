-- Who may do what (PCI DSS 7.2.5). Nobody but the owner may do more than its verbs need, and nobody at
-- all may change or delete an audit event. The capture role meets the internet: it inserts sealed
-- values and cannot read a single one of them back.

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO cloakroom_capture, cloakroom_internal, cloakroom_audit;

-- Both planes: the schema's version, the proof of writing, the log (to write), what happened.
GRANT SELECT ON _sqlx_migrations TO cloakroom_capture, cloakroom_internal;
GRANT SELECT, INSERT, UPDATE ON write_probe TO cloakroom_capture, cloakroom_internal;
GRANT INSERT ON audit_events, events TO cloakroom_capture, cloakroom_internal;
GRANT SELECT, INSERT ON data_keys TO cloakroom_capture, cloakroom_internal;

-- The capture plane: sessions are spent, tokens are made, notices are taken.
GRANT SELECT (kek, data_key_id), INSERT ON key_canaries TO cloakroom_capture;
GRANT SELECT, UPDATE, DELETE ON sessions TO cloakroom_capture;
GRANT INSERT ON tokens, orphans TO cloakroom_capture;
GRANT SELECT (id, account, customer_ref, session_id, status, data_key_id, reference_mac, brand, last4, exp_month, exp_year, funding, country, usage, metadata, created_at_ms, deleted_at_ms) ON tokens TO cloakroom_capture;
GRANT UPDATE (status, brand, last4, exp_month, exp_year, funding, country) ON tokens TO cloakroom_capture;
GRANT SELECT, INSERT, UPDATE ON token_cards, processor_notices TO cloakroom_capture;
GRANT SELECT ON charges, refunds TO cloakroom_capture;
GRANT UPDATE (lease_until_ms, refunded, disputed) ON charges TO cloakroom_capture;
GRANT INSERT, UPDATE (status, processor_refund, failure_code, lease_until_ms, updated_at_ms) ON refunds TO cloakroom_capture;
-- What is over is swept by whoever comes first.
GRANT SELECT, DELETE ON idempotency_keys, processor_notices, events, deliveries TO cloakroom_capture;

-- The internal plane: everything but the log's past.
GRANT SELECT, INSERT, UPDATE ON key_canaries, processor_customers, sessions, tokens, charges, refunds, events, event_places, deliveries TO cloakroom_internal;
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys, token_cards, orphans, processor_notices TO cloakroom_internal;
GRANT DELETE ON sessions, events, deliveries TO cloakroom_internal;

-- Whoever reads the log reads nothing else.
GRANT SELECT ON audit_events TO cloakroom_audit;
