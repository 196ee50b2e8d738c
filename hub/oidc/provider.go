package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

// SignIns are the proofs of accounts.
type SignIns interface {
	SignIn(ctx context.Context, s flow.SignIn) (id, session string, err error)
	FinishSignIn(ctx context.Context, env, id, session string, give bool, then func(tx *store.Tx, s flow.SignedIn) error) error
}

// A Picture draws an address for the camera of a phone.
type Picture interface {
	Draw(text string) (path string, size int, err error) // of an SVG
	PNG(text string) ([]byte, error)
}

// Config is what a Provider is made of.
type Config struct {
	Store      *store.Store
	SignIns    SignIns
	People     People   // nil: nobody can be asked who they are
	Accounts   Accounts // nil: nobody's account is named
	Buckets    Buckets
	Picture    Picture                  // nil: no phone can go on with what a screen shows
	Signer     party.Signer             // of keys that lie outside
	Client     *http.Client             // for the keys of tenants; reaches public addresses only
	Origin     func() string            // scheme and host of public_url
	SiteOrigin func(name string) string // of a recovery domain
	Authority  string                   // where the keys of tenants are fetched; "": at the cloud's own address
	Log        *slog.Logger
	Now        func() time.Time // nil: time.Now
}

// A Provider answers identity providers. Its methods may be called from many goroutines
// and on many nodes at once.
type Provider struct {
	cfg    Config
	mux    *http.ServeMux
	files  *page.Files
	script string // hash of the script that sends a form by itself, for the policy of its page

	mu      sync.Mutex
	tenants map[string]tenantKeys // by authority
	clients map[string]clientKeys // by jwks_uri

	sets    map[string]*keptSet // by path of the issuer; never changes
	servers map[string]bool     // paths at which no browser asks; never changes
	plain   map[string]bool     // patterns of documents, which reading does not change; never changes
	parsed  *parsed
	old     atomic.Int64 // see OldKeys
}

// New makes a Provider. It needs Run for the upkeep of keys.
func New(cfg Config) *Provider {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	sum := sha256.Sum256([]byte(sendScript))
	p := &Provider{cfg: cfg, mux: http.NewServeMux(), script: "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'", files: page.NewFiles(filesPath, static), tenants: map[string]tenantKeys{}, clients: map[string]clientKeys{}, sets: map[string]*keptSet{}, servers: map[string]bool{}, plain: map[string]bool{}, parsed: newParsed()}
	for _, at := range party.Issuers() {
		p.sets[at.Path] = new(keptSet)
		p.serveIssuer(at)
	}
	p.serveWaiting()
	return p
}

func (p *Provider) serveIssuer(at party.Issuer) {
	handle := func(pattern string, h func(w http.ResponseWriter, r *http.Request, at party.Issuer)) {
		p.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { h(w, r, at) })
	}
	handle(p.document(at.Path+party.DiscoveryPath), p.discovery)
	handle(p.document(at.Endpoints+"/jwks"), p.jwks)
	handle("GET "+at.Endpoints+returnPath, p.returned)
	handle("POST "+at.Endpoints+"/authorize", p.authorize)
	if !at.Post { // OpenID Connect Core 3.1.2.1: by either
		handle("GET "+at.Endpoints+"/authorize", p.authorize)
	}
	if at.Pushes {
		p.serveV1(at)
		handle(p.document(metadataPath+at.Path), p.discovery)
		handle("POST "+at.Endpoints+"/par", p.push)
		p.servers[at.Endpoints+"/par"] = true
		handle("GET "+at.Endpoints+party.EndPath, p.endSession)
		handle("POST "+at.Endpoints+party.EndPath, p.endSession)
	}
	if at.Code {
		handle("POST "+at.Endpoints+"/token", p.token)
		p.servers[at.Endpoints+"/token"] = true
		handle("GET "+at.Endpoints+"/userinfo", p.userinfo)
		handle("POST "+at.Endpoints+"/userinfo", p.userinfo)
	}
	if at.Serves(party.OpenID) {
		for _, path := range []string{"/par", "/token", "/userinfo"} {
			handle("OPTIONS "+at.Endpoints+path, p.preflight)
		}
	}
}

// Patterns lists the paths below which the provider answers, for a mux.
func Patterns() []string {
	return []string{"/entra/", "/okta/", "/oauth2/", party.DiscoveryPath, metadataPath, "/authorize", waitPath, "/oauth/authorize", "/x/", "/token", "/logout", pollPath}
}

