package provider

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/webhook"
	"github.com/postern-id/postern/internal/openid"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

func TestMain(m *testing.M) { testenv.Run(m) }

// bench is the method on a real store, through the client of the product, beside a real
// provider.
type bench struct {
	*Verifier
	t   testing.TB
	op  *openid.Provider
	env string
	id  string // of the provider
	set Settings
}

func newBench(t testing.TB, change ...func(*Settings)) *bench {
	t.Helper()
	b := &bench{t: t, op: openid.New(t)}
	b.op.SignIn(person)
	s := storetest.Open(t, storetest.SQLite(t))
	b.env = storetest.Seed(t, s).Env.ID
	hooks, err := webhook.New(webhook.Config{Store: s, Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	if err != nil {
		t.Fatal(err)
	}
	b.Verifier = New(Config{Store: s, Client: hooks.Client(), Now: time.Now})
	b.set = Settings{Name: "Acme ID", Issuer: b.op.URL, ClientID: b.op.ClientID, ClientSecret: b.op.Secret, Directories: []string{"d"}}
	for _, f := range change {
		f(&b.set)
	}
	b.id = b.add(b.set)
	return b
}

func (b *bench) add(s Settings) string {
	b.t.Helper()
	if err := s.Check(); err != nil {
		b.t.Fatal(err)
	}
	p := store.IdentityProvider{Env: b.env, Body: []byte(store.JSON(s))}
	if err := b.cfg.Store.Tx(b.t.Context(), func(tx *store.Tx) error { return tx.AddIdentityProvider(b.t.Context(), &p) }); err != nil {
		b.t.Fatal(err)
	}
	return p.ID
}

var person = map[string]any{"given_name": "Ada", "family_name": "Lovelace", "birthdate": "1980-02-29", "acr": "phr", "amr": []string{"hwk", "user"}}

func (b *bench) subject() verify.Subject {
	return verify.Subject{Env: b.env, Directory: "d", Account: "a", Verification: "v", Context: protocol.Context{4, 2}, Origin: "https://recover.example.com", Until: time.Now().Add(time.Hour)}
}

const recovery = "AAAAAAAAAAAAAAAAAAAAAA"

// goes walks a browser from the page to the provider and back, and returns with what.
func (b *bench) goes(c verify.Challenge) Answer {
	b.t.Helper()
	to, err := b.Leave(b.t.Context(), Leaving{Env: b.env, Origin: "https://recover.example.com", Recovery: recovery, Language: "de", Ask: c.Ask, Provider: b.id})
	if err != nil {
		b.t.Fatal(err)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Get(to)
	if err != nil {
		b.t.Fatal(err)
	}
	_ = res.Body.Close()
	back, err := url.Parse(res.Header.Get("Location"))
	if err != nil || back.Host != "recover.example.com" || back.Path != ReturnPath {
		b.t.Fatalf("sent to %q: %d %v", back, res.StatusCode, err)
	}
	q := back.Query()
	return Answer{q.Get("code"), q.Get("state"), q.Get("iss"), q.Get("error")}
}

func (b *bench) open(s verify.Subject) verify.Challenge {
	b.t.Helper()
	c, err := b.Open(b.t.Context(), s)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bench) check(s verify.Subject, c verify.Challenge, a Answer) verify.Verdict {
	b.t.Helper()
	v, err := b.Check(b.t.Context(), s, c.Text, store.JSON(a))
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func TestP14_ASignInElsewhereIsBoundToTheRecovery(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for name, c := range map[string]struct {
		set func(*Settings)
		op  func(*openid.Provider)
	}{
		"basic, pushed":     {func(*Settings) {}, func(*openid.Provider) {}},
		"post, pushed":      {func(s *Settings) { s.Auth = AuthPost }, func(*openid.Provider) {}},
		"basic, not pushed": {func(*Settings) {}, func(p *openid.Provider) { p.NoPAR = true }},
		"no iss":            {func(*Settings) {}, func(p *openid.Provider) { p.NoIss = true }},
		"key":               {func(s *Settings) { s.Auth, s.ClientSecret, s.PrivateKey = AuthKey, "", private }, func(p *openid.Provider) { p.ClientKey = &key.PublicKey }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, func(s *Settings) { s.ACR, s.AMR = []string{"phr", "phrh"}, []string{"hwk"}; c.set(s) })
			c.op(b.op)
			s := b.subject()
			if !b.Usable(t.Context(), s) {
				t.Fatal("not usable")
			}
			challenge := b.open(s)
			answer := b.goes(challenge)
			v := b.check(s, challenge, answer)
			if !v.Right || v.Claims == nil || v.Claims.Family != "Lovelace" || v.Claims.Given != "Ada" || v.Claims.BirthDate != "1980-02-29" {
				t.Fatalf("%+v %+v", v, v.Claims)
			}
			q := b.op.Asked()
			for name, want := range map[string]string{
				"nonce": s.Context.String(), "prompt": "login", "max_age": "0", "code_challenge_method": "S256", "acr_values": "phr phrh", "ui_locales": "de",
				"response_type": "code", "redirect_uri": s.Origin + ReturnPath, "scope": "openid profile",
			} {
				if q.Get(name) != want {
					t.Errorf("%s = %q, want %q", name, q.Get(name), want)
				}
			}
			if !strings.Contains(q.Get("claims"), `"amr":{"essential":true}`) {
				t.Errorf("asked for %s, though amr is needed", q.Get("claims"))
			}
			if RecoveryOf(q.Get("state")) != recovery || len(q.Get("state")) < 60 {
				t.Errorf("state %q", q.Get("state"))
			}
			keys, err := evidence.ParseJWKS(b.op.JWKS())
			if err != nil {
				t.Fatal(err)
			}
			anchors := evidence.Anchors{Providers: []evidence.Provider{{Issuer: b.op.URL, ClientID: "recovery", Keys: keys}}}
			if len(v.Evidence) != 1 || v.Evidence[0].Type != evidence.TypeIDToken {
				t.Fatalf("%+v", v.Evidence)
			}
			if _, err := evidence.CheckIDToken(v.Evidence[0].Raw, s.Context, anchors, time.Now()); err != nil {
				t.Errorf("T2, an agent that pins the keys refuses it: %v", err)
			}
			if again := b.check(s, challenge, answer); again.Right {
				t.Error("P7, the same answer is right twice")
			}
		})
	}
}

func TestT13_OnlyTheSessionThatAskedCompletesIt(t *testing.T) {
	b := newBench(t)
	s := b.subject()
	challenge := b.open(s)
	for name, change := range map[string]func(*verify.Subject, *verify.Challenge, *Answer){
		"another exchange":    func(_ *verify.Subject, c *verify.Challenge, _ *Answer) { *c = b.open(s) },
		"another context":     func(s *verify.Subject, _ *verify.Challenge, _ *Answer) { s.Context = protocol.Context{9} },
		"another origin":      func(s *verify.Subject, _ *verify.Challenge, _ *Answer) { s.Origin = "https://other.example.com" },
		"another directory":   func(s *verify.Subject, _ *verify.Challenge, _ *Answer) { s.Directory = "e" },
		"no state":            func(_ *verify.Subject, _ *verify.Challenge, a *Answer) { a.State = "" },
		"the recovery alone":  func(_ *verify.Subject, _ *verify.Challenge, a *Answer) { a.State = recovery + "." },
		"another issuer":      func(_ *verify.Subject, _ *verify.Challenge, a *Answer) { a.Issuer = "https://evil.example" },
		"no issuer":           func(_ *verify.Subject, _ *verify.Challenge, a *Answer) { a.Issuer = "" },
		"an error":            func(_ *verify.Subject, _ *verify.Challenge, a *Answer) { a.Error = "access_denied" },
		"no code":             func(_ *verify.Subject, _ *verify.Challenge, a *Answer) { a.Code = "" },
		"an attacker's code":  func(_ *verify.Subject, _ *verify.Challenge, a *Answer) { a.Code = b.goes(b.open(s)).Code },
		"a code of no person": func(_ *verify.Subject, _ *verify.Challenge, a *Answer) { a.Code = "guess" },
	} {
		s, c := s, challenge
		a := b.goes(challenge)
		change(&s, &c, &a)
		if v := b.check(s, c, a); v.Right || v.Reason == "" {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if v := b.check(s, challenge, b.goes(challenge)); !v.Right {
		t.Errorf("the session itself: %+v", v)
	}
	for _, text := range []string{"", "x", "[]", `{"state":"` + strings.Repeat("x", MaxAnswer) + `"}`} {
		if v, err := b.Check(t.Context(), s, challenge.Text, text); v.Right || err != nil {
			t.Errorf("%.20q: %+v %v", text, v, err)
		}
	}
}

func TestT01_WhatAProviderSaysOfAnotherCeremonyOrPersonIsNoProof(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.ACR, s.AMR = []string{"phr"}, []string{"hwk"} })
	s := b.subject()
	for name, claims := range map[string]map[string]any{
		"another client":        {"aud": "sign-in"},
		"two clients":           {"aud": []string{"recovery", "sign-in"}},
		"another's azp":         {"azp": "sign-in"},
		"another nonce":         {"nonce": protocol.Context{1}.String()},
		"no nonce":              {"nonce": nil},
		"another issuer":        {"iss": "https://evil.example"},
		"a sign-in of long ago": {"auth_time": time.Now().Add(-time.Hour).Unix()},
		"no auth_time":          {"auth_time": nil},
		"expired":               {"exp": time.Now().Add(-time.Hour).Unix()},
		"weaker":                {"acr": "pwd"},
		"without a key":         {"amr": []string{"pwd"}},
		"nobody":                {"sub": nil},
	} {
		all := map[string]any{}
		for k, v := range person {
			all[k] = v
		}
		for k, v := range claims {
			all[k] = v
		}
		b.op.SignIn(all)
		c := b.open(s)
		if v := b.check(s, c, b.goes(c)); v.Right || v.Reason == "" {
			t.Errorf("%s: %+v", name, v)
		}
	}
	b.op.SignIn(person)
	c := b.open(s)
	if v := b.check(s, c, b.goes(c)); !v.Right {
		t.Errorf("%+v", v)
	}
}

func TestNamesAreReadWhereTheProviderPutsThem(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.Verified, s.Claims = true, map[string]string{"given_name": "legal_first"} })
	s := b.subject()
	verified := map[string]any{"given_name": "Nick", "verified_claims": map[string]any{"verification": map[string]any{"trust_framework": "de_aml"},
		"claims": map[string]any{"legal_first": "Augusta", "family_name": "King", "birthdate": "1980-02-29"}}}
	b.op.SignIn(verified)
	c := b.open(s)
	if v := b.check(s, c, b.goes(c)); !v.Right || v.Claims.Given != "Augusta" || v.Claims.Family != "King" {
		t.Errorf("%+v %+v", v, v.Claims)
	}
	if wanted := b.op.Asked().Get("claims"); !strings.Contains(wanted, "verified_claims") || !strings.Contains(wanted, "legal_first") {
		t.Errorf("asked for %s", wanted)
	}
	b.op.SignIn(person)
	if v := b.check(s, c, b.goes(c)); v.Right {
		t.Errorf("names that nobody verified: %+v", v.Claims)
	}
}

