package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/oidc"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// provenPath is where the person's step of a sign-in is asked for, as the site's pages do
// it once somebody has proven: a ticket in, the way back out.
const provenPath = "/bench/proven"

// startProvider serves the product's OpenID provider over HTTP, on a store of its own on a
// real disk, with one application.
func startProvider(s *stage) *relyingParty {
	keys, err := protocol.GenerateKeys()
	s.need(err)
	h := openHub(s, store.Config{Dir: s.disk(), Serves: true}, keys)
	h.seed(s)
	ln, err := listen(s.ctx, "127.0.0.1:0")
	s.need(err)
	origin := "http://" + ln.Addr().String()
	local := coord.NewLocal()
	s.Cleanup(func() { _ = local.Close() })
	p := oidc.New(oidc.Config{Store: h.store, People: &proven{store: h.store, exchanges: map[string]string{}}, Buckets: counted{local}, Client: http.DefaultClient, Log: quiet,
		Origin: func() string { return origin }, SiteOrigin: func(name string) string { return "https://" + name }})
	mux := http.NewServeMux()
	mux.Handle("/", p)
	mux.Handle("POST "+provenPath, site{p, h.env})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	var wg sync.WaitGroup
	s.Cleanup(wg.Wait)
	s.Cleanup(func() { _ = srv.Close() })
	wg.Go(func() { _ = srv.Serve(ln) })
	id, secret := h.addApplication(s)
	at := party.AddressesOf(party.OpenID, origin)
	r := newRelyingParty(endpoints{at.PAR, at.Authorize, at.Token}, id, secret)
	r.prove = r.provenAt(origin)
	return r
}

// addApplication makes a client with a secret, in an environment with a recovery domain.
func (h *hub) addApplication(s *stage) (id, secret string) {
	settings := party.Settings{Name: "Bench", Redirects: []string{signInBack}}
	s.need(settings.Check(party.OpenID))
	key, err := party.NewKey(party.OpenID, settings, time.Now())
	s.need(err)
	s.need(h.store.Tx(s.ctx, func(tx *store.Tx) error {
		if _, err := tx.AddDomain(s.ctx, h.env, siteHost); err != nil {
			return err
		}
		if err := tx.DomainProven(s.ctx, h.env, siteHost); err != nil {
			return err
		}
		c, err := party.Add(s.ctx, tx, h.env, "", party.OpenID, "", settings, key)
		if err != nil {
			return err
		}
		text, err := party.NewSecret(s.ctx, tx, &c)
		id, secret = c.ID, text.Reveal()
		return err
	}))
	return id, secret
}

// provenAt returns how the person's step is done at a provider.
func (r *relyingParty) provenAt(origin string) func(context.Context, *url.URL) (string, error) {
	return func(ctx context.Context, to *url.URL) (string, error) { return r.proven(ctx, origin, to) }
}

// proven hands the ticket in, over the network as a browser does.
func (r *relyingParty) proven(ctx context.Context, origin string, to *url.URL) (string, error) {
	if to.Path != oidc.SignInPath {
		return "", errors.New("bench: the browser was not sent to the recovery domain")
	}
	body, err := r.send(ctx, origin+provenPath, browserField, to.Fragment)
	return string(body), err
}

// A site does with a ticket what the recovery domain does, around the proof.
type site struct {
	provider *oidc.Provider
	env      string
}

// ServeHTTP implements http.Handler.
func (t site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ticket, err := io.ReadAll(io.LimitReader(r.Body, 1<<10))
	var o oidc.Opened
	if err == nil {
		o, err = t.provider.Open(r.Context(), t.env, string(ticket), "en", recovery.Client{Address: "127.0.0.1", UserAgent: r.UserAgent(), Origin: "https://" + siteHost})
	}
	var to string
	if err == nil {
		to, err = t.provider.FinishPerson(r.Context(), t.env, o.Use, o.Session, true)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, to)
}

// proven are people who have proven who they are already: proofs in memory, each for one
// exchange and good once.
type proven struct {
	store *store.Store

	mu        sync.Mutex
	exchanges map[string]string // by session
}

var errProven = errors.New("bench: nobody has proven that")

// OpenFor implements oidc.People.
func (p *proven) OpenFor(_ context.Context, o request.Opening) (session string, err error) {
	session = store.NewToken()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exchanges[session] = o.Exchange
	return session, nil
}

// ProofFor implements oidc.People.
func (p *proven) ProofFor(_ context.Context, _, _, session string) (string, request.Proof, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := p.exchanges[session]
	if id == "" {
		return "", request.Proof{}, errProven
	}
	return id, request.Proof{Given: "Ann", Family: "Lee", BirthDate: "1980-02-29", Person: "01K000000000000000000PERSON", Method: policy.DigitalCredential}, nil
}

// FinishFor implements oidc.People. There is nothing of the proof to write down.
func (p *proven) FinishFor(ctx context.Context, env, use, session string, _ bool, then func(tx *store.Tx, exchange string, proven *request.Proof) error) error {
	id, proof, err := p.ProofFor(ctx, env, use, session)
	if err != nil {
		return err
	}
	if err := p.store.Early(ctx, func(tx *store.Tx) error { return then(tx, id, &proof) }); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.exchanges, session)
	return nil
}

// StopFor implements oidc.People. Nobody stops here.
func (p *proven) StopFor(context.Context, *store.Tx, string, string) error { return errProven }

// WaitsFor implements oidc.People. Nobody looks at anything here.
func (p *proven) WaitsFor(context.Context, *store.Tx, string, string) (bool, error) {
	return false, errProven
}

// CodeIssued implements oidc.People. The organisation has no webhooks.
func (p *proven) CodeIssued(context.Context, *store.Tx, string, string) error { return nil }

// TokenIssued implements oidc.People.
func (p *proven) TokenIssued(context.Context, *store.Tx, string, string) error { return nil }

// counted takes from the product's buckets, and lets one address ask as often as this
// experiment does.
type counted struct{ *coord.Local }

// Take implements oidc.Buckets.
func (c counted) Take(ctx context.Context, key string, burst int, every time.Duration) (bool, time.Duration, error) {
	_, after, err := c.Local.Take(ctx, key, coord.Rate{Burst: burst, Every: every})
	return true, after, err
}
