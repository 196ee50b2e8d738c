package wallet

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/evidence"
)

// Bounds of what is remembered of imported sources.
const (
	listsSize = 8 << 20     // bytes of them, as they were imported
	failedFor = time.Minute // one that brings nothing now is not read again so long
)

// Lists are the authorities that imported sources bring. A source is parsed, and verified
// where it is signed, when it is first met, and again only when a certificate by which it
// was verified has ended: its row never changes. Which rows there are is for the store to
// say, each time. The methods may be called from many goroutines at once.
type Lists struct {
	now func() time.Time

	mu   sync.Mutex
	kept map[sourceName]readList
	size int // bytes of sources of which something is kept
}

// NewLists makes Lists that remember nothing yet.
func NewLists(now func() time.Time) *Lists {
	return &Lists{now: now, kept: map[sourceName]readList{}}
}

type sourceName struct{ env, id string }

// A readList is what one source brings; nobody changes it.
type readList struct {
	anchors []evidence.TrustAnchor
	err     error     // why it brings nothing
	until   time.Time // zero: as long as its row stands
	size    int       // bytes of the source
}

// Authorities returns what a source brings now, and why it brings nothing.
func (l *Lists) Authorities(s store.TrustSource) ([]evidence.TrustAnchor, error) {
	name := sourceName{s.Env, s.ID}
	r, known := l.remembered(name)
	if !known {
		r = readSource(s, l.now())
		l.remember(name, r)
	}
	return r.anchors, r.err
}

// trust is the environment's trust list. A source that cannot be read any more is
// skipped: what is trusted never grows by that.
func (l *Lists) trust(ctx context.Context, s *store.Store, env string) (*evidence.TrustList, error) {
	all, err := store.Get(ctx, s, func(tx *store.Tx) ([]listed, error) { return l.listed(ctx, tx, env) })
	list := new(evidence.TrustList)
	for _, one := range all {
		if one.row.ID != "" {
			one.read.anchors, _ = l.Authorities(one.row)
		}
		_ = list.Add(one.read.anchors...)
	}
	return list, err
}

// A listed source is one that is remembered, or its row.
type listed struct {
	read readList
	row  store.TrustSource
}

// listed reads which sources an environment has, and the rows of those that are new.
func (l *Lists) listed(ctx context.Context, tx *store.Tx, env string) (all []listed, err error) {
	ids, err := tx.TrustSourceIDs(ctx, env)
	for _, id := range ids {
		var one listed
		known := false
		if one.read, known = l.remembered(sourceName{env, id}); !known {
			if one.row, err = tx.TrustSource(ctx, env, id); err != nil {
				return nil, err
			}
		}
		all = append(all, one)
	}
	return all, err
}

func (l *Lists) remembered(name sourceName) (readList, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, known := l.kept[name]
	return r, known && (r.until.IsZero() || !l.now().After(r.until))
}

// remember keeps what a source brings. Where all would be too much it forgets the others:
// those that are in use come again.
func (l *Lists) remember(name sourceName, r readList) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size -= l.kept[name].size
	if l.size += r.size; l.size > listsSize {
		clear(l.kept)
		l.size = r.size
	}
	l.kept[name] = r
}

// readSource reads what a source brings.
func readSource(s store.TrustSource, now time.Time) readList {
	r, list := readList{size: len(s.Body) + len(s.Root)}, new(evidence.TrustList)
	switch s.Kind {
	case store.TrustPEM:
		r.err = list.AddPEM(s.Name, s.Body, s.DocTypes...)
	case store.TrustVICAL:
		var info evidence.VICALInfo
		info, r.err = list.AddVICAL(s.Name, s.Body, s.Root, now)
		r.until = info.Until
	default:
		r.err = errors.New("wallet: a trust source of an unknown kind")
	}
	if r.err != nil {
		r.until = now.Add(failedFor)
	}
	r.anchors = list.Anchors()
	return r
}
