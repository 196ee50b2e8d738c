-- A phone that has read a ticket shows a code; only when that is typed in the browser
-- that showed the ticket does the recovery go on there.

-- +goose Up

ALTER TABLE handovers ADD COLUMN claimer TEXT NOT NULL DEFAULT '';  -- SHA-256 of the session of the browser that read it
ALTER TABLE handovers ADD COLUMN far BIGINT NOT NULL DEFAULT 0;     -- 1: in another network than the browser that began
ALTER TABLE handovers ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;   -- codes typed
ALTER TABLE handovers ADD COLUMN outcome TEXT NOT NULL DEFAULT '';  -- '': open, or used and waiting for its code; given, refused
UPDATE handovers SET outcome = 'given' WHERE used_at > 0;
