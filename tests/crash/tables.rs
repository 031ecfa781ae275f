//! What the laboratory asks the store beside the service: the one place that names its columns.

/// Counts that grow with a commit, before its caller is answered.
pub(crate) const COMMITS: [&str; 5] = [
    "SELECT count(*) FROM charges",
    "SELECT count(*) FROM charges WHERE status <> 'processing'",
    "SELECT count(*) FROM charges WHERE operation_id IS NOT NULL AND operation IS NULL",
    "SELECT count(*) FROM refunds WHERE status = 'succeeded'",
    "SELECT count(*) FROM tokens",
];

/// What is not at its end.
pub(crate) const OPEN: &str = "
      SELECT 'charge ' || id || ' ' || status || ' ' || COALESCE(operation, '') FROM charges
       WHERE status = 'processing' OR operation IS NOT NULL
   UNION ALL SELECT 'refund ' || id FROM refunds WHERE status = 'processing'
   UNION ALL SELECT 'deletion of ' || id FROM tokens WHERE status = 'deleting'
   UNION ALL SELECT 'card ' || id || ' that is no token' FROM orphans
   UNION ALL SELECT 'review of ' || charge_id FROM charge_reviews
   UNION ALL SELECT 'event ' || id || ' of the processor' FROM processor_events WHERE status = 'pending'
   UNION ALL SELECT 'event ' || id || ' without a place' FROM events WHERE seq IS NULL";

/// Every refund with the processor's name of it.
pub(crate) const REFUNDS: &str =
    "SELECT id || ' ' || COALESCE(processor_refund, '-') FROM refunds ORDER BY id";

/// Every token with its state.
pub(crate) const TOKENS: &str = "SELECT id || ' ' || status FROM tokens ORDER BY id";

/// Every dispute with its state.
pub(crate) const DISPUTES: &str = "SELECT id || ' ' || status FROM disputes ORDER BY id";

/// The places of all events.
pub(crate) const PLACES: &str = "SELECT seq FROM events WHERE seq IS NOT NULL ORDER BY seq";

/// Every commit of the service writes here: who locks it holds the store.
pub(crate) const HOLD: &str = "LOCK TABLE audit_events IN EXCLUSIVE MODE";
