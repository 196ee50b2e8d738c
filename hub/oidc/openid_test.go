package oidc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/oidc"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/hub/verify/wallet"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
	"github.com/postern-id/postern/protocol/match"
)

const demoBack = "http://localhost:9000/callback" // as in the published example

// An office is a rig whose people have wallets, and whose requests and accounts are real.
// Only the agent's word is the test's.
type office struct {
	*rig
	requests  *request.Requests
	reviews   *review.Reviews // of documents, where a test lets people read them
	authority *evidencetest.Authority
	key       string       // API key
	fetches   *http.Client // as which the provider reads keys of clients
	word      operation.Word
	down      bool
	mu        sync.Mutex
	heard     []string // by webhooks
}

// RequestChanged implements request.Hooks.
func (a *office) RequestChanged(_ context.Context, _ *store.Tx, _, event string, _ request.Document) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heard = append(a.heard, event)
	return nil
}

// SharingChanged implements request.Hooks.
func (a *office) SharingChanged(_ context.Context, _ *store.Tx, _ string, s request.Sharing) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heard = append(a.heard, "share "+strings.Join(s.Claims, ","))
	return nil
}

// Bind implements oidc.Accounts.
func (a *office) Bind(ctx context.Context, b oidc.Binding) (oidc.Bound, error) {
	q := directory.Binding{Env: b.Env, Directory: b.Directory, Identifier: b.Identifier, Strength: b.Strength, Document: b.Document}
	if b.Case != "" {
		q.Compare = a.reviews.Faces(b.Case)
	}
	found, err := directory.Bind(ctx, a.store, q)
	reasons := map[error]string{directory.ErrNobody: oidc.NoAccount, directory.ErrSeveral: oidc.SeveralAccounts, directory.ErrFace: oidc.PhotoNotCompared,
		directory.ErrNoPhoto: oidc.NoPhoto, directory.ErrOtherFace: oidc.PhotoDiffers}
	switch {
	case a.down:
		return oidc.Bound{}, recovery.ErrUnavailable
	case reasons[err] != "":
		return oidc.Bound{Reason: reasons[err]}, nil
	case err == nil && a.word.Refused:
		return oidc.Bound{Reason: oidc.NotPermitted}, nil
	}
	return oidc.Bound{Account: found, Strict: a.word.Strict}, err
}

// handheld is the transport of a phone's browser, which needs no other phone.
type handheld struct{}

func (handheld) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", "Browser/1 Mobile")
	return http.DefaultTransport.RoundTrip(r)
}

func (a *office) newPhone() *http.Client {
	b := a.newBrowser()
	b.Transport = handheld{}
	return b
}

// PictureGiven implements request.Hooks. No application asks for one.
func (a *office) PictureGiven(context.Context, *store.Tx, string, request.GivenPicture) error {
	return errors.New("a picture was given")
}

func newOffice(t *testing.T, c store.Config) *office {
	t.Helper()
	a := &office{fetches: &http.Client{}}
	a.rig = newRigOn(t, c, func(r *rig, cfg *oidc.Config) {
		a.requests = request.New(request.Config{Store: r.store, Buckets: &r.buckets, Now: r.now, Log: cfg.Log, Hooks: a,
			Verifiers: []verify.Verifier{wallet.New(wallet.Config{Store: r.store, Now: r.now})}})
		cfg.People, cfg.Accounts, cfg.Client = a.requests, a, a.fetches
	})
	var err error
	if a.authority, err = evidencetest.NewAuthority("DE", "Demo authority", a.now()); err != nil {
		t.Fatal(err)
	}
	a.key = "postern_" + store.NewToken()
	a.tx(func(ctx context.Context, tx *store.Tx) error {
		e := a.fixture.Env
		e.CallbackURLs = []string{demoBack, appBack}
		if err := tx.UpdateEnvironment(ctx, e); err != nil {
			return err
		}
		if err := tx.AddTrustSource(ctx, &store.TrustSource{Env: e.ID, Kind: store.TrustPEM, Name: "demo", Body: a.authority.PEM()}); err != nil {
			return err
		}
		_, err := tx.CreateAPIKey(ctx, store.APIKey{Org: e.Org, Name: "app", Hash: store.HashToken(a.key), Role: "user", Envs: []string{e.ID}, Enabled: true})
		if err != nil {
			return err
		}
		all, err := tx.UnkeyedNames(ctx, e.ID, a.fixture.Directory.ID, 100)
		for i := range all {
			all[i].Keys = store.NameKeys(a.fixture.Directory.ID, match.Name{Full: all[i].Name}.Keys())
		}
		if err != nil {
			return err
		}
		return tx.KeyNames(ctx, e.ID, all)
	})
	return a
}

var ann = evidencetest.Person{Family: "Lee", Given: "Ann", BirthDate: "1980-02-29", Document: "D1234567", Expires: "2099-01-01"}

// proves walks the employee's side with a document, and returns the address that leads
// back.
func (a *office) proves(ticket string, who evidencetest.Person, give bool) string {
	a.t.Helper()
	ok := func(err error) {
		a.t.Helper()
		if err != nil {
			a.t.Fatal(err)
		}
	}
	ctx, env := a.t.Context(), a.fixture.Env.ID
	o, err := a.provider.Open(ctx, env, ticket, "en", recovery.Client{Address: "192.0.2.7", Origin: "https://" + site})
	ok(err)
	if o.Use == "" {
		a.t.Fatalf("opened %+v", o)
	}
	if give {
		ok(a.requests.Agree(ctx, env, o.Use, o.Session, request.Client{Address: "192.0.2.7"}))
		view, err := a.requests.View(ctx, env, o.Use, o.Session)
		ok(err)
		var ask struct {
			Digital []struct {
				Protocol string          `json:"protocol"`
				Data     json.RawMessage `json:"data"`
			} `json:"digital"`
		}
		ok(json.Unmarshal(view.Ask, &ask))
		w, err := a.authority.NewWallet(who, a.now())
		ok(err)
		data, err := w.AnswerBrowser(ask.Digital[0].Protocol, ask.Digital[0].Data, "https://"+site, "mdl", a.now())
		ok(err)
		b, err := json.Marshal(map[string]any{"protocol": ask.Digital[0].Protocol, "data": data})
		ok(err)
		ok(a.requests.Answer(ctx, env, o.Use, o.Session, string(b)))
	}
	to, err := a.provider.FinishPerson(ctx, env, o.Use, o.Session, give)
	ok(err)
	return to
}

