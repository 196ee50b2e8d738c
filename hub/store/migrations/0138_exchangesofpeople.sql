-- What a sign-in of an application keeps of a person is found by the person, and erased
-- with them.

-- +goose Up

CREATE INDEX requests_exchanged ON requests (env, person) WHERE exchange <> '';
