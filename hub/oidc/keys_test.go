package oidc_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/oidc"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

func (r *rig) rotate(client string) error {
	r.t.Helper()
	k, err := party.NewKey(party.EntraEAM, party.Settings{}, r.now())
	if err != nil {
		r.t.Fatal(err)
	}
	ctx := r.t.Context()
	return r.store.Tx(ctx, func(tx *store.Tx) error { return party.Rotate(ctx, tx, r.fixture.Env.ID, client, k) })
}

func (r *rig) states(client string) (all []string) {
	r.tx(func(ctx context.Context, tx *store.Tx) error {
		keys, err := party.Keys(ctx, tx, r.fixture.Env.ID, client)
		for _, k := range keys {
			all = append(all, k.State)
		}
		return err
	})
	return all
}

func TestKeysArePublishedTwoDaysBeforeTheySignAndTwoDaysAfter(t *testing.T) {
	r := newRig(t)
	r.entra(nil)
	signedBy := func() string {
		form := r.tenant.Form(r.tenant.Hint(map[string]any{"iat": r.now().Unix()}))
		back := r.get(r.browser, r.prove(r.ticket(r.post(r.browser, entraPath, form))))
		header, _, _ := strings.Cut(back.form.Get("id_token"), ".")
		var h struct{ Kid string }
		b, err := base64.RawURLEncoding.DecodeString(header)
		if err != nil || json.Unmarshal(b, &h) != nil || h.Kid == "" {
			t.Fatalf("token header %q: %s", header, back.body)
		}
		return h.Kid
	}
	first := signedBy()
	if err := r.rotate(r.tenant.ClientID); err != nil {
		t.Fatal(err)
	}
	if err := r.rotate(r.tenant.ClientID); !errors.Is(err, party.ErrRotating) {
		t.Errorf("rotated twice: %v", err)
	}
	if got := strings.Join(r.states(r.tenant.ClientID), " "); got != "next active" || signedBy() != first {
		t.Errorf("at once: %s", got)
	}
	r.ahead.Store(int64(47 * time.Hour))
	if signedBy() != first {
		t.Error("a key signs within two days")
	}
	r.ahead.Store(int64(49 * time.Hour))
	if got := strings.Join(r.states(r.tenant.ClientID), " "); got != "active retired" || signedBy() == first || !strings.Contains(r.get(r.browser, "/entra/eam/jwks").body, first) {
		t.Errorf("after two days: %s", got)
	}
	r.ahead.Store(int64(100 * time.Hour))
	if err := r.rotate(r.tenant.ClientID); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(r.states(r.tenant.ClientID), " "); got != "next active" || strings.Contains(r.get(r.browser, "/entra/eam/jwks").body, first) {
		t.Errorf("long after: %s", got)
	}
}

func TestT11_EachClientHasAKeyOfItsOwnThatLiesSealed(t *testing.T) {
	r := newRig(t)
	a, _ := r.add(party.OktaEAM, nil)
	b, _ := r.add(party.OktaEAM, nil)
	seen := map[string]bool{}
	r.tx(func(ctx context.Context, tx *store.Tx) error {
		for _, client := range []string{a, b} {
			keys, err := tx.OIDCKeys(ctx, r.fixture.Env.ID, client)
			if err != nil || len(keys) != 1 {
				t.Fatalf("%v, %v", keys, err)
			}
			seen[keys[0].ID] = true
			if _, err := x509.ParsePKCS8PrivateKey(keys[0].Private); err != nil {
				t.Error(err)
			}
			rows, err := store.All(ctx, tx, store.Text, "SELECT private FROM oidc_keys WHERE id = $1", keys[0].ID)
			if err != nil || strings.Contains(rows[0], base64.StdEncoding.EncodeToString(keys[0].Private[:60])) || strings.Contains(rows[0], base64.RawURLEncoding.EncodeToString(keys[0].Private[:60])) {
				t.Errorf("a key lies in the clear: %v", err)
			}
		}
		return nil
	})
	if len(seen) != 2 {
		t.Error("two clients have one key")
	}
}

func TestDocumentsForRelyingPartiesHaveTheirLength(t *testing.T) {
	r := newRig(t)
	r.entra(nil)
	for _, path := range []string{"/entra/eam/.well-known/openid-configuration", "/entra/eam/jwks", "/okta/eam/.well-known/openid-configuration", "/okta/eam/jwks", "/.well-known/openid-configuration", "/oauth2/jwks"} {
		for _, method := range []string{"GET", "HEAD"} {
			req, _ := http.NewRequest(method, r.origin+path, nil)
			g := r.do(http.DefaultClient, req)
			if g.status != 200 || g.header.Get("Content-Length") == "" || g.header.Get("Content-Type") != "application/json" || !strings.Contains(g.header.Get("Cache-Control"), "no-transform") {
				t.Errorf("%s %s: %d %v", method, path, g.status, g.header)
			}
		}
	}
	var m struct {
		Issuer, Token string
		Types         []string `json:"response_types_supported"`
		Challenges    []string `json:"code_challenge_methods_supported"`
		Iss           bool     `json:"authorization_response_iss_parameter_supported"`
	}
	isJSON(t, r.get(http.DefaultClient, "/.well-known/openid-configuration").body, &m)
	if m.Issuer != r.origin || len(m.Challenges) != 1 || m.Challenges[0] != "S256" || !m.Iss {
		t.Errorf("%+v", m)
	}
}