// pushes pushes a request, and returns its request_uri.
func (a *office) pushes(form url.Values, header ...string) string {
	a.t.Helper()
	g := a.post(http.DefaultClient, "/oauth2/par", form, header...)
	var reply struct {
		URI     string `json:"request_uri"`
		Expires int    `json:"expires_in"`
	}
	isJSON(a.t, g.body, &reply)
	if g.status != http.StatusCreated || !strings.HasPrefix(reply.URI, "urn:ietf:params:oauth:request_uri:") || reply.Expires <= 0 || g.header.Get("Cache-Control") != "no-store" {
		a.t.Fatalf("pushed: %d %v %s", g.status, g.header, g.body)
	}
	return reply.URI
}

// demo is the published example of a pushed request.
func (a *office) demo(client, secret string) url.Values {
	return url.Values{"client_id": {client}, "client_secret": {secret}, "redirect_uri": {demoBack}, "state": {"b34bxo33g6r3xv2"}, "scope": {"openid"},
		"claims": {`{"id_token":{"name":null}}`}}
}

func authorizeBy(client, uri string) string {
	return "/oauth2/authorize?" + url.Values{"client_id": {client}, "request_uri": {uri}}.Encode()
}

// codeFor leads one person through, and returns the query of the way back.
func (a *office) codeFor(at string, who evidencetest.Person) url.Values {
	a.t.Helper()
	browser := a.newPhone()
	back := a.get(browser, a.proves(a.ticket(a.get(browser, at)), who, true))
	if back.status != http.StatusSeeOther || back.location == nil {
		a.t.Fatalf("back: %d %s", back.status, back.body)
	}
	return back.location.Query()
}

// A tokens is the answer of the token endpoint.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
	Scope   string `json:"scope"`
	Claims  string `json:"claims"`
	Expires int    `json:"expires_in"`
	Type    string `json:"token_type"`
	Subject string `json:"subject"`
	Error   string `json:"error"`
}

func (a *office) redeems(form url.Values, header ...string) (t tokens, status int) {
	a.t.Helper()
	g := a.post(http.DefaultClient, "/oauth2/token", form, header...)
	isJSON(a.t, g.body, &t)
	return t, g.status
}

func exchanging(client, secret, code, back string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "client_id": {client}, "client_secret": {secret}, "code": {code}, "redirect_uri": {back}}
}

// reads checks an id_token as a relying party does, and returns its claims and algorithm.
func (a *office) reads(text, client string) (jwt.MapClaims, string) {
	a.t.Helper()
	claims := jwt.MapClaims{}
	token, err := jwt.NewParser(jwt.WithValidMethods([]string{"ES256", "RS256", "EdDSA"}), jwt.WithIssuer(a.origin), jwt.WithAudience(client), jwt.WithExpirationRequired()).
		ParseWithClaims(text, claims, func(t *jwt.Token) (any, error) { return a.published(t.Header["kid"].(string)), nil })
	if err != nil {
		a.t.Fatalf("token: %v", err)
	}
	return claims, token.Method.Alg()
}

// published returns a key of the key set.
func (a *office) published(kid string) any {
	a.t.Helper()
	var set struct {
		Keys []struct{ Kty, Kid, N, E, X, Y string }
	}
	isJSON(a.t, a.get(http.DefaultClient, "/oauth2/jwks").body, &set)
	dec := func(s string) []byte { b, _ := base64.RawURLEncoding.DecodeString(s); return b }
	for _, k := range set.Keys {
		switch {
		case k.Kid != kid:
		case k.Kty == "EC":
			key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, dec(k.X)...), dec(k.Y)...))
			if err != nil {
				a.t.Fatal(err)
			}
			return key
		case k.Kty == "RSA":
			return &rsa.PublicKey{N: new(big.Int).SetBytes(dec(k.N)), E: int(new(big.Int).SetBytes(dec(k.E)).Int64())}
		case k.Kty == "OKP":
			return ed25519.PublicKey(dec(k.X))
		}
	}
	return nil
}

func (a *office) userinfo(access string) (got, map[string]any) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, a.origin+"/oauth2/userinfo", nil)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+access)
	g := a.do(http.DefaultClient, req)
	var who map[string]any
	if g.status == http.StatusOK {
		isJSON(a.t, g.body, &who)
	}
	return g, who
}

func TestThePublishedExampleOfAnAuthorizationWorks(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		a := newOffice(t, c)
		env := a.fixture.Env.ID
		uri := a.pushes(a.demo(env, a.key))
		back := a.codeFor("/oauth2/authorize?"+url.Values{"request_uri": {uri}}.Encode(), ann)
		if back.Get("state") != "b34bxo33g6r3xv2" || back.Get("iss") != a.origin || back.Get("code") == "" || back.Get("error") != "" {
			t.Fatalf("back with %v", back)
		}
		got, status := a.redeems(exchanging(env, a.key, back.Get("code"), demoBack))
		if status != 200 || got.Type != "Bearer" || got.Expires != 3600 || got.Scope != "openid" || got.Claims != "name" || got.Refresh != "" || got.Access == "" {
			t.Fatalf("%d %+v", status, got)
		}
		claims, alg := a.reads(got.ID, env)
		person, host, _ := strings.Cut(got.Subject, "@")
		if claims["name"] != "Ann Lee" || claims["sub"] != got.Subject || len(person) != 26 || !strings.HasPrefix(host, env+".") || alg != "ES256" {
			t.Errorf("%s %v, subject %s", alg, claims, got.Subject)
		}
		for _, none := range []string{"given_name", "birth_date", "account", "email"} {
			if claims[none] != nil {
				t.Errorf("%s was not asked for", none)
			}
		}
		if _, who := a.userinfo(got.Access); who["sub"] != got.Subject || who["name"] != "Ann Lee" {
			t.Errorf("userinfo %v", who)
		}
		if _, status := a.redeems(exchanging(env, a.key, back.Get("code"), demoBack)); status != 400 {
			t.Errorf("a second use of the code: %d", status)
		}
		if g, _ := a.userinfo(got.Access); g.status != 401 || !strings.Contains(g.header.Get("WWW-Authenticate"), "invalid_token") {
			t.Errorf("a second use did not take back what the first got: %d (RFC 9700, section 4.5)", g.status)
		}
		if g := a.get(http.DefaultClient, "/oauth2/userinfo"); g.status != 401 || g.header.Get("WWW-Authenticate") != "Bearer" { // RFC 6750, section 3.1
			t.Errorf("without a token: %d %v", g.status, g.header)
		}
		a.clean(a.key, back.Get("code"), got.Access, got.ID, strings.TrimPrefix(uri, "urn:ietf:params:oauth:request_uri:"), "Ann Lee")
		for kind, n := range map[string]int{"oauth2_pushed_authorization_request": 1, "oauth2_v2_authorize": 2, "oauth2_token": 2, "request_accepted": 1} {
			if got := len(a.leaves(kind)); got != n {
				t.Errorf("%d records of %s, want %d", got, kind, n)
			}
		}
	})
}

