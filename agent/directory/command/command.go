package command

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// Kind is the name of this kind.
const Kind = "command"

// groupPages bounds the pages of one list of groups.
const groupPages = 1000

// A Directory asks workers. It implements directory.Directory, Keyed and Personal.
type Directory struct {
	cfg  Config
	pool *pool

	mu       sync.Mutex
	identity string // of the directory that the first worker served
	key      []byte // of birth dates

	noDryRuns atomic.Bool // a worker was caught at not honouring dry_run
}

// Open checks the table. A worker is started at the first use. The caller calls Close.
func Open(cfg Config) (*Directory, error) {
	if err := cfg.check(); err != nil {
		return nil, protocol.Err(protocol.CodeConfiguration, "directory."+err.Error())
	}
	return &Directory{cfg: cfg, pool: newPool(cfg.Workers)}, nil
}

// Close ends every worker and what it started: first by the end of its input, which
// means stop, and after two seconds for certain.
func (d *Directory) Close() error {
	d.pool.close()
	return nil
}

// UseBirthDateKey implements directory.Keyed.
func (d *Directory) UseBirthDateKey(key []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.key = slices.Clone(key)
}

func (d *Directory) birthDateKey() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.key
}

// same refuses a worker that serves another directory than the first one did.
func (d *Directory) same(about configured) error {
	id, err := identity(about)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.identity == "" {
		d.identity = id
	}
	if d.identity != id {
		return protocol.Err(protocol.CodeConfiguration, "the worker serves another directory than before; if that is meant, restart the agent")
	}
	return nil
}

// identity is the fingerprint of what a worker serves. Some public workers leave the id
// empty: then the name has to do.
func identity(about configured) (string, error) {
	id := "id:" + about.ImmutableID
	if about.ImmutableID == "" {
		id = "name:" + about.Traits.Name
	}
	if about.ImmutableID == "" && about.Traits.Name == "" || len(id) > maxText {
		return "", protocol.Err(protocol.CodeConfiguration, "the worker's reply to configure needs an immutable_id")
	}
	sum := sha256.Sum256([]byte("postern/command/v1" + id))
	return hex.EncodeToString(sum[:]), nil
}

// Describe implements directory.Reader: it asks a worker anew, which finds a credential
// of the worker that stopped working.
func (d *Directory) Describe(ctx context.Context) (out protocol.Description, err error) {
	err = d.with(ctx, d.pool.calls, func(p *process) error {
		ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout.Duration)
		defer cancel()
		if err := p.configure(ctx); err != nil {
			return unavailable(err)
		}
		if err := d.same(p.about); err != nil {
			return err
		}
		out = protocol.Description{Kind: Kind, Traits: p.about.Traits.Traits}
		out.Fingerprint, err = identity(p.about)
		return err
	})
	out.Traits.Name = shown(out.Traits.Name)
	if out.Traits.Name == "" {
		out.Traits.Name = Kind
	}
	return out, err
}

// read asks p something that changes nothing.
func (d *Directory) read(ctx context.Context, p *process, q request) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout.Duration)
	defer cancel()
	r, err := p.ask(ctx, q, maxReply)
	switch {
	case err != nil:
		return r, unavailable(err)
	case r.Error != nil:
		return r, r.Error.err()
	}
	return r, nil
}

// accounts asks for what a worker knows by a ref. It says of none what others say of
// nobody: an empty list.
func (d *Directory) accounts(ctx context.Context, p *process, ref protocol.Ref) ([]account, error) {
	r, err := d.read(ctx, p, request{GetAccount: &getRequest{ref}})
	switch {
	case protocol.CodeOf(err) == protocol.CodeAccountNotFound:
		return nil, nil
	case err != nil:
		return nil, err
	case r.GetAccount == nil:
		return nil, missing("get_account")
	}
	return r.GetAccount.Accounts, nil
}

// find returns the one account with an id. What a worker gives instead of it, since it
// looks for beginnings or patterns, is nobody. Errors: CodeBadRequest, CodeAccountNotFound.
func (d *Directory) find(ctx context.Context, p *process, id string) (account, error) {
	if err := checked(id); err != nil {
		return account{}, err
	}
	for _, spelling := range spellings(id) {
		list, err := d.accounts(ctx, p, protocol.Ref{ID: spelling})
		if err != nil {
			return account{}, err
		}
		list = slices.DeleteFunc(list, func(a account) bool { return !clean(a.ImmutableID) || a.id() != canonical(id) })
		switch len(list) {
		case 0:
			continue
		case 1:
			return list[0], nil
		}
		return account{}, protocol.Err(protocol.CodeConfiguration, "the worker gives several accounts for one immutable_id")
	}
	return account{}, protocol.Err(protocol.CodeAccountNotFound, "the worker knows no such account")
}

