package ad

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// maxPage is MaxPageSize of a controller's default query policy.
const maxPage = 1000

// sweepEvery is how long passes may list changes only. Changes miss what left by the
// move of a whole unit, and what was deleted where the agent may not see deletions.
const sweepEvery = 24 * time.Hour

// A mark is the state of a finished pass.
type mark struct {
	DC    string `json:"dc"`    // invocationId: USNs of another controller mean nothing here
	USN   uint64 `json:"usn"`   // highestCommittedUSN before the pass
	Full  int64  `json:"full"`  // Unix time of the last full pass
	Scope string `json:"scope"` // bases and filter: another choice begins anew
}

// maxMark bounds the state that the hub gives back.
const maxMark = 16 << 10

// A pass is one listing on one connection: paging cookies belong to it.
type pass struct {
	d     *Directory
	c     *ldapconn.Conn
	dom   domain
	size  int
	full  bool
	after uint64
	page  []protocol.Account
	yield func(directory.Page) error
	seen  map[string]bool // ids listed, in a pass of changes
}

// List implements directory.Reader.
func (d *Directory) List(ctx context.Context, since string, page int, yield func(directory.Page) error) (string, error) {
	c, err := d.pool.Fresh(ctx, "")
	if err != nil {
		return "", err
	}
	defer c.Close()
	dom, err := readDomain(ctx, c)
	if err != nil {
		return "", err
	}
	now := time.Now()
	old, ok := d.readMark(since, dom, now)
	next := mark{DC: dom.dc, USN: dom.usn, Full: now.Unix(), Scope: d.scope(dom)}
	p := &pass{d: d, c: c, dom: dom, size: min(max(page, 1), maxPage), full: !ok, yield: directory.While(ctx, yield)}
	if ok {
		next.Full, p.after = old.Full, old.USN
		err = p.changes(ctx)
	} else {
		err = p.all(ctx)
	}
	if err != nil {
		return "", err
	}
	state, err := json.Marshal(next)
	return string(state), err
}

// readMark reads the state of a former pass, and whether changes since then can be told.
func (d *Directory) readMark(since string, dom domain, now time.Time) (mark, bool) {
	var m mark
	if since == "" || len(since) > maxMark || json.Unmarshal([]byte(since), &m) != nil {
		return m, false
	}
	age := now.Sub(time.Unix(m.Full, 0))
	return m, m.DC == dom.dc && m.Scope == d.scope(dom) && m.USN <= dom.usn && age >= 0 && age < sweepEvery
}

// scope is what decides which accounts are listed and what is said of them.
func (d *Directory) scope(dom domain) string {
	b, _ := json.Marshal([]any{d.bases(dom), d.filter, d.cfg.BirthDateAttribute}) // strings only: cannot fail
	return string(b)
}

func (p *pass) all(ctx context.Context) error {
	if err := p.list(ctx, p.d.filter); err != nil {
		return err
	}
	return p.flush(nil)
}

// changes lists what changed, and as deleted what changed and is not among the
// configured accounts any more. The wider search comes first, so that an account that
// changes between the two is not taken for a deleted one.
func (p *pass) changes(ctx context.Context) error {
	since := "(uSNChanged>=" + strconv.FormatUint(p.after+1, 10) + ")"
	touched, err := p.ids(ctx, ldapconn.Request(p.dom.base, ldap.ScopeWholeSubtree, 0, ldapconn.And("(objectCategory=person)", "(objectClass=user)", since), "objectGUID"))
	if err != nil {
		return err
	}
	gone, err := p.ids(ctx, deletions(p.dom, since))
	if err != nil && !ldapconn.IsCode(err, ldap.LDAPResultNoSuchObject) && !ldapconn.IsCode(err, ldap.LDAPResultInsufficientAccessRights) {
		return err
	}
	p.seen = map[string]bool{}
	if err := p.list(ctx, ldapconn.And(p.d.filter, since)); err != nil {
		return err
	}
	var deleted []string
	for _, id := range append(gone, touched...) {
		if !p.seen[id] {
			deleted = append(deleted, id)
		}
	}
	return p.flush(deleted)
}

// deletions searches the container of deleted objects by its well-known GUID (MS-ADTS
// 6.1.1.4), whatever its name.
func deletions(dom domain, since string) *ldap.SearchRequest {
	r := ldapconn.Request("<WKGUID=18e2ea80684f11d2b9aa00c04f79f805,"+dom.base+">", ldap.ScopeWholeSubtree, 0,
		ldapconn.And("(isDeleted=TRUE)", "(objectClass=user)", since), "objectGUID")
	r.Controls = []ldap.Control{ldap.NewControlMicrosoftShowDeleted()}
	return r
}

// ids lists the ids of a search.
func (p *pass) ids(ctx context.Context, r *ldap.SearchRequest) ([]string, error) {
	var all []string
	err := p.c.Pages(ctx, r, maxPage, func(e *ldap.Entry) error {
		id, err := guidText(e.GetRawAttributeValue("objectGUID"))
		if err != nil {
			return unreadable("objectGUID of " + e.DN)
		}
		all = append(all, id)
		return nil
	})
	return all, err
}

// list pages through the accounts of every base.
func (p *pass) list(ctx context.Context, filter string) error {
	for _, base := range p.d.bases(p.dom) {
		r := ldapconn.Request(base, ldap.ScopeWholeSubtree, 0, filter, p.d.attributes()...)
		if err := p.c.Pages(ctx, r, p.size, p.add); err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) add(e *ldap.Entry) error {
	a, err := p.d.account(e)
	if err != nil {
		return err
	}
	if p.seen != nil {
		p.seen[a.ID] = true
	}
	p.page = append(p.page, a)
	if len(p.page) < p.size {
		return nil
	}
	return p.flush(nil)
}

// flush gives what was gathered to the caller. A finished pass gives at least one page,
// so that the caller learns whether it was full.
func (p *pass) flush(deleted []string) error {
	page := directory.Page{Full: p.full, Accounts: p.page, Deleted: deleted}
	p.page = nil
	return p.yield(page)
}
