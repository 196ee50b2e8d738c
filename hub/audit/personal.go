package audit

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-id/postern/hub/store"
)

// personal is the member of a leaf that is encrypted under a person's key.
type personal struct {
	Person  string            `json:"person"`
	Key     string            `json:"key"` // id of the key
	Members map[string]string `json:"members"`
}

// Members that hold the client of an event that concerns an account.
const (
	remoteMember = "remote_addr"
	agentMember  = "user_agent"
)

// encrypt encrypts members for one leaf. A value opens only in its leaf and member.
func encrypt(ctx context.Context, tx *store.Tx, env, person, leaf string, members map[string]string) (*personal, error) {
	k, err := tx.NeedPersonKey(ctx, env, person)
	if err != nil {
		return nil, fmt.Errorf("key of the person: %w", err)
	}
	p := &personal{Person: person, Key: k.ID, Members: map[string]string{}}
	for name, value := range members {
		if p.Members[name], err = k.Seal(place(leaf, name), []byte(value)); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// decrypt returns the members, or erased if their key was destroyed.
func (p *personal) decrypt(ctx context.Context, tx *store.Tx, env, leaf string) (members map[string]string, erased bool, err error) {
	k, err := tx.PersonKey(ctx, env, p.Person)
	if errors.Is(err, store.ErrNotFound) || err == nil && (k.Secret == nil || k.ID != p.Key) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	members = make(map[string]string, len(p.Members))
	for name, value := range p.Members {
		b, err := k.Open(place(leaf, name), value)
		if err != nil {
			return nil, false, fmt.Errorf("audit: event %s: member %s is damaged", leaf, name)
		}
		members[name] = string(b)
	}
	return members, false, nil
}

// ByTrace names whoever is known by the trace of an event alone, for Erase.
func ByTrace(trace string) string { return "trace:" + trace }

// place is the associated data of a member. Ids of leaves have a fixed length.
func place(leaf, name string) string { return "postern/audit/v1" + leaf + name }

// Erase destroys the key of a person: of an account by its row id, or of whoever typed
// an address in a recovery by ByTrace. Leaves stay as they are.
// store.ErrNotFound if nothing personal was logged or it was erased before.
func Erase(ctx context.Context, tx *store.Tx, env, person string) error {
	return tx.ErasePersonKey(ctx, env, person)
}

// EraseAccount destroys the key of an account's owner, and of each recovery and sign-in that
// came to the account what was typed before anybody knew whose it is. It reads tx alone.
// store.ErrNotFound as Erase.
func EraseAccount(ctx context.Context, tx *store.Tx, env, account string) error {
	traces, err := tracesOf(ctx, tx, env, account)
	if err != nil {
		return err
	}
	for t := range traces {
		if err := Erase(ctx, tx, env, ByTrace(t)); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return Erase(ctx, tx, env, account)
}

// tracesOf returns the traces of all events that concern an account.
func tracesOf(ctx context.Context, tx *store.Tx, env, account string) (map[string]bool, error) {
	org, err := tx.OrganisationOf(ctx, env)
	if err != nil {
		return nil, err
	}
	all, f := map[string]bool{}, store.AuditFilter{Envs: []string{env}, Account: account, Count: store.MaxAudit}
	for {
		rows, err := tx.AuditRows(ctx, org, f)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			all[r.Trace], f.After = true, r.ID
		}
		if len(rows) < f.Count {
			return all, nil
		}
	}
}
