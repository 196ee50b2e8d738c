package oidc_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// jwks writes public keys as a key set.
func jwks(keys map[string]crypto.PublicKey) json.RawMessage {
	b64 := base64.RawURLEncoding.EncodeToString
	var list []map[string]string
	for kid, k := range keys {
		switch k := k.(type) {
		case *ecdsa.PublicKey:
			b, _ := k.Bytes()
			list = append(list, map[string]string{"kty": "EC", "crv": "P-256", "kid": kid, "x": b64(b[1:33]), "y": b64(b[33:])})
		case ed25519.PublicKey:
			list = append(list, map[string]string{"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(k)})
		}
	}
	return json.RawMessage(store.JSON(map[string]any{"keys": list}))
}

// A signer is a client with a key.
type signer struct {
	key *ecdsa.PrivateKey
	id  string
}

// asserts returns the form of a pushed request that an assertion proves.
func (s signer) asserts(a *office, change func(c jwt.MapClaims)) url.Values {
	c := jwt.MapClaims{"iss": s.id, "sub": s.id, "aud": a.origin, "jti": store.NewToken(), "iat": a.now().Unix(), "exp": a.now().Add(2 * time.Minute).Unix()}
	change(c)
	t := jwt.NewWithClaims(jwt.SigningMethodES256, c)
	t.Header["kid"] = "k"
	text, err := t.SignedString(s.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return s.form(text)
}

func (s signer) form(assertion string) url.Values {
	form := asking(s.id, "")
	form.Del("client_secret")
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", assertion)
	return form
}

func newSigner(t *testing.T, a *office) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, secret := a.add(party.OpenID, func(s *party.Settings) {
		s.Auth, s.JWKS = "private_key_jwt", jwks(map[string]crypto.PublicKey{"k": &key.PublicKey})
	})
	if secret != "" {
		t.Error("a client that proves itself by a key has a secret")
	}
	return signer{key, id}
}

func TestP23_AssertionsOfClientsAreForThisIssuerAndShort(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	s := newSigner(t, a)
	a.pushes(s.asserts(a, func(jwt.MapClaims) {}))
	set := func(name string, v any) func(jwt.MapClaims) { return func(c jwt.MapClaims) { c[name] = v } }
	for name, change := range map[string]func(jwt.MapClaims){
		"for another issuer":   set("aud", "https://evil.example"),
		"for the endpoint":     set("aud", a.origin+"/oauth2/par"),
		"for two":              set("aud", []string{a.origin, "https://evil.example"}),
		"of another client":    set("iss", "nobody"),
		"without an id":        func(c jwt.MapClaims) { delete(c, "jti") },
		"without an end":       func(c jwt.MapClaims) { delete(c, "exp") },
		"that has ended":       set("exp", a.now().Add(-time.Second).Unix()),
		"good for ten minutes": set("exp", a.now().Add(10*time.Minute).Unix()),
		"not good yet":         set("nbf", a.now().Add(3*time.Minute).Unix()),
		"from the future":      set("iat", a.now().Add(3*time.Minute).Unix()),
	} {
		t.Run(name, func(t *testing.T) {
			if g := a.post(http.DefaultClient, "/oauth2/par", s.asserts(a, change)); g.status != 401 || !strings.Contains(g.body, "invalid_client") {
				t.Errorf("%d %s", g.status, g.body)
			}
		})
	}
	stranger, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	unsigned := func(alg string) string {
		b64 := base64.RawURLEncoding.EncodeToString
		return b64([]byte(`{"alg":"`+alg+`","kid":"k"}`)) + "." + b64([]byte(store.JSON(jwt.MapClaims{"iss": s.id, "sub": s.id, "aud": a.origin, "jti": "j", "exp": a.now().Add(time.Minute).Unix()}))) + "."
	}
	hmacSigned, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": s.id, "sub": s.id, "aud": a.origin, "jti": "j", "exp": a.now().Add(time.Minute).Unix()}).SignedString([]byte("k"))
	both := s.asserts(a, func(jwt.MapClaims) {})
	both.Set("client_secret", "x")
	for name, x := range map[string]struct {
		form   url.Values
		status int
	}{
		"another's key":      {signer{stranger, s.id}.asserts(a, func(jwt.MapClaims) {}), 401},
		"no signature":       {s.form(unsigned("none")), 401},
		"an empty one":       {s.form(unsigned("ES256")), 401},
		"a shared secret":    {s.form(hmacSigned), 401},
		"a secret as well":   {both, 400},
		"nothing":            {s.form(""), 401},
		"no key is its name": {func() url.Values { f := asking(s.id, "x"); return f }(), 401},
	} {
		t.Run(name, func(t *testing.T) {
			if g := a.post(http.DefaultClient, "/oauth2/par", x.form); g.status != x.status {
				t.Errorf("%d %s, want %d", g.status, g.body, x.status)
			}
		})
	}
}

// TestP07_200UsesAtOnceOfOneAssertionGiveOne: its jti is one row in either database.
func TestP07_200UsesAtOnceOfOneAssertionGiveOne(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		a := newOffice(t, c)
		form := newSigner(t, a).asserts(a, func(jwt.MapClaims) {})
		var taken atomic.Int64
		at200(func(int) {
			res, err := http.PostForm(a.origin+"/oauth2/par", form)
			if err != nil {
				t.Error(err)
				return
			}
			_ = res.Body.Close()
			if res.StatusCode == http.StatusCreated {
				taken.Add(1)
			} else if res.StatusCode != http.StatusUnauthorized {
				t.Errorf("status %d", res.StatusCode)
			}
		})
		if taken.Load() != 1 {
			t.Errorf("%d of 200 uses of one assertion were taken", taken.Load())
		}
	})
}

