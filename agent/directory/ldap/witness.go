package ldap

import (
	"context"
	"slices"

	"github.com/go-ldap/ldap/v3"
)

// A witness is one of the entries that had changed last when a pass ended. A server that
// was put back to an older copy numbers on as if nothing had happened: once it has caught
// up, only what it says of single entries tells.
type witness struct {
	ID     key    `json:"id"`
	Change string `json:"change"`
}

const maxWitnesses = 3 // one alone may have changed again after the restore

// see counts an entry among those that changed last, if it is one of them.
func (p *pass) see(k key, change string) {
	if change == "" || len(p.latest) == maxWitnesses && change <= p.latest[maxWitnesses-1].Change {
		return
	}
	var all [maxWitnesses + 1]witness
	n := 0
	for _, w := range p.latest {
		if w.ID != k {
			all[n] = w
			n++
		}
	}
	at := n
	for at > 0 && all[at-1].Change < change {
		all[at] = all[at-1]
		at--
	}
	all[at] = witness{k, change}
	p.latest = append(p.latest[:0], all[:min(n+1, maxWitnesses)]...)
}

// continues reports whether the server still has everything that it had. A witness that
// is gone although nobody says that it was deleted may not have been made yet in the
// copy: a full pass is right in either case.
func (p *pass) continues(ctx context.Context, ch news) (bool, error) {
	left := map[key]string{}
	for _, w := range p.latest {
		if !ch.gone[w.ID] {
			left[w.ID] = w.Change
		}
	}
	if len(left) == 0 {
		return true, nil
	}
	cfg := p.directory.cfg
	ids := make([]key, 0, len(left))
	for k := range left {
		ids = append(ids, k)
	}
	older := false
	for _, base := range p.server.suffixes {
		err := p.each(ctx, base, p.anyAccount(ids), func(e *ldap.Entry) {
			k := p.keyOfEntry(e)
			older = older || first(entry{e}, cfg.ChangeAttribute) < left[k]
			delete(left, k)
		}, cfg.IDAttribute, cfg.uuidAttribute(), cfg.ChangeAttribute)
		if err != nil {
			return false, err
		}
	}
	p.latest = slices.DeleteFunc(slices.Clone(p.latest), func(w witness) bool { return ch.gone[w.ID] })
	if older || len(left) > 0 {
		p.directory.log.Warn("the directory does not hold what it held: it was restored from an older copy, or what changed last was deleted; everything is read anew", "server", p.conn.Server())
		return false, nil
	}
	return true, nil
}
