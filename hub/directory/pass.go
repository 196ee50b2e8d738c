package directory

import (
	"context"
	"crypto/sha256"
	"maps"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Bounds of a pass.
const (
	pageSize    = 1000           // accounts that a page shall have: some 160 KB packed
	batchSize   = 2000           // accounts written in one transaction, about 40 ms: what others write comes between
	queued      = 3              // pages that wait to be written
	maxAccounts = 5_000_000      // of one directory; more is an agent that does not stop
	maxEmpty    = 1000           // pages without accounts in a pass
	fullEvery   = 24 * time.Hour // a pass over changes alone may miss what its kind cannot see
)

// key stands for an immutable id: a directory may have millions, in ids of any length.
type key [16]byte

func keyOf(id string) key {
	h := sha256.Sum256([]byte(id))
	return key(h[:16])
}

// known is what the store has of an account.
type known struct {
	row    int64
	digest string
	swept  bool
	seen   bool // in this pass
}

// A pass is one listing by one agent.
type pass struct {
	r     *syncRun
	to    To
	dir   store.Directory
	since string
	begun bool   // an agent gave a page
	state string // what the agent gave with the last one

	accounts map[key]known
	next     int64                     // see store.PrepareAccounts
	groups   map[string]protocol.Group // by id, as stored
	deleted  map[key]string            // ids that the agent says are gone
	live     int                       // accounts that the store had when it began, swept ones excluded
	full     bool
	empty    int // pages without accounts
	refused  int // accounts that are none
}

func newPass(r *syncRun, agent string) *pass {
	return &pass{r: r, to: To{Env: r.to.Env, Directory: r.to.Directory, Agent: agent}, deleted: map[key]string{}}
}

// run carries out the pass.
func (p *pass) run(ctx context.Context) error {
	desc, err := p.r.d.describe(ctx, p.to)
	if err != nil {
		return err
	}
	if err := p.start(ctx); err != nil {
		return err
	}
	if err := p.sameDirectory(desc.Fingerprint); err != nil {
		return err
	}
	p.r.progress(-1, 0)
	if err := p.pages(ctx); err != nil {
		return err
	}
	return p.finish(ctx)
}

// start decides where the pass starts: at the state of the last finished one if that is
// known and may be continued, else at nothing.
func (p *pass) start(ctx context.Context) (err error) {
	p.dir, err = store.Get(ctx, p.r.d.store, func(tx *store.Tx) (store.Directory, error) {
		return tx.Directory(ctx, p.to.Env, p.to.Directory)
	})
	s := p.dir.Sync
	recent := p.r.d.store.Now().Sub(s.FullCompleted) < fullEvery
	if !p.r.full && s.Generation > 0 && s.State != "" && recent && s.Pending.Reason == "" && p.dir.Traits.CanUpdateAccountsList {
		p.since = s.State
	}
	p.full = p.since == ""
	return err
}

// load reads what the store has. A pass over changes alone reads no more of accounts than
// those that it meets.
func (p *pass) load(ctx context.Context) error {
	p.accounts, p.groups = map[key]known{}, map[string]protocol.Group{}
	return p.r.d.store.Read(ctx, func(tx *store.Tx) error {
		groups, err := tx.AllGroups(ctx, p.to.Env, p.to.Directory)
		if err != nil {
			return err
		}
		if p.next, err = tx.NextAccount(ctx); err != nil {
			return err
		}
		for _, g := range groups {
			p.groups[g.ID] = g
		}
		if !p.full {
			p.live = p.dir.Sync.Count
			return nil
		}
		return p.loadAccounts(ctx, tx)
	})
}

// loadAccounts reads every account, except that what was seen stays as it was seen.
func (p *pass) loadAccounts(ctx context.Context, tx *store.Tx) error {
	p.live = 0
	return tx.KnownAccounts(ctx, p.to.Env, p.to.Directory, func(k store.KnownAccount) {
		p.know(k)
		if !k.Swept {
			p.live++
		}
	})
}

// know keeps what the store has of an account.
func (p *pass) know(k store.KnownAccount) {
	if id := keyOf(k.ImmutableID); !p.accounts[id].seen {
		p.accounts[id] = known{row: k.Row, digest: k.Digest, swept: k.Swept}
	}
}

// meet reads what the store has of a page's accounts, where not everything was loaded:
// everything after all if the agent lists everything.
func (p *pass) meet(ctx context.Context, page protocol.ListPage) error {
	if p.full || len(page.Accounts) == 0 && !page.Full {
		return nil
	}
	return p.r.d.store.Read(ctx, func(tx *store.Tx) error {
		if page.Full {
			return p.loadAccounts(ctx, tx)
		}
		ids := make([]string, len(page.Accounts))
		for i, a := range page.Accounts {
			ids[i] = a.ID
		}
		return tx.KnownAmong(ctx, p.to.Env, p.to.Directory, ids, p.know)
	})
}

// sameDirectory stops the pass of an agent that serves another directory than before.
func (p *pass) sameDirectory(fingerprint string) error {
	if was := p.dir.Sync.Fingerprint; was != "" && was != fingerprint {
		return &question{store.Pending{Reason: store.PendingFingerprint, Asked: p.r.d.store.Now(), Fingerprint: fingerprint}}
	}
	p.dir.Sync.Fingerprint = fingerprint
	return nil
}

// bounded stops an agent that does not stop.
func (p *pass) bounded(page protocol.ListPage) error {
	if len(page.Accounts) == 0 {
		p.empty++
	}
	if p.empty > maxEmpty || p.r.count()+len(page.Accounts) > maxAccounts || len(page.State) > maxState {
		return protocol.Err(protocol.CodeConfiguration, "the listing does not end")
	}
	return nil
}

// compare returns the accounts and groups of a page that have to be written.
func (p *pass) compare(accounts []protocol.Account) (b batch) {
	for _, raw := range accounts {
		a, ok := tidy(raw)
		if !ok {
			p.refused++
			continue
		}
		k := keyOf(a.ID)
		was := p.accounts[k]
		delete(p.deleted, k)
		if was.seen {
			continue // listed twice
		}
		digest := store.AccountDigest(a)
		p.accounts[k] = known{row: was.row, digest: digest, seen: true}
		if was.row == 0 || was.swept || was.digest != digest {
			b.changed = append(b.changed, store.AccountWrite{Account: a, Digest: digest, Row: was.row})
		}
		for _, g := range a.Groups {
			if p.groups[g.ID] != g {
				p.groups[g.ID] = g
				b.groups = append(b.groups, g)
			}
		}
	}
	return b
}

// latest leaves each group once, as it was seen last.
func latest(groups []protocol.Group) []protocol.Group {
	at := map[string]int{}
	var all []protocol.Group
	for _, g := range groups {
		if i, ok := at[g.ID]; ok {
			all[i] = g
			continue
		}
		at[g.ID] = len(all)
		all = append(all, g)
	}
	return all
}

// fenced runs fn in a transaction that also records the progress, which fails if
// another run has taken over. The end of the pass makes it durable.
func (p *pass) fenced(ctx context.Context, fn func(*store.Tx) error) error {
	listed, expected := p.r.counts()
	return p.r.d.store.Draft(ctx, func(tx *store.Tx) error {
		if err := tx.SyncProgress(ctx, p.to.Env, p.to.Directory, p.r.id, listed, expected); err != nil {
			return err
		}
		return fn(tx)
	})
}

// finish sweeps what disappeared and ends the pass; only this deletes.
func (p *pass) finish(ctx context.Context) error {
	gone, err := p.gone(ctx)
	if err != nil {
		return err
	}
	if err := p.believable(len(gone)); err != nil {
		return err
	}
	for len(gone) > 0 {
		now := gone[:min(batchSize, len(gone))]
		err := p.fenced(ctx, func(tx *store.Tx) error { return tx.SweepAccounts(ctx, p.to.Env, p.to.Directory, now) })
		if err != nil {
			return err
		}
		gone = gone[len(now):]
	}
	if p.refused > 0 {
		p.r.d.log.WarnContext(ctx, "accounts without a usable id were not taken over", "directory", p.to.Directory, "count", p.refused)
	}
	return p.r.d.store.Tx(ctx, func(tx *store.Tx) error {
		return tx.FinishSync(ctx, p.to.Env, p.to.Directory, p.r.id, store.SyncResult{
			Full: p.full, Generation: p.dir.Sync.Generation + 1, Fingerprint: p.dir.Sync.Fingerprint, State: p.state, Listed: p.r.count()})
	})
}

// gone returns the accounts that the pass did not see, if it saw everything, or those
// that the agent said were deleted.
func (p *pass) gone(ctx context.Context) (ids []string, err error) {
	if !p.full && len(p.deleted) == 0 || p.full && !p.anyMissing() {
		return nil, nil
	}
	err = p.r.d.store.Read(ctx, func(tx *store.Tx) error {
		if !p.full {
			return tx.KnownAmong(ctx, p.to.Env, p.to.Directory, slices.Collect(maps.Values(p.deleted)), func(k store.KnownAccount) {
				if !k.Swept {
					ids = append(ids, k.ImmutableID)
				}
			})
		}
		return tx.KnownAccounts(ctx, p.to.Env, p.to.Directory, func(k store.KnownAccount) {
			if !k.Swept && !p.accounts[keyOf(k.ImmutableID)].seen {
				ids = append(ids, k.ImmutableID)
			}
		})
	})
	return ids, err
}

// anyMissing reports whether the pass did not see an account that the store had when it
// began: mostly it saw all, and the store need not be read again.
func (p *pass) anyMissing() bool {
	for _, k := range p.accounts {
		if !k.seen && !k.swept {
			return true
		}
	}
	return false
}

// The shrink guard: more than one in ten, and at least five, waits for confirmation.
const (
	shrinkLeast = 5
	shrinkPart  = 10
)

// believable asks before too many accounts disappear. A confirmation holds for as many
// as the administrator saw, and a tenth more.
func (p *pass) believable(missing int) error {
	if missing < shrinkLeast || missing*shrinkPart <= p.live {
		return nil
	}
	if q := p.dir.Sync.Pending; q.Reason == store.PendingShrink && q.Confirmed && missing <= q.Missing+q.Missing/shrinkPart {
		return nil
	}
	return &question{store.Pending{Reason: store.PendingShrink, Asked: p.r.d.store.Now(), Missing: missing, Of: p.live}}
}

// progress counts listed accounts; a negative number begins anew.
func (r *syncRun) progress(listed, expected int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if listed < 0 {
		r.listed, r.expected = 0, 0
		return
	}
	r.listed += listed
	r.expected = max(r.expected, expected)
}

func (r *syncRun) counts() (listed, expected int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.listed, r.expected
}

func (r *syncRun) count() int {
	listed, _ := r.counts()
	return listed
}