func TestKeysOfAClientAreReadWhereItPublishesThem(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	_, first, _ := ed25519.GenerateKey(rand.Reader)
	_, second, _ := ed25519.GenerateKey(rand.Reader)
	keys := map[string]crypto.PublicKey{"one": first.Public()}
	var asked atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write(jwks(keys))
	}))
	t.Cleanup(server.Close)
	*a.fetches = *server.Client()
	id, _ := a.add(party.OpenID, func(s *party.Settings) { s.Auth, s.JWKSURI = "private_key_jwt", server.URL+"/keys" })
	push := func(kid string, key ed25519.PrivateKey) int {
		tok := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"iss": id, "sub": id, "aud": a.origin, "jti": store.NewToken(), "exp": a.now().Add(time.Minute).Unix()})
		tok.Header["kid"] = kid
		text, err := tok.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return a.post(http.DefaultClient, "/oauth2/par", signer{id: id}.form(text)).status
	}
	if status := push("one", first); status != 201 {
		t.Fatalf("status %d", status)
	}
	if push("one", first); asked.Load() != 1 {
		t.Errorf("asked %d times for what is known", asked.Load())
	}
	keys = maps.Clone(map[string]crypto.PublicKey{"two": second.Public()})
	if status := push("two", second); status != 401 || asked.Load() != 1 {
		t.Errorf("asked again at once: %d, %d times", status, asked.Load())
	}
	a.ahead.Add(int64(time.Minute))
	if status := push("two", second); status != 201 || asked.Load() != 2 {
		t.Errorf("a new key: %d after %d times", status, asked.Load())
	}
}

// Whoever knows the name of a client has its keys looked for. Where they are not to be had,
// that is not once for every time that somebody asks.
func TestT31_KeysThatAreNotToBeHadAreNotLookedForAtEveryQuestion(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	var asked atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	}))
	t.Cleanup(server.Close)
	*a.fetches = *server.Client()
	id, _ := a.add(party.OpenID, func(s *party.Settings) { s.Auth, s.JWKSURI = "private_key_jwt", server.URL+"/keys" })
	stranger, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	for want := range int64(2) {
		for range 5 {
			if g := a.post(http.DefaultClient, "/oauth2/par", signer{stranger, id}.asserts(a, func(jwt.MapClaims) {})); g.status != 503 {
				t.Errorf("%d %s", g.status, g.body)
			}
		}
		if asked.Load() != want+1 {
			t.Errorf("asked %d times, want %d", asked.Load(), want+1)
		}
		a.ahead.Add(int64(6 * time.Second))
	}
}