// named counts the exchanges that hold a name, opened.
func (a *office) named(name string) (n int) {
	a.t.Helper()
	a.tx(func(ctx context.Context, tx *store.Tx) error {
		n = 0
		ids, err := store.All(ctx, tx, store.Text, "SELECT id FROM oidc_exchanges")
		for _, id := range ids {
			x, err := tx.OIDCExchange(ctx, a.fixture.Env.ID, id)
			if err != nil {
				return err
			}
			if strings.Contains(string(x.Private), name) {
				n++
			}
		}
		return err
	})
	return n
}

func TestNothingOfAnErasedPersonIsToldToAnApplication(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		a := newOffice(t, c)
		env := a.fixture.Env.ID
		code := func() string {
			uri := a.pushes(a.demo(env, a.key))
			return a.codeFor("/oauth2/authorize?"+url.Values{"request_uri": {uri}}.Encode(), ann).Get("code")
		}
		got, status := a.redeems(exchanging(env, a.key, code(), demoBack))
		waiting := code()
		if _, who := a.userinfo(got.Access); status != 200 || who["name"] != "Ann Lee" || waiting == "" {
			t.Fatalf("%d %v", status, who)
		}
		_, person, ok := request.ParseSubject(got.Subject)
		if !ok {
			t.Fatal(got.Subject)
		}
		if n := a.named("Ann Lee"); n != 2 {
			t.Errorf("%d exchanges name her before, want that of the token and that of the code", n)
		}
		a.tx(func(ctx context.Context, tx *store.Tx) error { return tx.ErasePerson(ctx, env, person) })
		if n := a.named("Ann Lee"); n != 0 {
			t.Errorf("%d exchanges name her still", n)
		}
		if g, who := a.userinfo(got.Access); g.status != 401 || who["name"] != nil {
			t.Errorf("an access token: %d %v", g.status, who)
		}
		if late, status := a.redeems(exchanging(env, a.key, waiting, demoBack)); status != 400 || late.ID != "" {
			t.Errorf("a code: %d", status)
		}
	})
}

// What an application said of whom it means stands in the log from before anybody proved it.
func TestAnErasedPersonTakesTheHintsOfApplicationsOutOfTheLog(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	env := a.fixture.Env
	hints := func() (n int) {
		a.tx(func(ctx context.Context, tx *store.Tx) error {
			all, err := audit.List(ctx, tx, env.Org, store.AuditFilter{Count: 100})
			for _, r := range all {
				n += strings.Count(r.Personal["hint"], "ann@example.com")
			}
			return err
		})
		return n
	}
	asks := a.demo(env.ID, a.key)
	asks.Set("email_hint", "ann@example.com")
	back := a.codeFor("/oauth2/authorize?"+url.Values{"request_uri": {a.pushes(asks)}}.Encode(), ann)
	got, status := a.redeems(exchanging(env.ID, a.key, back.Get("code"), demoBack))
	_, person, ok := request.ParseSubject(got.Subject)
	if n := hints(); status != 200 || !ok || n != 2 {
		t.Fatalf("%d, %d hints", status, n)
	}
	a.tx(func(ctx context.Context, tx *store.Tx) error { return a.requests.Erase(ctx, tx, env.ID, person) })
	if n := hints(); n != 0 {
		t.Errorf("%d hints are there still", n)
	}
}

func TestWhatIsSharedWithAnApplicationIsTheOrganisationsAsWell(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	env := a.fixture.Env.ID
	form := a.demo(env, a.key)
	form.Set("label", "Ref 41471")
	back := a.codeFor(authorizeBy(env, a.pushes(form)), ann)
	got, _ := a.redeems(exchanging(env, a.key, back.Get("code"), demoBack))
	want := []string{"request_created", "request_link_opened", "request_app_opened", "scan_accepted", "request_accepted", "share name", "request_oauth_code_issued", "request_oauth_token_issued"}
	if !slices.Equal(a.heard, want) {
		t.Errorf("webhooks %q, want %q", a.heard, want)
	}
	a.tx(func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.Requests(ctx, env, store.RequestFilter{Count: 10})
		if err != nil {
			return err
		}
		d, err := a.requests.Document(ctx, tx, all[0])
		if len(all) != 1 || d.Status != request.Shared || d.Label != "Ref 41471" || d.Subject != got.Subject || d.Properties.Name != "Ann Lee" {
			t.Errorf("request %+v", d)
		}
		return err
	})
}

