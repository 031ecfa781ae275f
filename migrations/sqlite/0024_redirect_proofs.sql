-- Where a charge's shopper is led is the processor's word, as the internal plane has learned it.

ALTER TABLE charges ADD COLUMN redirect_proof BLOB CHECK (length(redirect_proof) = 33); -- of the issuer's page, HMAC-SHA-256; keyed hash
