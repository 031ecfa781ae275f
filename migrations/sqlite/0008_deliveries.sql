-- Each endpoint is looked after by itself: what waits for one must not be waded through for another.

DROP INDEX deliveries_due;
CREATE INDEX deliveries_due ON deliveries (endpoint, lease_until_ms) WHERE lease_until_ms IS NOT NULL;