func TestP23_PKCEIsRequiredUnlessAnAdministratorOrThePublicInterfaceSaysOtherwise(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	usual, usualSecret := a.add(party.OpenID, nil)
	plain, plainSecret := a.add(party.OpenID, func(s *party.Settings) { s.PKCE = "plain" })
	loose, looseSecret := a.add(party.OpenID, func(s *party.Settings) { s.PKCE = "optional" })
	public, _ := a.add(party.OpenID, func(s *party.Settings) { s.Auth = "none" })
	form := func(client, secret string, challenge ...string) url.Values {
		f := asking(client, secret)
		if secret == "" {
			f.Del("client_secret")
		}
		f.Del("code_challenge")
		f.Del("code_challenge_method")
		for i, name := range []string{"code_challenge", "code_challenge_method"} {
			if i < len(challenge) {
				f.Set(name, challenge[i])
			}
		}
		return f
	}
	sum := asking("", "").Get("code_challenge")
	for name, x := range map[string]struct {
		form url.Values
		want int
	}{
		"none":                           {form(usual, usualSecret), 400},
		"plain":                          {form(usual, usualSecret, appVerifier, "plain"), 400},
		"no method":                      {form(usual, usualSecret, appVerifier), 400},
		"a short one":                    {form(usual, usualSecret, "x", "S256"), 400},
		"S256":                           {form(usual, usualSecret, sum, "S256"), 201},
		"plain where it is allowed":      {form(plain, plainSecret, appVerifier, "plain"), 201},
		"none where plain is allowed":    {form(plain, plainSecret), 400},
		"none where it is optional":      {form(loose, looseSecret), 201},
		"S256 where it is optional":      {form(loose, looseSecret, sum, "S256"), 201},
		"none of a public client":        {form(public, ""), 400},
		"S256 of a public client":        {form(public, "", sum, "S256"), 201},
		"a public client with a secret":  {form(public, "x", sum, "S256"), 401},
		"a method without its challenge": {form(loose, looseSecret, "", "S256"), 400},
	} {
		t.Run(name, func(t *testing.T) {
			if g := a.post(http.DefaultClient, "/oauth2/par", x.form); g.status != x.want {
				t.Errorf("%d %s, want %d", g.status, g.body, x.want)
			}
		})
	}
	if err := (party.Settings{Name: "x", Auth: "none", PKCE: "optional"}).Check(party.OpenID); err == nil {
		t.Error("a public client without PKCE can be set")
	}
	q := a.demo(a.fixture.Env.ID, "")
	q.Del("client_secret")
	if g := a.get(a.newPhone(), "/oauth2/authorize?"+q.Encode()); g.location == nil || g.location.Query().Get("error") != "invalid_request" {
		t.Errorf("what was not pushed, without a challenge: %d %v", g.status, g.location)
	}
	code := a.codeFor(authorizeBy(plain, a.pushes(form(plain, plainSecret, appVerifier, "plain"))), ann).Get("code")
	redeem := exchanging(plain, plainSecret, code, appBack)
	for _, v := range []string{"", "x", sum} {
		redeem.Set("code_verifier", v)
		if _, status := a.redeems(redeem); status != 400 {
			t.Errorf("verifier %q: %d", v, status)
		}
	}
	redeem.Set("code_verifier", appVerifier)
	if _, status := a.redeems(redeem); status != 200 {
		t.Errorf("the verifier: %d", status)
	}
}

