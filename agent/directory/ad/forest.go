package ad

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
)

// A Forest is several domains that are one directory. An account belongs to one of them;
// its id is unique in all.
type Forest struct {
	domains []*Directory

	mu    sync.Mutex
	homes map[string]*Directory // by id; what was found last
}

// maxHomes bounds what is remembered: then it is found again.
const maxHomes = 10000

// OpenAll opens the domain of a configuration, and those that it names besides. Like Open
// it connects to nothing. Errors are CodeConfiguration.
func OpenAll(cfg Config) (directory.Directory, error) {
	first := cfg
	first.Domains = nil
	one, err := Open(first)
	if err != nil {
		return nil, err
	}
	if len(cfg.Domains) == 0 {
		return one, nil
	}
	f := &Forest{domains: []*Directory{one}, homes: map[string]*Directory{}}
	for _, d := range cfg.Domains {
		next, err := Open(d.over(first))
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.domains = append(f.domains, next)
	}
	return f, nil
}

// over is the configuration of a further domain.
func (d Domain) over(cfg Config) Config {
	cfg.URLs, cfg.SRV, cfg.BaseDNs = d.URLs, d.SRV, d.BaseDNs
	cfg.BindDN = cmp.Or(d.BindDN, cfg.BindDN)
	cfg.BindPasswordFile = cmp.Or(d.BindPasswordFile, cfg.BindPasswordFile)
	cfg.CAFile = cmp.Or(d.CAFile, cfg.CAFile)
	cfg.ServerName = d.ServerName
	return cfg
}

// Locate makes the paths absolute against the folder of the file that they stand in.
func (cfg *Config) Locate(f settings.File) {
	cfg.Config.Locate(f)
	for i := range cfg.Domains {
		d := &cfg.Domains[i]
		d.BindPasswordFile, d.CAFile = f.Path(d.BindPasswordFile), f.Path(d.CAFile)
	}
}