func TestAnAddressThatAsksTooOftenWaits(t *testing.T) {
	r := newRig(t)
	r.entra(nil)
	client, secret := r.add(party.OktaEAM, nil)
	r.buckets.shut.Store(true)
	for _, g := range []got{
		r.post(r.browser, entraPath, r.tenant.Form(r.tenant.Hint(nil))), r.get(r.browser, "/okta/eam/authorize?"+okta(client, "bob@example.com").Encode()),
		r.post(r.browser, "/okta/eam/token", redeeming(client, secret, "x")), r.post(r.browser, "/oauth2/par", nil), r.get(r.browser, "/okta/eam/userinfo"), r.get(r.browser, "/entra/eam/return?code=x"),
	} {
		if g.status != http.StatusTooManyRequests {
			t.Errorf("%d %s", g.status, g.body)
		}
		if g.header.Get("Retry-After") == "" || g.header.Get("X-RateLimit-Remaining") != "0" {
			t.Errorf("nobody says when to come back: %v", g.header)
		}
	}
}

// However often somebody shows an access token that is none, nobody who writes waits for it.
func TestT31_AnAccessTokenThatIsNoneNeedsNoTransactionThatWrites(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a.tx(func(context.Context, *store.Tx) error { // who writes; SQLite has one at a time
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.origin+"/oauth2/userinfo", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer x."+store.NewToken())
		answered := make(chan got, 1)
		go func() { answered <- a.do(http.DefaultClient, req) }()
		select {
		case g := <-answered:
			if g.status != http.StatusUnauthorized {
				t.Errorf("%d %s", g.status, g.body)
			}
		case <-time.After(5 * time.Second):
			t.Error("it waits for who writes")
		}
		return nil
	})
}

// As in the REST API: every answer says what is left, and the last one when to come back.
func TestAnAddressReadsHowOftenItMayAsk(t *testing.T) {
	r := newRig(t)
	r.counts()
	for _, path := range []string{"/oauth2/par", "/oauth2/token"} { // of one bucket
		g := r.post(r.browser, path, nil)
		left, err := strconv.Atoi(g.header.Get("X-RateLimit-Remaining"))
		reset, wrong := time.Parse(time.RFC3339, g.header.Get("X-RateLimit-Reset"))
		if g.status != http.StatusUnauthorized || g.header.Get("X-RateLimit-Limit") != "60" || err != nil || left < 58 || left > 59 || wrong != nil || time.Until(reset) > 5*time.Second {
			t.Errorf("%s: %d %v", path, g.status, g.header)
		}
	}
	for range 200 {
		g := r.post(r.browser, "/oauth2/par", nil)
		if g.status != http.StatusTooManyRequests {
			continue
		}
		after, err := strconv.Atoi(g.header.Get("Retry-After"))
		if err != nil || after < 1 || after > 2 || g.header.Get("X-RateLimit-Remaining") != "0" || !strings.Contains(g.body, "temporarily_unavailable") {
			t.Errorf("%v %s", g.header, g.body)
		}
		return
	}
	t.Error("an address may ask as often as it likes")
}

// Everybody in a company may have one address: how often the pages of some ask how it
// stands is nothing to the others. Whoever began nothing is counted by the address.
func TestAnOfficeWaitsAtItsPicturesBehindOneAddress(t *testing.T) {
	a := newApp(t)
	a.counts()
	for range 5 {
		var began struct {
			Request string
			Session string `json:"session_token"`
		}
		other := http.DefaultClient
		a.json(other, "GET", "/authorize"+a.asks(), &began)
		for range 40 {
			var stands struct{ Status int }
			if g := a.json(other, "GET", "/api/authorize/"+began.Request+"/poll?session="+url.QueryEscape(began.Session), &stands); g.status != 200 || stands.Status != 100 {
				t.Fatalf("%d %s", g.status, g.body)
			}
		}
	}
	statuses := map[int]bool{}
	for range 100 {
		statuses[a.get(http.DefaultClient, "/api/authorize/x/poll?session=y").status] = true
	}
	if !statuses[http.StatusTooManyRequests] {
		t.Error("whoever knows nothing may ask as often as they like")
	}
}