// OpenID Connect Core 5.1.1 and 5.4: an application gets an object; the public API keeps
// its text.
func TestWhereSomebodyLivesIsAnObjectForApplicationsAndATextInTheAPI(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	env, home := a.fixture.Env.ID, "Hauptstraße 1, 10115, Berlin, BE, DE"
	homely := ann
	homely.Home = []string{"Hauptstraße 1", "10115", "Berlin", "BE", "DE"}
	for name, ask := range map[string]url.Values{
		"by its scope":           {"scope": {"openid address"}},
		"by the API's scope":     {"scope": {"openid nt:address"}},
		"by the claims member":   {"claims": {`{"id_token":{"address":null}}`}},
		"by the claim parameter": {"claim": {"address"}},
	} {
		form := a.demo(env, a.key)
		form.Del("claims")
		maps.Copy(form, ask)
		form.Set("label", name)
		got, status := a.redeems(exchanging(env, a.key, a.codeFor(authorizeBy(env, a.pushes(form)), homely).Get("code"), demoBack))
		claims, _ := a.reads(got.ID, env)
		_, who := a.userinfo(got.Access)
		for where, said := range map[string]any{"id_token": claims["address"], "userinfo": who["address"]} {
			if one, _ := said.(map[string]any); status != 200 || len(one) != 1 || one["formatted"] != home {
				t.Errorf("%s, %s: %d %v", name, where, status, said)
			}
		}
	}
	a.tx(func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.Requests(ctx, env, store.RequestFilter{Count: 10})
		for _, r := range all {
			if d, err := a.requests.Document(ctx, tx, r); err != nil || d.Properties.Address != home {
				t.Errorf("the API says %+v, %v", d.Properties, err)
			}
		}
		return err
	})
}

func TestSubjectsAreStableInAnEnvironmentAndForeignElsewhere(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	env := a.fixture.Env.ID
	client, secret := a.add(party.OpenID, nil)
	subject := func(client, secret, back string, form url.Values) string {
		q := a.codeFor(authorizeBy(client, a.pushes(form)), ann)
		f := exchanging(client, secret, q.Get("code"), back)
		if form.Has("code_challenge") {
			f.Set("code_verifier", appVerifier)
		}
		got, status := a.redeems(f)
		if status != 200 {
			t.Fatalf("%d %+v", status, got)
		}
		return got.Subject
	}
	first := subject(env, a.key, demoBack, a.demo(env, a.key))
	if second := subject(env, a.key, demoBack, a.demo(env, a.key)); second != first {
		t.Errorf("%s, and %s the next time", first, second)
	}
	if other := subject(client, secret, appBack, asking(client, secret)); other != first {
		t.Errorf("%s for the environment, %s for its other client: the public API knows one", first, other)
	}
	if who, _ := store.Change(t.Context(), a.store, func(tx *store.Tx) (string, error) {
		e, err := tx.CreateEnvironment(t.Context(), store.Environment{Org: a.fixture.Org.ID, Name: "other"})
		if err != nil {
			return "", err
		}
		return tx.PersonID(t.Context(), e.ID, "document\x00x\x00D1234567")
	}); strings.HasPrefix(first, who) || who == "" {
		t.Errorf("another environment calls the person %s too", who)
	}
}

// appVerifier is a code_verifier.
const appVerifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

// asking is a request with all that is required of clients.
func asking(client, secret string) url.Values {
	sum := sha256.Sum256([]byte(appVerifier))
	return url.Values{"client_id": {client}, "client_secret": {secret}, "redirect_uri": {appBack}, "state": {"s"}, "nonce": {"n"}, "scope": {"openid"}, "response_type": {"code"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
}

// TestP07_200RedemptionsAtOnceOfOneCodeGiveOne and its like for request_uri: each is one
// compare-and-set, in both databases.
func TestP07_200RedemptionsAtOnceOfOneCodeOrRequestGiveOne(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		a := newOffice(t, c)
		client, secret := a.add(party.OpenID, nil)
		uri := a.pushes(asking(client, secret))
		var begun atomic.Int64
		var tickets sync.Map
		at200(func(i int) {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, a.origin+authorizeBy(client, uri), nil)
			res, err := a.newPhone().Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			_ = res.Body.Close()
			if to, err := res.Location(); err == nil && to.Host == site {
				begun.Add(1)
				tickets.Store(i, to.Fragment)
			} else if res.StatusCode >= 500 {
				t.Errorf("status %d", res.StatusCode)
			}
		})
		if begun.Load() != 1 {
			t.Errorf("%d of 200 browsers began with one request_uri", begun.Load())
		}
		code := a.codeFor(authorizeBy(client, a.pushes(asking(client, secret))), ann).Get("code")
		form := exchanging(client, secret, code, appBack)
		form.Set("code_verifier", appVerifier)
		var given atomic.Int64
		at200(func(int) {
			res, err := http.PostForm(a.origin+"/oauth2/token", form)
			if err != nil {
				t.Error(err)
				return
			}
			_ = res.Body.Close()
			switch {
			case res.StatusCode == http.StatusOK:
				given.Add(1)
			case res.StatusCode != http.StatusBadRequest:
				t.Errorf("status %d", res.StatusCode)
			}
		})
		if given.Load() != 1 {
			t.Errorf("%d of 200 redemptions of one code got tokens", given.Load())
		}
	})
}

func at200(do func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range 200 {
		wg.Go(func() { <-start; do(i) })
	}
	close(start)
	wg.Wait()
}

