-- What the hosted page shows of a session: who asks for how much, and how the page looks.

ALTER TABLE sessions ADD COLUMN presentation TEXT CHECK (length(presentation) BETWEEN 2 AND 4096); -- what the hosted page shows, a JSON object; clear
ALTER TABLE sessions ADD COLUMN presentation_mac BLOB CHECK (length(presentation_mac) = 32) CHECK ((presentation_mac IS NULL) = (presentation IS NULL)); -- that the merchant wants it shown, HMAC-SHA-256; keyed hash
