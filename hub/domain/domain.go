// Package domain proves that a recovery domain is its environment's, again every day,
// and answers from memory which domains are proven. It knows DNS, and nothing of
// certificates or pages.
package domain

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/postern-id/postern/hub/store"
)

// Errors that callers tell apart.
var (
	ErrName    = errors.New("domain: want a host name such as recover.example.com")
	ErrControl = errors.New("domain: this host serves the console and the API; take another one for recovery")
	ErrUnknown = errors.New("domain: not a proven recovery domain")
)

// Settings are what an operator may change while the hub runs.
type Settings struct {
	CNAMETarget string   // recovery domains point at <environment>.<this>; "": TXT only
	Resolvers   []string // host:port; nil: the system's
	Control     string   // host of the console, which is no recovery domain
}

// Domains knows which domains are proven. It is safe for use by many goroutines.
type Domains struct {
	store *store.Store
	log   *slog.Logger
	now   func() time.Time

	mu       sync.RWMutex
	settings Settings
	proven   map[string]store.Domain // by name
}

// Open reads the proven domains. The caller runs Run.
func Open(ctx context.Context, s *store.Store, settings Settings, log *slog.Logger) (*Domains, error) {
	d := &Domains{store: s, log: log, now: time.Now, settings: settings}
	return d, d.refresh(ctx)
}

// Update puts new settings in force; the next checks follow them.
func (d *Domains) Update(s Settings) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settings = s
}

// Find returns the proven domain of a Host header or TLS name, with or without a port,
// from memory. An unknown one is ErrUnknown.
func (d *Domains) Find(host string) (store.Domain, error) {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	d.mu.RLock()
	defer d.mu.RUnlock()
	found, ok := d.proven[name]
	if !ok {
		return store.Domain{}, ErrUnknown
	}
	return found, nil
}

// Canonical returns a name in the form in which it is stored: lower case, punycode,
// without a final dot. It refuses addresses, names of one label and the console's host.
func (d *Domains) Canonical(name string) (string, error) {
	plain := strings.TrimSuffix(strings.TrimSpace(name), ".")
	canonical, err := idna.Lookup.ToASCII(plain) // of bytes that are no UTF-8 it makes what is no name
	if err != nil || !utf8.ValidString(plain) || len(canonical) > 253 || !strings.Contains(canonical, ".") || strings.Contains("."+canonical+".", "..") {
		return "", ErrName
	}
	if _, err := netip.ParseAddr(canonical); err == nil || strings.ContainsAny(canonical, "_*:/ ") {
		return "", ErrName
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if strings.EqualFold(canonical, d.settings.Control) {
		return "", ErrControl
	}
	return canonical, nil
}

// A Proof is what an administrator enters into the DNS: one of the two.
type Proof struct {
	CNAME    string // the domain's CNAME target; "" if the operator has no cname_target
	TXTName  string
	TXTValue string
}

// ProofOf returns what proves a domain.
func (d *Domains) ProofOf(dom store.Domain) Proof {
	d.mu.RLock()
	defer d.mu.RUnlock()
	p := Proof{TXTName: txtLabel + dom.Name, TXTValue: dom.ProofToken}
	if d.settings.CNAMETarget != "" {
		p.CNAME = dom.Env + "." + strings.ToLower(d.settings.CNAMETarget)
	}
	return p
}

// Check asks the DNS now and records what it says. The domain returned is as it is
// afterwards; LastError tells an administrator what was found instead of the proof.
func (d *Domains) Check(ctx context.Context, env, name string) (store.Domain, error) {
	dom, err := store.Get(ctx, d.store, func(tx *store.Tx) (store.Domain, error) { return tx.Domain(ctx, name) })
	if err != nil {
		return store.Domain{}, err
	}
	if dom.Env != env {
		return store.Domain{}, store.ErrNotFound
	}
	if err := d.check(ctx, dom); err != nil {
		return store.Domain{}, err
	}
	if err := d.refresh(ctx); err != nil {
		return store.Domain{}, err
	}
	return store.Get(ctx, d.store, func(tx *store.Tx) (store.Domain, error) { return tx.Domain(ctx, name) })
}

// Refresh reads the proven domains anew, after a caller has changed them in the store.
func (d *Domains) Refresh(ctx context.Context) error { return d.refresh(ctx) }

// check asks the DNS and records the answer.
func (d *Domains) check(ctx context.Context, dom store.Domain) error {
	d.mu.RLock()
	resolvers := d.settings.Resolvers
	d.mu.RUnlock()
	found := prove(ctx, resolvers, dom.Name, d.ProofOf(dom))
	return d.store.Tx(ctx, func(tx *store.Tx) error {
		if found == nil {
			return tx.DomainProven(ctx, dom.Env, dom.Name)
		}
		// No answer says nothing about the domain; only another answer takes the proof away.
		return tx.DomainFailed(ctx, dom.Env, dom.Name, found.Error(), !errors.Is(found, errNoAnswer))
	})
}

// refresh reads the proven domains into memory. While the store is away the memory
// stays as it is.
func (d *Domains) refresh(ctx context.Context) error {
	all, err := store.Get(ctx, d.store, func(tx *store.Tx) ([]store.Domain, error) { return tx.AllDomains(ctx) })
	if err != nil {
		return err
	}
	proven := make(map[string]store.Domain, len(all))
	for _, dom := range all {
		if !dom.Proven.IsZero() {
			proven[dom.Name] = dom
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.proven = proven
	return nil
}
