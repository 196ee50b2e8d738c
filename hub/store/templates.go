package store

import (
	"context"
	"time"
)

// A Template is how requests are presented and what they ask for. Body is the JSON that
// the API was given; this package does not read it.
type Template struct {
	Env, ID   string
	Name      string
	Default   bool
	Body      []byte
	CreatedAt time.Time
}

// AddTemplate inserts t; a name that is taken is ErrConflict. The first template of an
// environment, with which it begins, is its default, and a new default takes the place of
// the former.
func (tx *Tx) AddTemplate(ctx context.Context, t *Template) error {
	all, err := tx.Templates(ctx, t.Env)
	if err != nil {
		return err
	}
	t.ID, t.CreatedAt, t.Default = NewID(), tx.Now(), t.Default || len(all) == 0
	if _, err := tx.Exec(ctx, `INSERT INTO templates (env, id, name, is_default, body, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		t.Env, t.ID, t.Name, Flag(t.Default), string(t.Body), Millis(t.CreatedAt)); err != nil {
		return err
	}
	return tx.oneDefault(ctx, *t)
}

// oneDefault keeps one default.
func (tx *Tx) oneDefault(ctx context.Context, t Template) error {
	if !t.Default {
		return nil
	}
	_, err := tx.Exec(ctx, "UPDATE templates SET is_default = 0 WHERE env = $1 AND id <> $2", t.Env, t.ID)
	return err
}

// Templates lists the templates of an environment, oldest first.
func (tx *Tx) Templates(ctx context.Context, env string) ([]Template, error) {
	return All(ctx, tx, scanTemplate, "SELECT env, id, name, is_default, body, created_at FROM templates WHERE env = $1 ORDER BY created_at, id", env)
}

// Template returns one template.
func (tx *Tx) Template(ctx context.Context, env, id string) (Template, error) {
	return One(ctx, tx, scanTemplate, "SELECT env, id, name, is_default, body, created_at FROM templates WHERE env = $1 AND id = $2", env, id)
}

func scanTemplate(scan Scan) (t Template, err error) {
	var def, created int64
	var body string
	err = scan(&t.Env, &t.ID, &t.Name, &def, &body, &created)
	t.Default, t.Body, t.CreatedAt = def != 0, []byte(body), Time(created)
	return t, err
}

// SaveTemplate writes name, body and whether it is the default.
func (tx *Tx) SaveTemplate(ctx context.Context, t Template) error {
	if err := tx.Must(ctx, "UPDATE templates SET name = $3, is_default = $4, body = $5 WHERE env = $1 AND id = $2",
		t.Env, t.ID, t.Name, Flag(t.Default), string(t.Body)); err != nil {
		return err
	}
	return tx.oneDefault(ctx, t)
}

// RemoveTemplate deletes a template that is not the default.
func (tx *Tx) RemoveTemplate(ctx context.Context, env, id string) error {
	return tx.Swap(ctx, "DELETE FROM templates WHERE env = $1 AND id = $2 AND is_default = 0", env, id)
}