func TestAnAccountIsToldInTheStrengthThatWasAskedFor(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	dir := a.fixture.Directory.ID
	ask := func(claims, hint string, who evidencetest.Person) jwt.MapClaims {
		t.Helper()
		form := a.demo(dir, a.key)
		form.Set("claims", claims)
		form.Set("email_hint", hint)
		back := a.codeFor(authorizeBy(dir, a.pushes(form)), who)
		got, status := a.redeems(exchanging(dir, a.key, back.Get("code"), demoBack))
		if status != 200 {
			t.Fatalf("%d %+v", status, got)
		}
		claims2, _ := a.reads(got.ID, dir)
		return claims2
	}
	failure := func(c jwt.MapClaims) any {
		status, _ := c["account_status"].(map[string]any)
		return status["failure_reason"]
	}
	c := ask(`{"id_token":{"account":null,"email":null}}`, "", ann)
	account, _ := c["account"].(map[string]any)
	if account["immutable_external_id"] != a.tenant.Object || account["binding_strength"] != "name_match" || c["email"] != "ann@example.com" || c["acr"] != "name_match" || c["account_status"] != nil {
		t.Errorf("account %v", c)
	}
	if ids, _ := account["ids"].([]any); len(ids) != 1 || ids[0] != "ann@example.com" {
		t.Errorf("ids %v", account["ids"])
	}
	for name, x := range map[string]struct {
		claims, hint string
		who          evidencetest.Person
		want         any
	}{
		"somebody else":                  {`{"id_token":{"account":null}}`, "", evidencetest.Person{Family: "Nobody", Given: "Nora", BirthDate: "1990-01-01", Document: "N1", Expires: "2099-01-01"}, "account_not_found"},
		"another's address":              {`{"id_token":{"account":null}}`, "bob@example.com", ann, "account_not_found"},
		"an address of two":              {`{"id_token":{"account":null}}`, "both@example.com", evidencetest.Person{Family: "Roe", Given: "Bob", BirthDate: "1990-01-01", Document: "N2", Expires: "2099-01-01"}, nil},
		"a birth date that is not known": {`{"id_token":{"account":{"value":"name_and_birth_date"}}}`, "", ann, "account_not_found"},
		"a photo that there is not":      {`{"id_token":{"account":{"value":{"binding_strength":"photo"}}}}`, "", ann, "photo_not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			c := ask(x.claims, x.hint, x.who)
			if failure(c) != x.want || (c["account"] == nil) != (x.want != nil) {
				t.Errorf("%v, want %v", c, x.want)
			}
		})
	}
	a.down = true
	if c := ask(`{"id_token":{"account":null}}`, "", ann); failure(c) != "temporarily_unavailable" || c["account"] != nil {
		t.Errorf("without an agent: %v", c)
	}
	for claims, want := range map[string]string{`{"id_token":{"account":{"value":"weak_name_match"}}}`: "invalid_request", `{"id_token":{"account":7}}`: "invalid_request", `{`: "invalid_request"} {
		form := a.demo(dir, a.key)
		form.Set("claims", claims)
		if g := a.post(http.DefaultClient, "/oauth2/par", form); g.status != 400 || !strings.Contains(g.body, want) {
			t.Errorf("%s: %d %s", claims, g.status, g.body)
		}
	}
	form := a.demo(a.fixture.Env.ID, a.key)
	form.Set("claims", `{"id_token":{"account":null}}`)
	if g := a.post(http.DefaultClient, "/oauth2/par", form); g.status != 400 || !strings.Contains(g.body, "directory") {
		t.Errorf("the client of the environment was told of accounts: %d %s", g.status, g.body)
	}
}

// T11: whoever holds the hub's keys can sign in as anybody at its clients, so accounts
// for which the agent wants evidence that it checks itself are named to none but those
// for which an administrator allowed it, and the log says so.
func TestT11_StrictAccountsAreNamedOnlyToClientsForWhichItWasAllowed(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	a.word = operation.Word{Strict: true}
	told := func(allow bool) (jwt.MapClaims, string) {
		t.Helper()
		client, secret := a.addFor(a.fixture.Directory.ID, func(s *party.Settings) { s.AllowStrict = allow })
		form := asking(client, secret)
		form.Set("claims", `{"id_token":{"account":null}}`)
		back := a.codeFor(authorizeBy(client, a.pushes(form)), ann)
		f := exchanging(client, secret, back.Get("code"), appBack)
		f.Set("code_verifier", appVerifier)
		got, _ := a.redeems(f)
		c, _ := a.reads(got.ID, client)
		all := a.leaves("oauth2_token")
		return c, all[len(all)-1]
	}
	c, leaf := told(false)
	if c["account"] != nil || c["account_status"] == nil || !strings.Contains(leaf, `"strict_account":true`) || strings.Contains(leaf, "strict_allowed") {
		t.Errorf("refused: %v, log %s", c, leaf)
	}
	c, leaf = told(true)
	if c["account"] == nil || !strings.Contains(leaf, `"strict_allowed":true`) {
		t.Errorf("allowed: %v, log %s", c, leaf)
	}
	a.word = operation.Word{Refused: true}
	if c, _ = told(true); c["account"] != nil {
		t.Errorf("an account that the agent's guard keeps: %v", c)
	}
}

// addFor makes a client of a directory.
func (a *office) addFor(dir string, change func(*party.Settings)) (id, secret string) {
	id, secret = a.add(party.OpenID, change)
	a.tx(func(ctx context.Context, tx *store.Tx) error {
		c, err := tx.OIDCClient(ctx, a.fixture.Env.ID, id)
		if err != nil {
			return err
		}
		c.Directory = dir
		return tx.SaveOIDCClient(ctx, &c)
	})
	return id, secret
}

// T11: a client may have keys of its own kind, and a key is published for 48 hours before
// it signs.
func TestT11_KeysAreOfTheClientsAlgorithmAndPublishedBeforeTheySign(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		client, secret := a.add(party.OpenID, func(s *party.Settings) { s.Algorithm = alg })
		sign := func() (used, kid string) {
			back := a.codeFor(authorizeBy(client, a.pushes(asking(client, secret))), ann)
			f := exchanging(client, secret, back.Get("code"), appBack)
			f.Set("code_verifier", appVerifier)
			got, status := a.redeems(f)
			if status != 200 {
				t.Fatalf("%d %+v", status, got)
			}
			c, used := a.reads(got.ID, client)
			if c["nonce"] != "n" {
				t.Errorf("nonce %v", c["nonce"])
			}
			var h struct{ Kid string }
			b, _ := base64.RawURLEncoding.DecodeString(strings.Split(got.ID, ".")[0])
			isJSON(t, string(b), &h)
			return used, h.Kid
		}
		used, first := sign()
		if used != alg {
			t.Errorf("signed by %s, want %s", used, alg)
		}
		next, err := party.NewKey(party.OpenID, party.Settings{Algorithm: alg}, a.now())
		if err != nil {
			t.Fatal(err)
		}
		a.tx(func(ctx context.Context, tx *store.Tx) error {
			return party.Rotate(ctx, tx, a.fixture.Env.ID, client, next)
		})
		a.ahead.Add(int64(2 * time.Second))
		if _, kid := sign(); kid != first || a.published(next.ID) == nil {
			t.Errorf("%s: a key signs before it was published for long enough", alg)
		}
		a.ahead.Add(int64(49 * time.Hour))
		if _, kid := sign(); kid != next.ID || a.published(first) == nil {
			t.Errorf("%s: after 48 hours the next key does not sign, or the last is gone", alg)
		}
	}
}

