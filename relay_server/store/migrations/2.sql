-- Version 1 kept SHA-256 of each envelope for nothing: while the envelope is there it can be compared
-- itself, and a tombstone refuses every upload (R37). Permits had no limits of their own.

ALTER TABLE tickets DROP COLUMN digest;
ALTER TABLE permits ADD COLUMN uploads_per_hour INTEGER;
ALTER TABLE permits ADD COLUMN bytes_per_hour INTEGER;