func TestT30_ThePageSaysNothingOfTheAccount(t *testing.T) {
	b := newBench(t)
	known, decoy := b.subject(), b.subject()
	decoy.Account, decoy.Name = "", ""
	var first, second Asked
	if json.Unmarshal(b.open(known).Ask, &first) != nil || json.Unmarshal(b.open(decoy).Ask, &second) != nil || first.Exchange == second.Exchange {
		t.Fatal(first, second)
	}
	first.Exchange = second.Exchange
	if store.JSON(first) != store.JSON(second) || len(first.Providers) != 1 || first.Providers[0].Name != "Acme ID" {
		t.Errorf("%+v %+v", first, second)
	}
	none := b.subject()
	none.Directory = "e"
	if _, err := b.Open(t.Context(), none); err == nil || b.Usable(t.Context(), none) {
		t.Error("opened for a directory that no provider may verify")
	}
	none = b.subject()
	none.Context = protocol.Context{}
	if _, err := b.Open(t.Context(), none); err == nil {
		t.Error("opened without a context")
	}
}

func TestAProviderThatIsAwayOrAnotherIsNotAsked(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.Issuer += "/" })
	c := b.open(b.subject())
	if to, err := b.Leave(t.Context(), Leaving{Env: b.env, Ask: c.Ask, Provider: b.id}); err == nil {
		t.Errorf("discovery of another issuer: %s", to)
	}
	away := newBench(t)
	c = away.open(away.subject())
	answer := away.goes(c)
	if _, err := away.Leave(t.Context(), Leaving{Env: away.env, Ask: c.Ask, Provider: "other"}); err == nil {
		t.Error("sent to a provider that was not offered")
	}
	away.op.Close()
	if v, err := away.Check(t.Context(), away.subject(), c.Text, store.JSON(answer)); err == nil || v.Right || protocol.CodeOf(err) != protocol.CodeUnavailable || strings.Contains(err.Error(), answer.Code) {
		t.Errorf("%+v %v", v, err)
	}
}

func FuzzCheck(f *testing.F) {
	b := newBench(f)
	s := b.subject()
	c := b.open(s)
	f.Add(`{"code":"c","state":"` + recovery + `.x","iss":"` + b.op.URL + `"}`)
	f.Add(`{"state":1}`)
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := b.Check(t.Context(), s, c.Text, text); v.Right || err != nil {
			t.Errorf("%q: %+v %v", text, v, err)
		}
	})
}