// The public reference: the default template is used where none is named. It counts for
// applications that ask for nothing themselves, once it asks for something.
func TestWhoAsksForNothingAsksForWhatTheDefaultTemplateDoes(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, config store.Config) {
		a := newOffice(t, config)
		client, secret := a.add(party.OpenID, nil)
		told := func(more ...string) string {
			t.Helper()
			form := asking(client, secret)
			for i := 0; i < len(more); i += 2 {
				form.Set(more[i], more[i+1])
			}
			code := a.codeFor(authorizeBy(client, a.pushes(form)), ann).Get("code")
			redeemed := exchanging(client, secret, code, appBack)
			redeemed.Set("code_verifier", appVerifier)
			got, status := a.redeems(redeemed)
			if status != 200 {
				t.Fatalf("%d %+v", status, got)
			}
			return got.Claims
		}
		if got := told(); got != "" {
			t.Errorf("told %q by a default that asks for nothing", got)
		}
		a.standard(`{"enabled":true,"claim_definitions":[{"claim":"family_name"},{"claim":"account"}]}`)
		if got := told(); got != "family_name" { // and the account only where the client is a directory's
			t.Errorf("told %q by the default", got)
		}
		for name, more := range map[string][]string{"given_name": {"claim", "given_name"}, "name": {"claims", `{"id_token":{"name":null}}`}, "": {"scope", "openid offline_access"}} {
			if got := told(more...); got != name {
				t.Errorf("%q: told %q", more, got)
			}
		}
		a.standard(`{"enabled":true,"claim_definitions":[{"claim":"birth_date"}]}`)
		if got := told(); got != "birth_date" {
			t.Errorf("told %q by a default that was changed", got)
		}
	})
}

func TestAPersonWhoDeclinesIsSentBackWithNothing(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	client, secret := a.add(party.OpenID, nil)
	form := asking(client, secret)
	form.Set("response_mode", "form_post")
	browser := a.newPhone()
	back := a.get(browser, a.proves(a.ticket(a.get(browser, authorizeBy(client, a.pushes(form)))), ann, false))
	if back.action != appBack || back.form.Get("error") != "access_denied" || back.form.Get("state") != "s" || back.form.Get("iss") != a.origin || back.form.Has("code") {
		t.Errorf("%s %v %s", back.action, back.form, back.body)
	}
	if len(a.leaves("oauth2_request_canceled")) != 1 {
		t.Error("it is not in the log")
	}
}

func TestAnswersComeInTheModeThatWasAskedFor(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	client, _ := a.add(party.OpenID, nil)
	for _, mode := range []string{"", "query", "fragment", "form_post"} {
		q := asking(client, "")
		q.Del("client_secret")
		q.Set("response_mode", mode)
		browser := a.newPhone()
		back := a.get(browser, a.proves(a.ticket(a.get(browser, "/oauth2/authorize?"+q.Encode())), ann, true))
		got := back.form
		if back.location != nil {
			got = back.location.Query()
			if mode == "fragment" {
				got, _ = url.ParseQuery(back.location.Fragment)
			}
		}
		if got.Get("code") == "" || got.Get("state") != "s" || got.Get("iss") != a.origin {
			t.Errorf("%q: %v %v", mode, back.location, back.form)
		}
		if policy := back.header.Get("Content-Security-Policy"); mode == "form_post" && !strings.Contains(policy, "form-action https://app.example.com") {
			t.Errorf("policy %s", policy)
		}
	}
	if kinds := a.leaves("oauth2_authorize"); len(kinds) != 8 {
		t.Errorf("%d records of oauth2_authorize", len(kinds))
	}
}