// spellings are how a worker may write an id: the hub knows GUIDs in lower case alone.
func spellings(id string) []string {
	one := []string{canonical(id)}
	if upper := strings.ToUpper(id); guid.MatchString(id) && upper != one[0] {
		one = append(one, upper)
	}
	return one
}

// Get implements directory.Reader.
func (d *Directory) Get(ctx context.Context, ref protocol.Ref) (out []protocol.Account, err error) {
	if err := checked(ref.ID + ref.Identifier); err != nil {
		return nil, err
	}
	err = d.with(ctx, d.pool.calls, func(p *process) error {
		list, err := d.lookUp(ctx, p, ref)
		for _, a := range list {
			out = append(out, a.listed(d.birthDateKey()))
		}
		return err
	})
	return out, err
}

// lookUp finds accounts by id, or by an identifier that they really have.
func (d *Directory) lookUp(ctx context.Context, p *process, ref protocol.Ref) ([]account, error) {
	if ref.ID != "" {
		a, err := d.find(ctx, p, ref.ID)
		switch {
		case protocol.CodeOf(err) == protocol.CodeAccountNotFound:
			return nil, nil
		case err != nil:
			return nil, err
		}
		return []account{a}, nil
	}
	list, err := d.accounts(ctx, p, ref)
	return slices.DeleteFunc(list, func(a account) bool { return !clean(a.ImmutableID) || !a.has(ref.Identifier) }), err
}

// one finds an account by a worker that is free.
func (d *Directory) one(ctx context.Context, id string, use func(account, *process) error) error {
	return d.with(ctx, d.pool.calls, func(p *process) error {
		a, err := d.find(ctx, p, id)
		if err != nil {
			return err
		}
		return use(a, p)
	})
}

// Contacts implements directory.Reader. A worker of the public protocol alone knows no
// address that is not an identifier.
func (d *Directory) Contacts(ctx context.Context, id string) (c protocol.Contacts, err error) {
	err = d.one(ctx, id, func(a account, _ *process) error { c = a.contacts(); return nil })
	return c, err
}

// Person implements directory.Personal.
func (d *Directory) Person(ctx context.Context, id string) (p directory.Person, err error) {
	err = d.one(ctx, id, func(a account, _ *process) error {
		p = directory.Person{Name: shown(a.Name), Given: shown(a.GivenName), Family: shown(a.FamilyName), BirthDate: a.born()}
		return nil
	})
	return p, err
}

// Facts implements directory.Writer.
func (d *Directory) Facts(ctx context.Context, id string) (f directory.Facts, err error) {
	err = d.one(ctx, id, func(a account, p *process) error { f = a.facts(d.cfg, p.about.Traits); return nil })
	return f, err
}

// Groups implements directory.Reader.
func (d *Directory) Groups(ctx context.Context, q protocol.GroupsRequest) (out []protocol.Group, err error) {
	if q.Prefix != "" {
		if err := checked(q.Prefix); err != nil {
			return nil, err
		}
	}
	if q.Max <= 0 || q.Max > maxGroups {
		q.Max = maxGroups
	}
	err = d.with(ctx, d.pool.calls, func(p *process) error {
		ask := groupsRequest{Prefix: q.Prefix, Max: q.Max}
		for range groupPages {
			r, err := d.read(ctx, p, request{ListGroups: &ask})
			if err == nil && r.ListGroups == nil {
				err = missing("list_groups")
			}
			if err != nil {
				return err
			}
			out = gather(out, r.ListGroups.Groups, q)
			if r.ListGroups.NextCursor == "" || r.ListGroups.NextCursor == ask.Cursor || len(out) == q.Max {
				return nil
			}
			ask.Cursor = r.ListGroups.NextCursor
		}
		return nil
	})
	return out, err
}

// gather adds what is asked for and not there yet: some public workers give every group
// with every page.
func gather(have, page []protocol.Group, q protocol.GroupsRequest) []protocol.Group {
	for _, g := range page {
		g = protocol.Group{ID: canonical(g.ID), Name: g.Name, Kind: shown(g.Kind)}
		begins := len(g.Name) >= len(q.Prefix) && strings.EqualFold(g.Name[:len(q.Prefix)], q.Prefix)
		known := slices.ContainsFunc(have, func(o protocol.Group) bool { return o.ID == g.ID })
		if clean(g.ID) && clean(g.Name) && begins && !known && len(have) < q.Max {
			have = append(have, g)
		}
	}
	return have
}
