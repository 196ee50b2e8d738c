-- What a factor rests on, and which recovery enrolled it; which documents an environment asks for.

-- +goose Up

-- Sets of methods, one of which is what was proven in the end: a factor that proved
-- something lends its own roots, never its name. What a factor enrolled before that was
-- written down rests on nothing that is known, so it counts no more (T17).
ALTER TABLE verifications ADD COLUMN roots TEXT NOT NULL DEFAULT '[]';
ALTER TABLE factors ADD COLUMN roots TEXT NOT NULL DEFAULT '[]';

-- Where a factor comes from, so that what somebody else enrolled can be found later: the
-- recovery, and the factors by which that was proven.
ALTER TABLE verifications ADD COLUMN factors TEXT NOT NULL DEFAULT '[]';
ALTER TABLE factors ADD COLUMN recovery TEXT NOT NULL DEFAULT '';
ALTER TABLE factors ADD COLUMN parents TEXT NOT NULL DEFAULT '[]';

UPDATE verifications SET roots = '[' || proven || ']'
	WHERE proven NOT LIKE '%passkey%' AND proven NOT LIKE '%totp%' AND proven NOT LIKE '%saved_code%';
UPDATE factors SET roots = '[' || enrolled_by || ']'
	WHERE enrolled_by NOT LIKE '%passkey%' AND enrolled_by NOT LIKE '%totp%' AND enrolled_by NOT LIKE '%saved_code%';

-- Kinds of document that wallets are asked for, as JSON; an empty list: all that there are.
ALTER TABLE environments ADD COLUMN documents TEXT NOT NULL DEFAULT '[]';