// OAuth 2.0 Multiple Response Type Encoding Practices, section 2.1: errors too. Clients look
// nowhere else.
func TestErrorsComeInTheModeThatWasAskedFor(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	client, _ := a.add(party.OpenID, nil)
	okta, _ := a.add(party.OktaEAM, nil)
	app := asking(client, "")
	app.Del("client_secret")
	other := url.Values{"client_id": {okta}, "redirect_uri": {oktaBack}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"}, "login_hint": {"ann@example.com"}}
	for _, x := range []struct {
		path       string
		asks       url.Values
		name, says string
		want       string
	}{
		{"/oauth2/authorize", app, "prompt", "none", "login_required"},
		{"/oauth2/authorize", app, "prompt", "login none", "invalid_request"},
		{"/oauth2/authorize", app, "response_type", "token", "unsupported_response_type"},
		{"/oauth2/authorize", app, "request", "x.y.z", "request_not_supported"},
		{"/oauth2/authorize", app, "label", strings.Repeat("x", 2000), "invalid_request"},
		{"/oauth2/authorize", app, "scope", "email", "invalid_scope"},
		{"/okta/eam/authorize", other, "prompt", "none", "login_required"},
		{"/okta/eam/authorize", other, "prompt", "none login", "invalid_request"},
		{"/okta/eam/authorize", other, "response_type", "token", "unsupported_response_type"},
		{"/okta/eam/authorize", other, "scope", "email", "invalid_scope"},
	} {
		for _, mode := range []string{"fragment", "form_post"} {
			q := maps.Clone(x.asks)
			q.Set("response_mode", mode)
			q.Set(x.name, x.says)
			g := a.get(a.newPhone(), x.path+"?"+q.Encode())
			got := g.form
			if mode == "fragment" && g.location != nil {
				got, _ = url.ParseQuery(g.location.Fragment)
			}
			if got.Get("error") != x.want || got.Get("state") != "s" || got.Get("iss") == "" || got.Has("code") {
				t.Errorf("%s %.40s=%.40s: %d %v %v", mode, x.name, x.says, g.status, g.location, g.form)
			}
		}
	}
}

// RFC 6749, sections 4.1.2.1 and 5.2: neither quotes nor backslashes, and only ASCII.
func TestWhatIsWrongIsSaidInCharactersThatClientsMayRead(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	client, secret := a.add(party.OpenID, nil)
	for _, claims := range []string{`{"id_token":{"account":{"value":"a\"\\b\u00e4"}}}`, `{"id_token":{"na\u00efve\"":7}}`} {
		form := asking(client, secret)
		form.Set("claims", claims)
		var said struct {
			Error string
			Text  string `json:"error_description"`
		}
		isJSON(t, a.post(http.DefaultClient, "/oauth2/par", form).body, &said)
		if said.Error != "invalid_request" || said.Text == "" || strings.ContainsFunc(said.Text, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
			t.Errorf("%s: %+v", claims, said)
		}
	}
}

// What would not come back as it came is not taken.
func TestAStateThatIsNoTextIsRefused(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	client, secret := a.add(party.OpenID, nil)
	for _, name := range []string{"state", "nonce"} {
		form := asking(client, secret)
		form.Set(name, "\xff\xfe")
		if g := a.post(http.DefaultClient, "/oauth2/par", form); g.status != 400 || !strings.Contains(g.body, "invalid_request") {
			t.Errorf("%s: %d %s", name, g.status, g.body)
		}
		form.Del("client_secret")
		if g := a.get(a.newPhone(), "/oauth2/authorize?"+form.Encode()); g.status != 400 {
			t.Errorf("%s: %d %v", name, g.status, g.location)
		}
	}
}

// Whoever cannot be sent back reads why on a page, in their language.
func TestWhoeverCannotGoOnReadsWhy(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	for path, says := range map[string][2]string{
		"/oauth2/authorize?client_id=nobody":    {"This sign-in cannot go on", "Diese Anmeldung kann nicht fortgesetzt werden"},
		"/oauth2/authorize?request_uri=urn%3Ax": {"This sign-in cannot go on", "Diese Anmeldung kann nicht fortgesetzt werden"},
		"/authorize/none":                       {"This sign-in has to be begun again", "Diese Anmeldung muss neu begonnen werden"},
	} {
		for i, language := range []string{"en", "de"} {
			req, err := http.NewRequestWithContext(t.Context(), "GET", a.origin+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept-Language", language)
			g := a.do(a.newPhone(), req)
			if g.status != 400 || !strings.Contains(g.body, "<h1>"+says[i]+"</h1>") || g.header.Get("Content-Language") != language || g.header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("%s %s: %d %v %s", language, path, g.status, g.header, g.body)
			}
		}
	}
}

// RFC 6749, section 3.1.2: an address may have a query, which stays as it is.
func TestAnAddressKeepsTheQueryThatItHas(t *testing.T) {
	const back = appBack + "?tenant=7"
	a := newOffice(t, storetest.SQLite(t))
	client, _ := a.add(party.OpenID, func(s *party.Settings) { s.Redirects = []string{back} })
	for mode, begins := range map[string]string{"query": back + "&", "fragment": back + "#"} {
		q := asking(client, "")
		q.Del("client_secret")
		q.Set("redirect_uri", back)
		q.Set("response_mode", mode)
		browser := a.newPhone()
		g := a.get(browser, a.proves(a.ticket(a.get(browser, "/oauth2/authorize?"+q.Encode())), ann, true))
		if g.location == nil || !strings.HasPrefix(g.location.String(), begins) || !strings.Contains(g.location.String(), "code=") {
			t.Errorf("%s: back to %v", mode, g.location)
		}
	}
}

// OpenID Connect Core, section 3.1.2.1: applications may send the browser with a form.
func TestARequestMayComeAsAForm(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	client, secret := a.add(party.OpenID, nil)
	for name, form := range map[string]url.Values{"parameters": asking(client, ""), "pushed": {"client_id": {client}, "request_uri": {a.pushes(asking(client, secret))}}} {
		form.Del("client_secret")
		browser := a.newPhone()
		g := a.get(browser, a.proves(a.ticket(a.post(browser, "/oauth2/authorize", form)), ann, true))
		if g.location == nil || g.location.Query().Get("code") == "" {
			t.Errorf("%s: %d %v", name, g.status, g.location)
		}
	}
}

func TestDiscoveryTellsOfBothContractsOfTheIssuer(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		g := a.get(http.DefaultClient, path)
		var m map[string]any
		isJSON(t, g.body, &m)
		has := func(name, value string) bool {
			list, _ := m[name].([]any)
			return slices.Contains(list, any(value))
		}
		if m["issuer"] != a.origin || m["pushed_authorization_request_endpoint"] != a.origin+"/oauth2/par" || m["end_session_endpoint"] != a.origin+"/oauth2/logout" ||
			m["require_pushed_authorization_requests"] != nil || m["authorization_response_iss_parameter_supported"] != true ||
			!has("id_token_signing_alg_values_supported", "ES256") || !has("id_token_signing_alg_values_supported", "EdDSA") || !has("token_endpoint_auth_methods_supported", "private_key_jwt") ||
			!has("scopes_supported", "identity_assurance") || !has("scopes_supported", "nt:name") || has("scopes_supported", "nt:location:gps") || !has("code_challenge_methods_supported", "S256") ||
			!has("subject_types_supported", "pairwise") || !has("claims_supported", "account_status") || g.header.Get("Content-Length") == "" {
			t.Errorf("%s: %v", path, m)
		}
	}
}

func TestSigningOutLeadsOnlyToTheClientsOwnAddresses(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	client, _ := a.add(party.OpenID, func(s *party.Settings) { s.PostLogout = []string{"https://app.example.com/bye"} })
	g := a.get(a.newPhone(), "/oauth2/logout?"+url.Values{"client_id": {client}, "post_logout_redirect_uri": {"https://app.example.com/bye"}, "state": {"x"}}.Encode())
	if g.location == nil || g.location.String() != "https://app.example.com/bye?state=x" {
		t.Errorf("%d %v", g.status, g.location)
	}
	g = a.get(a.newPhone(), "/oauth2/logout?"+url.Values{"client_id": {client}, "post_logout_redirect_uri": {"https://app.example.com/bye/"}}.Encode())
	if g.location != nil || g.status != 400 {
		t.Errorf("%d %v", g.status, g.location)
	}
	if g = a.get(a.newPhone(), "/oauth2/logout"); g.status != 200 || !strings.Contains(g.body, "You are signed out") {
		t.Errorf("%d", g.status)
	}
}

