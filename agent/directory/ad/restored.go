package ad

import (
	"context"
	"sort"
	"strconv"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// A witness is an object that had changed last when a pass began. A controller that was
// put back to an older copy of its disk keeps its identity and gives numbers out a second
// time: once it has caught up, only what it says of single objects tells.
type witness struct {
	ID  string `json:"id"`
	USN uint64 `json:"usn"`
}

const (
	maxWitnesses = 3     // one alone may have changed again after the restore
	lookBack     = 16    // numbers to look back for them; ten times as many until some are found
	mostBack     = 1e6   // then there is no witness
	maxRecent    = 10000 // objects in one look
)

// witnesses finds the objects that changed last.
func (p *pass) witnesses(ctx context.Context) ([]witness, error) {
	for back := uint64(lookBack); back < mostBack; back *= 10 {
		from := p.dom.usn - min(back, p.dom.usn)
		r := ldapconn.Request(p.dom.base, ldap.ScopeWholeSubtree, maxRecent, "(uSNChanged>="+strconv.FormatUint(from, 10)+")", "objectGUID", "uSNChanged")
		found, err := p.c.Search(ctx, r)
		if err != nil {
			return nil, err
		}
		if len(found) >= maxWitnesses || from == 0 && len(found) > 0 {
			return latest(found, p.dom.usn), nil
		}
	}
	return nil, nil
}

// latest are those that changed last, but not after usn.
func latest(found []*ldap.Entry, usn uint64) []witness {
	var all []witness
	for _, e := range found {
		n, err := strconv.ParseUint(e.GetAttributeValue("uSNChanged"), 10, 63)
		id, bad := guidText(e.GetRawAttributeValue("objectGUID"))
		if err == nil && bad == nil && n <= usn {
			all = append(all, witness{id, n})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].USN > all[j].USN })
	return all[:min(len(all), maxWitnesses)]
}

// continues reports whether the controller still has everything that it had at the mark.
// A witness that is gone without a trace may have been deleted, or not have been made yet
// in the copy: both lead to a full pass, which is right in either case.
func (p *pass) continues(ctx context.Context, old mark) (bool, error) {
	if p.dom.usn < old.USN {
		return false, nil
	}
	for _, w := range old.Witnesses {
		id, _, err := ldapconn.ParseUUID(w.ID)
		if err != nil {
			return false, nil // not our state
		}
		r := ldapconn.Request(guidDN(id), ldap.ScopeBaseObject, 0, "(objectClass=*)", "uSNChanged")
		r.Controls = []ldap.Control{ldap.NewControlMicrosoftShowDeleted()}
		found, err := p.c.Search(ctx, r)
		if err != nil && !ldapconn.IsCode(err, ldap.LDAPResultNoSuchObject) {
			return false, err
		}
		if len(found) == 0 {
			return false, nil
		}
		if n, err := strconv.ParseUint(found[0].GetAttributeValue("uSNChanged"), 10, 63); err != nil || n < w.USN {
			return false, nil
		}
	}
	return true, nil
}
