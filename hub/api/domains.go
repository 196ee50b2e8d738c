package api

import (
	"context"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/domain"
	"github.com/postern-id/postern/hub/store"
)

// domainOut is a recovery domain with what proves it.
type domainOut struct {
	Name      string     `json:"name"`
	Proven    bool       `json:"proven"`
	ProvenAt  *time.Time `json:"proven_at,omitempty"`
	CheckedAt *time.Time `json:"checked_at,omitempty"`
	Problem   string     `json:"problem,omitempty"` // what the last check found instead of the proof
	CNAME     string     `json:"cname,omitempty"`   // one proof: a CNAME record of the domain with this target
	TXTName   string     `json:"txt_name"`          // the other: a TXT record of this name …
	TXTValue  string     `json:"txt_value"`         // … with this text
	URL       string     `json:"url"`
}

func (c *call) wireDomain(d store.Domain) domainOut {
	p := c.api.Domains.ProofOf(d)
	return domainOut{
		Name: d.Name, Proven: !d.Proven.IsZero(), ProvenAt: at(d.Proven), CheckedAt: at(d.Checked), Problem: d.LastError,
		CNAME: p.CNAME, TXTName: p.TXTName, TXTValue: p.TXTValue, URL: c.api.Origin(d.Name) + "/",
	}
}

func (c *call) wireDomains(all []store.Domain) []domainOut {
	out := make([]domainOut, 0, len(all))
	for _, d := range all {
		out = append(out, c.wireDomain(d))
	}
	return out
}

// at is a time that may never have been.
func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// domainList is the domains of an environment.
type domainList struct {
	Domains []domainOut `json:"domains"`
}

// listDomains answers with the recovery domains of an environment.
func listDomains(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	all, err := tx.Domains(ctx, c.env.ID)
	return domainList{c.wireDomains(all)}, err
}

// getDomain answers with one domain and what proves it.
func getDomain(_ context.Context, c *call, _ *store.Tx) (any, error) {
	return c.wireDomain(c.domain), nil
}

// addDomainRequest names a domain to register.
type addDomainRequest struct {
	Name string `json:"name"`
}

// addDomain registers a domain. It is not proven yet.
func addDomain(ctx context.Context, c *call, tx *store.Tx, req *addDomainRequest) (any, error) {
	name, err := c.api.Domains.Canonical(req.Name)
	switch {
	case errors.Is(err, domain.ErrControl):
		return nil, bad("name: this host serves the console and the API; take another one for recovery")
	case err != nil:
		return nil, bad("name: want a host name such as recover.example.com")
	}
	d, err := tx.AddDomain(ctx, c.env.ID, name)
	if err != nil {
		return nil, as(err, store.ErrConflict, bad("name: this domain is another environment's, or was until a year ago"))
	}
	c.domain = d
	c.detail = map[string]any{"request": map[string]any{"microsite": map[string]any{"add_domain": name}}}
	return c.wireDomain(d), nil
}

// removeDomain ends the use of a domain.
func removeDomain(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	c.detail = map[string]any{"request": map[string]any{"microsite": map[string]any{"remove_domain": c.domain.Name}}}
	return nil, tx.RemoveDomain(ctx, c.env.ID, c.domain.Name)
}

// checkDomain asks the DNS now, and answers with what it said.
func checkDomain(ctx context.Context, c *call, _ any) (any, error) {
	d, err := c.api.Domains.Check(ctx, c.env.ID, c.domain.Name)
	if err != nil {
		return nil, err
	}
	return c.wireDomain(d), nil
}

// refreshDomains makes a change known to this node at once.
func refreshDomains(ctx context.Context, c *call, reply any) (any, error) {
	return reply, c.api.Domains.Refresh(ctx)
}
