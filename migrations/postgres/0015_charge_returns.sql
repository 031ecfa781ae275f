-- Where in the shop a charge's shopper is led after the issuer's page; the charge's order binds it.

ALTER TABLE charges ADD COLUMN return_url TEXT CHECK (length(return_url) BETWEEN 1 AND 2048);
COMMENT ON COLUMN charges.return_url IS 'where the shopper is led after the issuer''s page; clear';
