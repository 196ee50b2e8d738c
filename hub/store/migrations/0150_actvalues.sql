-- The values of an account operation that sets an attribute, on their way to the agent, and why one was refused.

-- +goose Up
ALTER TABLE account_acts ADD COLUMN body TEXT NOT NULL DEFAULT ''; -- sealed; empty as soon as somebody sends it or it ends
ALTER TABLE account_acts ADD COLUMN reason TEXT NOT NULL DEFAULT ''; -- of the refusal, where the agent knows one
