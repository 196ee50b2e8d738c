package party

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/store"
)

// A Draft is what an administrator says of a client, before it is one.
type Draft struct {
	ClientID  string // openid: the id of the environment, or of the directory; "": one is made
	Contract  Contract
	Directory string
	Settings
}

// CheckIn returns a *Wrong for what cannot work in an environment.
func (d Draft) CheckIn(ctx context.Context, tx *store.Tx, env string) error {
	if err := d.Check(d.Contract); err != nil {
		return err
	}
	if err := d.checkDomain(ctx, tx, env); err != nil {
		return err
	}
	if d.ClientID != "" && (d.Contract != OpenID || d.ClientID != env && d.ClientID != d.Directory) {
		return &Wrong{"client_id", "is made for you; for openid it may be the id of the environment, or of the directory that is named beside it"}
	}
	if d.ClientID == env && d.Directory != "" {
		return &Wrong{"directory", "the client that is the environment belongs to no directory"}
	}
	return d.checkDirectory(ctx, tx, env)
}

func (d Draft) checkDomain(ctx context.Context, tx *store.Tx, env string) error {
	if d.Domain == "" {
		return nil
	}
	all, err := tx.Domains(ctx, env)
	if err == nil && !slices.ContainsFunc(all, func(x store.Domain) bool { return !x.Proven.IsZero() && strings.EqualFold(x.Name, d.Domain) }) {
		return &Wrong{"domain", "not a proven domain of this environment"}
	}
	return err
}

func (d Draft) checkDirectory(ctx context.Context, tx *store.Tx, env string) error {
	if d.Contract == OpenID && d.Directory == "" {
		return nil
	}
	if d.Contract.AsksPeople() && d.Contract != OpenID {
		if d.Directory != "" {
			return &Wrong{"directory", "this contract asks who somebody is, and belongs to no directory"}
		}
		return nil
	}
	_, err := tx.Directory(ctx, env, d.Directory)
	if errors.Is(err, store.ErrNotFound) {
		return &Wrong{"directory", "want the id of a directory of this environment, whose accounts are asked about"}
	}
	return err
}

// HasSecret reports whether a client of a contract proves itself by a secret.
func HasSecret(c Contract, s Settings) bool {
	row, _ := termsOf(c)
	return row.Code && s.Auth != AuthKey && s.Auth != AuthNone
}