// They begin at nine in the morning. What each leaves is a row and a record, so there is an
// end to it.
func TestTheBrowsersOfACompanyBeginFromOneAddress(t *testing.T) {
	a := newApp(t)
	a.counts()
	begun := 0
	for range 400 {
		g := a.get(a.browser, "/oauth2/authorize"+a.asks()) // which goes no further
		if g.status == http.StatusTooManyRequests {
			break
		}
		begun++
	}
	if begun < 300 || begun == 400 {
		t.Errorf("%d browsers began", begun)
	}
}

// The server of an application asks for everybody who signs in there, and is counted by
// itself; whoever does not know its secret by the address, and shuts it out neither by
// that nor by its name.
func TestAnApplicationsServerIsCountedByItself(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	a.counts()
	client, secret := a.add(party.OpenID, nil)
	for n := range 200 {
		a.pushes(asking(client, secret))
		a.post(http.DefaultClient, "/oauth2/par", asking(client, "guess"+strconv.Itoa(n)))
	}
	if g := a.post(http.DefaultClient, "/oauth2/par", asking(client, "guess")); g.status != http.StatusTooManyRequests || g.header.Get("Retry-After") == "" {
		t.Errorf("guesses: %d", g.status)
	}
	form := exchanging(client, secret, a.codeFor(authorizeBy(client, a.pushes(asking(client, secret))), ann).Get("code"), appBack)
	form.Set("code_verifier", appVerifier)
	tokens, _ := a.redeems(form)
	for range 100 {
		if g, _ := a.userinfo(tokens.Access); g.status != http.StatusOK {
			t.Fatalf("userinfo: %d %s", g.status, g.body)
		}
	}
}

// What is away is no fault of whoever asks, and comes back: they are told when to try again.
func TestWhoeverAsksWhileRequestsCannotBeCountedComesBackLater(t *testing.T) {
	r := newRigOn(t, storetest.SQLite(t), func(_ *rig, cfg *oidc.Config) { cfg.Buckets = uncounted{} })
	for _, g := range []got{r.post(r.browser, "/oauth2/par", nil), r.post(r.browser, "/oauth2/token", nil), r.get(r.browser, "/oauth2/authorize?client_id=x"), r.get(r.browser, "/oauth2/userinfo")} {
		if g.status != http.StatusServiceUnavailable || g.header.Get("Retry-After") == "" {
			t.Errorf("%d %v %s", g.status, g.header, g.body)
		}
	}
}

// A store that does not answer is as good as a request that was given up.
func TestWhoeverAsksForKeysWhileTheStoreIsAwayComesBackLater(t *testing.T) {
	r := newRig(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	got := httptest.NewRecorder()
	r.provider.ServeHTTP(got, httptest.NewRequestWithContext(gone, "GET", "/oauth2/jwks", nil))
	if got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") == "" || got.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", got.Code, got.Header())
	}
}

// uncounted is a coordinator that is away.
type uncounted struct{}

func (uncounted) Take(context.Context, string, int, time.Duration) (bool, time.Duration, error) {
	return false, 0, coord.ErrUnavailable
}

// counted counts as hubs do.
type counted struct{ coord.Buckets }

func (c counted) Take(ctx context.Context, key string, burst int, every time.Duration) (bool, time.Duration, error) {
	return c.Buckets.Take(ctx, key, coord.Rate{Burst: burst, Every: every})
}

func TestASecretIsReplacedWhileBothAreGood(t *testing.T) {
	r := newRig(t)
	client, first := r.add(party.OktaEAM, nil)
	next := func() (text string) {
		r.tx(func(ctx context.Context, tx *store.Tx) error {
			c, err := tx.OIDCClient(ctx, r.fixture.Env.ID, client)
			if err != nil {
				return err
			}
			s, err := party.NewSecret(ctx, tx, &c)
			text = s.Reveal()
			return err
		})
		return text
	}
	good := func(secret string) bool {
		return strings.Contains(r.post(http.DefaultClient, "/okta/eam/token", redeeming(client, secret, "x")).body, "invalid_grant")
	}
	second := next()
	if !good(first) || !good(second) {
		t.Error("two secrets are live")
	}
	third := next()
	if good(first) || !good(second) || !good(third) {
		t.Error("the oldest of three is void")
	}
	r.tx(func(ctx context.Context, tx *store.Tx) error {
		c, err := tx.OIDCClient(ctx, r.fixture.Env.ID, client)
		if err != nil {
			return err
		}
		return party.EndSecrets(ctx, tx, &c)
	})
	if good(second) || !good(third) {
		t.Error("the old one was ended")
	}
	r.clean(first, second, third)
}