// OpenID Connect Core 5.4: what relying parties ask by themselves. Only the client of a
// directory is told of accounts; for others the scope is one that nobody follows.
func TestTheScopeEmailAsksForTheAddressOfTheAccount(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	for client, want := range map[string]struct {
		scope string
		email any
	}{a.fixture.Directory.ID: {"openid profile email", "ann@example.com"}, a.fixture.Env.ID: {"openid profile", nil}} {
		form := a.demo(client, a.key)
		form.Set("scope", "openid profile email phone offline_access")
		form.Del("claims")
		got, status := a.redeems(exchanging(client, a.key, a.codeFor(authorizeBy(client, a.pushes(form)), ann).Get("code"), demoBack))
		if status != 200 || got.Scope != want.scope {
			t.Fatalf("%d, the scope %q is followed, want %q", status, got.Scope, want.scope)
		}
		claims, _ := a.reads(got.ID, client)
		_, who := a.userinfo(got.Access)
		if claims["email"] != want.email || who["email"] != want.email || claims["name"] != "Ann Lee" || claims["account"] != nil {
			t.Errorf("told %v, and by userinfo %v", claims, who)
		}
	}
}

// OpenID Connect Core 3.1.2.2: whoever asks for one person is not answered about another, by an
// id_token_hint as by a value of sub.
func TestWhoAsksForOnePersonIsToldOfNoOther(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	client, secret := a.add(party.OpenID, nil)
	other, otherSecret := a.add(party.OpenID, nil)
	token := func(client, secret string) tokens {
		form := exchanging(client, secret, a.codeFor(authorizeBy(client, a.pushes(asking(client, secret))), ann).Get("code"), appBack)
		form.Set("code_verifier", appVerifier)
		got, status := a.redeems(form)
		if status != 200 {
			t.Fatal(status)
		}
		return got
	}
	own, foreign := token(client, secret), token(other, otherSecret)
	a.ahead.Add(int64(3 * time.Hour)) // both are over
	nora := evidencetest.Person{Family: "Nobody", Given: "Nora", BirthDate: "1990-01-01", Document: "N1", Expires: "2099-01-01"}
	named := `{"id_token":{"sub":{"value":"` + own.Subject + `"}}}`
	for name, x := range map[string]struct {
		hint, claims string
		who          evidencetest.Person
		want         string
	}{
		"herself":                    {own.ID, "", ann, ""},
		"herself, in both ways":      {own.ID, named, ann, ""},
		"somebody else":              {own.ID, "", nora, "access_denied"},
		"somebody else, by sub":      {"", named, nora, "access_denied"},
		"two people":                 {own.ID, `{"id_token":{"sub":{"value":"other"}}}`, ann, "invalid_request"},
		"a token of another client":  {foreign.ID, "", ann, "invalid_request"},
		"a token that nobody signed": {own.ID[:len(own.ID)-6] + "AAAAAA", "", ann, "invalid_request"},
	} {
		form := asking(client, secret)
		form.Set("id_token_hint", x.hint)
		form.Set("claims", x.claims)
		pushed := a.post(http.DefaultClient, "/oauth2/par", form)
		if x.want == "invalid_request" {
			if pushed.status != http.StatusBadRequest || !strings.Contains(pushed.body, x.want) {
				t.Errorf("%s, pushed: %d %s", name, pushed.status, pushed.body)
			}
			form.Del("client_secret")
			if g := a.get(a.newPhone(), "/oauth2/authorize?"+form.Encode()); g.location == nil || g.location.Query().Get("error") != x.want {
				t.Errorf("%s: %d %v", name, g.status, g.location)
			}
			continue
		}
		if back := a.codeFor(authorizeBy(client, a.pushes(form)), x.who); back.Get("error") != x.want || back.Has("code") != (x.want == "") {
			t.Errorf("%s: error %q", name, back.Get("error"))
		}
	}
	a.clean(own.ID)
}

// An address keeps the query that it has here as well, and a hint is a token of this client
// or none: an old one does, because who signs out may have had it for long.
func TestSigningOutByATokenIsForItsOwnClient(t *testing.T) {
	const bye = "https://app.example.com/bye?flag&b=%20&a=1"
	a := newOffice(t, storetest.SQLite(t))
	client, secret := a.add(party.OpenID, func(s *party.Settings) { s.PostLogout = []string{bye} })
	other, otherSecret := a.add(party.OpenID, func(s *party.Settings) { s.PostLogout = []string{bye} })
	token := func(client, secret string) string {
		form := exchanging(client, secret, a.codeFor(authorizeBy(client, a.pushes(asking(client, secret))), ann).Get("code"), appBack)
		form.Set("code_verifier", appVerifier)
		got, status := a.redeems(form)
		if status != 200 {
			t.Fatal(status)
		}
		return got.ID
	}
	own, foreign := token(client, secret), token(other, otherSecret)
	a.ahead.Add(int64(3 * time.Hour)) // both are over
	head, rest, _ := strings.Cut(own, ".")
	body, _, _ := strings.Cut(rest, ".")
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + body + "."
	for name, x := range map[string]struct {
		client, hint string
		led          bool
	}{
		"its own":         {"", own, true},
		"with its name":   {client, own, true},
		"another's":       {client, foreign, false},
		"for another":     {other, own, false},
		"unsigned":        {client, unsigned, false},
		"cut":             {client, head + "." + body + ".AAAA", false},
		"nonsense":        {client, "x", false},
		"the other's own": {"", foreign, true},
	} {
		q := url.Values{"id_token_hint": {x.hint}, "post_logout_redirect_uri": {bye}, "state": {"a b"}}
		if x.client != "" {
			q.Set("client_id", x.client)
		}
		g := a.get(a.newPhone(), "/oauth2/logout?"+q.Encode())
		if led := g.header.Get("Location") == bye+"&state=a+b"; led != x.led || !led && g.status != 400 {
			t.Errorf("%s: %d %q", name, g.status, g.header.Get("Location"))
		}
	}
}