// ServeHTTP implements http.Handler. Whoever mounts it sees to it that it is reached on
// the host of public_url alone.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.servers[r.URL.Path] {
		page.DataHeaders(w.Header())
	} else {
		page.Headers(w.Header())
		w.Header().Set("Cross-Origin-Opener-Policy", "unsafe-none") // sign-in windows must keep hold of whoever opened them
	}
	if r.Method == http.MethodHead && !p.shows(r) {
		w.Header().Set("Allow", strings.Join(p.methods(r), ", "))
		http.Error(w, "this address is not for HEAD", http.StatusMethodNotAllowed)
		return
	}
	p.mux.ServeHTTP(w, r)
}

// document returns the pattern of an address at which a document stands.
func (p *Provider) document(path string) (pattern string) {
	pattern = "GET " + path
	p.plain[pattern] = true
	return pattern
}

// shows reports whether HEAD may be answered as GET is, of which ServeMux makes no
// difference: only where a document stands, or nothing. All else may spend what is good
// once, a request_uri or an answer, and scanners of links and previews ask by HEAD.
func (p *Provider) shows(r *http.Request) bool {
	_, pattern := p.mux.Handler(r)
	return pattern == "" || p.plain[pattern]
}

// methods lists by what else the address of a request is asked.
func (p *Provider) methods(r *http.Request) (list []string) {
	for _, m := range []string{http.MethodGet, http.MethodPost} {
		other := r.Clone(r.Context())
		other.Method = m
		if _, pattern := p.mux.Handler(other); pattern != "" {
			list = append(list, m)
		}
	}
	return list
}

// addressOf is the client's address, which the edge has put in the connection's place.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// issuer returns the issuer of a contract.
func (p *Provider) issuer(row party.Terms) string { return p.cfg.Origin() + row.Path }

// site returns the recovery domain on which people of a client prove who they are.
func (p *Provider) site(ctx context.Context, tx *store.Tx, c party.Party) (string, error) {
	all, err := tx.Domains(ctx, c.Env)
	if err != nil {
		return "", err
	}
	for _, d := range all {
		if !d.Proven.IsZero() && (c.Settings.Domain == "" || strings.EqualFold(c.Settings.Domain, d.Name)) {
			return p.cfg.SiteOrigin(d.Name), nil
		}
	}
	return "", errors.New("oidc: the environment has no proven recovery domain for this client")
}

// upkeepEvery is how often each node looks after keys and old rows.
const upkeepEvery = time.Hour

// Run rotates keys and forgets what has ended, until ctx does.
func (p *Provider) Run(ctx context.Context) error {
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	for {
		if err := p.upkeep(ctx); err != nil && ctx.Err() == nil {
			p.cfg.Log.WarnContext(ctx, "keys of relying parties cannot be looked after", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (p *Provider) upkeep(ctx context.Context) error {
	err := p.cfg.Store.Tx(ctx, func(tx *store.Tx) error { return tx.PurgeOIDC(ctx, p.cfg.Now().Add(-keepUsed)) })
	if err != nil {
		return err
	}
	all, err := store.Get(ctx, p.cfg.Store, func(tx *store.Tx) ([]store.OIDCClient, error) { return tx.AllOIDCClients(ctx) })
	if err != nil {
		return err
	}
	for _, c := range all {
		if err := party.Renew(ctx, p.cfg.Store, c, p.cfg.Now()); err != nil && !errors.Is(err, party.ErrRotating) {
			return fmt.Errorf("client %s: %w", c.ID, err)
		}
	}
	return p.lookOutside(ctx)
}

// lookOutside says which keys outside of the hub are not to be had, before they are needed,
// and which are so old that a key in the hub would have been replaced by itself.
func (p *Provider) lookOutside(ctx context.Context) error {
	all, err := store.Get(ctx, p.cfg.Store, func(tx *store.Tx) ([]store.OutsideOIDCKey, error) { return tx.OutsideOIDCKeys(ctx) })
	old := int64(0)
	for _, k := range all {
		if _, err := p.cfg.Signer.Key(ctx, k.Fingerprint); err != nil {
			p.cfg.Log.WarnContext(ctx, "a signing key outside of the hub is not to be had", "client", k.Client, "key", k.Fingerprint, "signs_from", k.ActiveFrom, "error", err)
		}
		if k.Newest && party.Old(k.ActiveFrom, p.cfg.Now()) {
			old++
			p.cfg.Log.WarnContext(ctx, "a signing key outside of the hub is old, and nobody here can make another: postern env client rotate --external", "client", k.Client, "key", k.Fingerprint, "signs_from", k.ActiveFrom)
		}
	}
	p.old.Store(old)
	return err
}

// OldKeys returns how many clients have a signing key outside of the hub that is older than
// 180 days, as of the last look.
func (p *Provider) OldKeys() int64 { return p.old.Load() }