// Close implements directory.Directory.
func (f *Forest) Close() error {
	var errs []error
	for _, d := range f.domains {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// UseBirthDateKey implements directory.Keyed.
func (f *Forest) UseBirthDateKey(key []byte) {
	for _, d := range f.domains {
		d.UseBirthDateKey(key)
	}
}

// Describe implements directory.Reader. The fingerprint is that of all domains: a further
// one makes another directory of it, which an administrator confirms.
func (f *Forest) Describe(ctx context.Context) (protocol.Description, error) {
	var all protocol.Description
	var names, prints []string
	for _, d := range f.domains {
		one, err := d.Describe(ctx)
		if err != nil {
			return all, err
		}
		all = one
		names, prints = append(names, one.Traits.Name), append(prints, strings.TrimPrefix(one.Fingerprint, "ad:"))
	}
	slices.Sort(prints)
	if two := slices.Compact(slices.Clone(prints)); len(two) < len(prints) {
		return all, protocol.Err(protocol.CodeConfiguration, "two of the domains in the file are the same one; name a domain once, with all its base_dns")
	}
	all.Fingerprint, all.Traits.Name = "ad:"+strings.Join(prints, "+"), strings.Join(names, ", ")
	return all, nil
}

// errWhole ends a pass of changes because a domain lists everything.
var errWhole = errors.New("ad: everything is listed")

// List implements directory.Reader. A pass lists changes of all domains or everything of
// all: what a full pass does not list is gone.
func (f *Forest) List(ctx context.Context, since string, page int, yield func(directory.Page) error) (string, error) {
	states := make([]string, len(f.domains))
	if json.Unmarshal([]byte(since), &states) == nil && len(states) == len(f.domains) && !slices.Contains(states, "") {
		pages, next, err := f.changes(ctx, states, page)
		if err == nil {
			for _, p := range pages {
				if err := yield(p); err != nil {
					return "", err
				}
			}
			return next, nil
		}
		if !errors.Is(err, errWhole) {
			return "", err
		}
	}
	states = make([]string, len(f.domains))
	for i, d := range f.domains {
		var err error
		if states[i], err = d.List(ctx, "", page, yield); err != nil {
			return "", err
		}
	}
	return joined(states), nil
}

// changes gathers the changes of every domain, which are few.
func (f *Forest) changes(ctx context.Context, states []string, page int) (pages []directory.Page, next string, err error) {
	for i, d := range f.domains {
		states[i], err = d.List(ctx, states[i], page, func(p directory.Page) error {
			if p.Full {
				return errWhole
			}
			pages = append(pages, p)
			return nil
		})
		if err != nil {
			return nil, "", err
		}
	}
	return pages, joined(states), nil
}

// joined is the state of all domains.
func joined(states []string) string {
	b, err := json.Marshal(states)
	if err != nil || len(b) > maxState {
		return "" // texts only: the next pass lists everything
	}
	return string(b)
}

// Get implements directory.Reader. An identifier may name accounts of several domains.
func (f *Forest) Get(ctx context.Context, ref protocol.Ref) ([]protocol.Account, error) {
	var all []protocol.Account
	for _, d := range f.domains {
		found, err := d.Get(ctx, ref)
		if err != nil {
			return nil, err
		}
		for _, a := range found {
			f.remember(a.ID, d)
		}
		all = append(all, found...)
	}
	return all, nil
}

// Groups implements directory.Reader.
func (f *Forest) Groups(ctx context.Context, q protocol.GroupsRequest) ([]protocol.Group, error) {
	var all []protocol.Group
	for _, d := range f.domains {
		found, err := d.Groups(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	if q.Max > 0 {
		all = all[:min(q.Max, len(all))]
	}
	return all, nil
}

func (f *Forest) remember(id string, d *Directory) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.homes) >= maxHomes {
		clear(f.homes)
	}
	f.homes[id] = d
}

// home finds the domain of an account.
func (f *Forest) home(ctx context.Context, id string) (*Directory, error) {
	f.mu.Lock()
	d := f.homes[strings.ToLower(id)]
	f.mu.Unlock()
	if d != nil {
		return d, nil
	}
	for _, d := range f.domains {
		found, err := d.Get(ctx, protocol.Ref{ID: id})
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			f.remember(found[0].ID, d)
			return d, nil
		}
	}
	return nil, notFound()
}

// at calls do with the domain of an account. One that moved to another domain is looked
// for there.
func at[R any](ctx context.Context, f *Forest, id string, do func(*Directory) (R, error)) (r R, err error) {
	for range 2 {
		var d *Directory
		if d, err = f.home(ctx, id); err != nil {
			return r, err
		}
		if r, err = do(d); protocol.CodeOf(err) != protocol.CodeAccountNotFound {
			return r, err
		}
		f.mu.Lock()
		delete(f.homes, strings.ToLower(id))
		f.mu.Unlock()
	}
	return r, err
}

// Contacts implements directory.Reader.
func (f *Forest) Contacts(ctx context.Context, id string) (protocol.Contacts, error) {
	return at(ctx, f, id, func(d *Directory) (protocol.Contacts, error) { return d.Contacts(ctx, id) })
}

// Person implements directory.Personal.
func (f *Forest) Person(ctx context.Context, id string) (directory.Person, error) {
	return at(ctx, f, id, func(d *Directory) (directory.Person, error) { return d.Person(ctx, id) })
}

// Rights implements directory.Advisor.
func (f *Forest) Rights(ctx context.Context, id string) (directory.Rights, error) {
	return at(ctx, f, id, func(d *Directory) (directory.Rights, error) { return d.Rights(ctx, id) })
}

// ActRights implements directory.ActAdvisor. Groups are looked for in the account's own domain.
func (f *Forest) ActRights(ctx context.Context, id string, of directory.ActScope) ([]directory.ActRight, error) {
	return at(ctx, f, id, func(d *Directory) ([]directory.ActRight, error) { return d.ActRights(ctx, id, of) })
}

// Facts implements directory.Writer.
func (f *Forest) Facts(ctx context.Context, id string) (directory.Facts, error) {
	return at(ctx, f, id, func(d *Directory) (directory.Facts, error) { return d.Facts(ctx, id) })
}

// DryRun implements directory.Writer.
func (f *Forest) DryRun(ctx context.Context, id string, tasks []protocol.Task) error {
	_, err := at(ctx, f, id, func(d *Directory) (struct{}, error) { return struct{}{}, d.DryRun(ctx, id, tasks) })
	return err
}

// Stamp implements directory.Writer.
func (f *Forest) Stamp(ctx context.Context, id string, tasks []protocol.Task) (string, error) {
	return at(ctx, f, id, func(d *Directory) (string, error) { return d.Stamp(ctx, id, tasks) })
}

// Perform implements directory.Writer: in the domain whose controller gave the stamp.
func (f *Forest) Perform(ctx context.Context, c directory.Change) (directory.Result, error) {
	d, err := f.stamped(ctx, c)
	if err != nil {
		return directory.Result{}, err
	}
	return d.Perform(ctx, c)
}

// Settle implements directory.Writer.
func (f *Forest) Settle(ctx context.Context, c directory.Change) (protocol.State, error) {
	d, err := f.stamped(ctx, c)
	if err != nil {
		return "", err
	}
	return d.Settle(ctx, c)
}

// stamped is the domain whose controller gave a stamp.
func (f *Forest) stamped(ctx context.Context, c directory.Change) (*Directory, error) {
	s, err := parseStamp(c.Stamp)
	if err != nil {
		return nil, err
	}
	for _, d := range f.domains {
		listed, unsure := d.pool.Names(ctx, s.Server)
		if listed {
			return d, nil
		}
		err = errors.Join(err, unsure)
	}
	if err != nil {
		return nil, err
	}
	return nil, protocol.Err(protocol.CodeConfiguration, "the controller that the journal names is in no domain of the file any more")
}

// Watch implements directory.Watcher: until one of the domains is not watched any more.
func (f *Forest) Watch(ctx context.Context, changed func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(f.domains))
	for _, d := range f.domains {
		go func() { ended <- d.Watch(ctx, changed) }()
	}
	var why error
	for range f.domains {
		if err := <-ended; why == nil {
			why = err
		}
		cancel()
	}
	return why
}

var (
	_ directory.Directory = (*Forest)(nil)
	_ directory.Keyed     = (*Forest)(nil)
	_ directory.Personal  = (*Forest)(nil)
	_ directory.Advisor   = (*Forest)(nil)
	_ directory.Watcher   = (*Forest)(nil)
)