// P22: an address is compared text for text; whoever is not one of the client's is never
// sent to.
func TestP22_PeopleAreSentToNoAddressButTheClientsOwn(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	client, secret := a.add(party.OpenID, nil)
	const h = "https://app.example.com"
	for _, to := range []string{
		"", h, h + "/", h + "/callback/", h + "/callback?", h + "/callback?x=1", h + "/callback#", h + "/callback#x", h + "/callback/x", h + "/callback/../callback", h + "/./callback",
		h + "//callback", h + "/callback%2f", h + "/%63allback", h + "/callback%00", h + "/callback ", " " + h + "/callback", h + "/Callback", "HTTPS://app.example.com/callback", "https://APP.example.com/callback",
		"http://app.example.com/callback", "https://app.example.com:443/callback", "https://app.example.com./callback", "https://app.example.com@evil.example/callback", "https://evil.example/callback",
		"https://app.example.com.evil.example/callback", "https://evil.example/https://app.example.com/callback", "https://evil.example?" + h + "/callback", "https://evil.example#" + h + "/callback",
		`https://evil.example\@app.example.com/callback`, `https:\\app.example.com\callback`, "https:/app.example.com/callback", "https:app.example.com/callback", "//app.example.com/callback", "/callback", "callback",
		"javascript:alert(1)//app.example.com/callback", "data:text/html,x", h + "/callback\r\nX: y", h + "/callback\t", demoBack, "https://xn--app-example/callback", h + "/callback;x", h + "/callback\x00",
	} {
		q := asking(client, "")
		q.Set("redirect_uri", to)
		if g := a.get(a.newPhone(), "/oauth2/authorize?"+q.Encode()); g.status != 400 || g.location != nil || strings.Contains(g.body, "evil") {
			t.Errorf("%q: %d %v", to, g.status, g.location)
		}
		form := asking(client, secret)
		form.Set("redirect_uri", to)
		if g := a.post(http.DefaultClient, "/oauth2/par", form); g.status != 400 {
			t.Errorf("pushed with %q: %d", to, g.status)
		}
	}
	code := a.codeFor(authorizeBy(client, a.pushes(asking(client, secret))), ann).Get("code")
	form := exchanging(client, secret, code, appBack+"/")
	form.Set("code_verifier", appVerifier)
	if _, status := a.redeems(form); status != 400 {
		t.Errorf("redeemed for another address: %d", status)
	}
}

// T25: a key opens the environments that it is for.
func TestT25_AnAPIKeyIsTheSecretOfItsOwnEnvironmentsAlone(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	env := a.fixture.Env
	var other store.Environment
	keys := map[string]string{}
	a.tx(func(ctx context.Context, tx *store.Tx) (err error) {
		if other, err = tx.CreateEnvironment(ctx, store.Environment{Org: env.Org, Name: "other", CallbackURLs: []string{appBack}}); err != nil {
			return err
		}
		foreign, err := tx.CreateOrganisation(ctx, store.Organisation{Name: "foreign"})
		if err != nil {
			return err
		}
		for name, k := range map[string]store.APIKey{
			"of another environment":  {Org: env.Org, Role: "owner", Envs: []string{other.ID}, Enabled: true},
			"of another organisation": {Org: foreign.ID, Role: "owner", Envs: []string{store.AllEnvs}, Enabled: true},
			"that may only read":      {Org: env.Org, Role: "limited_plus", Envs: []string{env.ID}, Enabled: true},
			"switched off":            {Org: env.Org, Role: "owner", Envs: []string{env.ID}},
			"over":                    {Org: env.Org, Role: "owner", Envs: []string{env.ID}, Enabled: true, Expires: tx.Now().Add(-time.Hour)},
			"":                        {Org: env.Org, Role: "owner", Envs: []string{store.AllEnvs}, Enabled: true},
		} {
			keys[name] = "postern_" + store.NewToken()
			k.Name, k.Hash = name, store.HashToken(keys[name])
			if _, err := tx.CreateAPIKey(ctx, k); err != nil {
				return err
			}
		}
		return nil
	})
	for name, key := range keys {
		g := a.post(http.DefaultClient, "/oauth2/par", a.demo(env.ID, key))
		if want := map[bool]int{true: 201, false: 401}[name == ""]; g.status != want {
			t.Errorf("a key %s: %d %s, want %d", name, g.status, g.body, want)
		}
	}
	registered, _ := a.add(party.OpenID, nil)
	if g := a.post(http.DefaultClient, "/oauth2/par", asking(registered, a.key)); g.status != 401 {
		t.Errorf("a registered client by an API key: %d", g.status)
	}
	if g := a.post(http.DefaultClient, "/oauth2/par", a.demo(other.ID, a.key)); g.status != 401 {
		t.Errorf("another environment: %d", g.status)
	}
}
