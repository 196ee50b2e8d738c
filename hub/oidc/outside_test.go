package oidc_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	coreos "github.com/coreos/go-oidc/v3/oidc"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
)

// agent starts OpenSSH's agent and names it to the hub.
func (r *rig) agent(hsm *testenv.SoftHSM) *testenv.SSHAgent {
	r.t.Helper()
	a := testenv.StartSSHAgent(r.t, hsm)
	if err := r.signer.Move("unix/" + a.Socket); err != nil {
		r.t.Fatal(err)
	}
	return a
}

// outside gives a client a key of the agent, which signs after 48 hours.
func (r *rig) outside(client, fingerprint string) error {
	r.t.Helper()
	ctx := r.t.Context()
	c, err := store.Get(ctx, r.store, func(tx *store.Tx) (store.OIDCClient, error) { return tx.OIDCClient(ctx, r.fixture.Env.ID, client) })
	if err != nil {
		r.t.Fatal(err)
	}
	var s party.Settings
	isJSON(r.t, string(c.Settings), &s)
	k, err := party.OutsideKey(ctx, r.signer, party.Contract(c.Contract), s, fingerprint, r.now())
	if err != nil {
		return err
	}
	return r.store.Tx(ctx, func(tx *store.Tx) error { return party.Rotate(ctx, tx, c.Env, c.ID, k) })
}

// turns gives a client a key of the agent, and waits until it signs.
func (r *rig) turns(client, fingerprint string) {
	r.t.Helper()
	if err := r.outside(client, fingerprint); err != nil {
		r.t.Fatal(err)
	}
	r.ahead.Add(int64(49 * time.Hour))
}

// signsIn leads one person to an application of the office, and returns its code.
func (a *office) signsIn(client, secret string) (code string) {
	a.t.Helper()
	form := a.demo(client, secret)
	form.Set("redirect_uri", appBack)
	form.Set("code_challenge", challenge())
	form.Set("code_challenge_method", "S256")
	return a.codeFor(authorizeBy(client, a.pushes(form)), ann).Get("code")
}

// redeemed is the form by which an application gets the tokens of a code.
func redeemed(client, secret, code string) url.Values {
	form := exchanging(client, secret, code, appBack)
	form.Set("code_verifier", verifier)
	return form
}

// signedBy signs somebody in, lets the usual library of relying parties in Go judge the
// token, and returns the name of the key.
func (a *office) signedBy(client, secret, algorithm string) (kid string) {
	a.t.Helper()
	got, status := a.redeems(redeemed(client, secret, a.signsIn(client, secret)))
	if status != http.StatusOK {
		a.t.Fatalf("%d %+v: %s", status, got, a.log.String())
	}
	provider, err := coreos.NewProvider(a.t.Context(), a.origin)
	if err != nil {
		a.t.Fatal(err)
	}
	if _, err := provider.Verifier(&coreos.Config{ClientID: client, SupportedSigningAlgs: []string{algorithm}, Now: a.now}).Verify(a.t.Context(), got.ID); err != nil {
		a.t.Fatal(err)
	}
	header, _, _ := strings.Cut(got.ID, ".")
	b, err := base64.RawURLEncoding.DecodeString(header)
	var h struct{ Kid string }
	if err != nil || json.Unmarshal(b, &h) != nil || h.Kid == "" {
		a.t.Fatalf("header %q", header)
	}
	return h.Kid
}

// rows are the private parts and fingerprints of the keys of a client, the newest first.
func (r *rig) rows(client string) (all []string) {
	r.tx(func(ctx context.Context, tx *store.Tx) (err error) {
		all, err = store.All(ctx, tx, func(scan store.Scan) (string, error) {
			var private, fingerprint string
			err := scan(&private, &fingerprint)
			if private != "" {
				private = "sealed"
			}
			return private + fingerprint, err
		}, "SELECT private, fingerprint FROM oidc_keys WHERE client = $1 ORDER BY active_from DESC", client)
		return err
	})
	return all
}

func TestT11_KeysOutsideOfTheHubSignAndTakeTurnsAsAnyOther(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		a := newOffice(t, c)
		hsm := testenv.NewSoftHSM(t)
		for label, kind := range map[string]string{"ES256": "EC:prime256v1", "RS256": "rsa:2048"} {
			hsm.Make(t, label, kind, map[string]string{"ES256": "01", "RS256": "02"}[label])
		}
		agent := a.agent(hsm)
		first := agent.LoadModule(t)
		first[party.EdDSA], _ = agent.Make(t, testenv.SSHEd25519)
		for algorithm, kind := range map[string]string{party.ES256: testenv.SSHP256, party.RS256: testenv.SSHRSA, party.EdDSA: testenv.SSHEd25519} {
			client, secret := a.add(party.OpenID, func(s *party.Settings) { s.Algorithm = algorithm })
			sealed := a.signedBy(client, secret, algorithm)
			if err := a.outside(client, first[algorithm]); err != nil {
				t.Fatalf("%s: %v", algorithm, err)
			}
			if got := strings.Join(a.states(client), " "); got != "next active" || a.signedBy(client, secret, algorithm) != sealed {
				t.Errorf("%s at once: %s", algorithm, got)
			}
			a.ahead.Add(int64(49 * time.Hour))
			one := a.signedBy(client, secret, algorithm)
			if got := strings.Join(a.states(client), " "); got != "active retired" || one == sealed {
				t.Errorf("%s after two days: %s", algorithm, got)
			}
			a.ahead.Add(int64(49 * time.Hour))
			second, _ := agent.Make(t, kind)
			a.turns(client, second)
			if two := a.signedBy(client, secret, algorithm); two == one || two == sealed {
				t.Errorf("%s: still signed by %s", algorithm, two)
			}
			if got := a.rows(client); len(got) != 2 || got[0] != second || got[1] != first[algorithm] {
				t.Errorf("%s: the store has %v", algorithm, got)
			}
		}
	})
}

func TestT11_WhileTheSignerIsAwayNothingIsSpentAndTheClientIsToldToComeBack(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		a := newOffice(t, c)
		agent := a.agent(nil)
		fingerprint, file := agent.Make(t, testenv.SSHP256)
		client, secret := a.add(party.OpenID, nil)
		a.turns(client, fingerprint)
		a.signedBy(client, secret, party.ES256)
		code := a.signsIn(client, secret)
		away := func(why string) {
			t.Helper()
			g := a.post(http.DefaultClient, "/oauth2/token", redeemed(client, secret, code))
			if g.status != http.StatusServiceUnavailable || g.header.Get("Retry-After") != "10" || !strings.Contains(g.body, "temporarily_unavailable") {
				t.Errorf("%d %v %s", g.status, g.header, g.body)
			}
			if !strings.Contains(a.log.String(), why) || !strings.Contains(a.log.String(), fingerprint) {
				t.Errorf("the log does not say %q of %s: %s", why, fingerprint, a.log.String())
			}
		}
		agent.Stop()
		away("does not answer")
		agent.Start(t)
		away("ssh-add") // it lost its keys
		agent.Load(t, file)
		a.ahead.Add(int64(12 * time.Second)) // the code is good until then
		if got, status := a.redeems(redeemed(client, secret, code)); status != http.StatusOK || got.ID == "" {
			t.Errorf("the same code, when it is back: %d %+v", status, got)
		}
		if _, status := a.redeems(redeemed(client, secret, code)); status != http.StatusBadRequest {
			t.Errorf("and once more: %d", status)
		}
		a.clean(code, secret)
	})
}

func TestT11_ACodeIsGoodOnceHoweverManyBringItWhileItsTokenIsSignedOutside(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		a := newOffice(t, c)
		agent := a.agent(nil)
		fingerprint, _ := agent.Make(t, testenv.SSHP256)
		client, secret := a.add(party.OpenID, nil)
		a.turns(client, fingerprint)
		form := redeemed(client, secret, a.signsIn(client, secret))
		var mu sync.Mutex
		var good int
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				res, err := http.PostForm(a.origin+"/oauth2/token", form)
				if err != nil {
					t.Error(err)
					return
				}
				_ = res.Body.Close()
				mu.Lock()
				defer mu.Unlock()
				if res.StatusCode == http.StatusOK {
					good++
				} else if res.StatusCode != http.StatusBadRequest && res.StatusCode != http.StatusServiceUnavailable {
					t.Error(res.Status)
				}
			})
		}
		wg.Wait()
		if good != 1 {
			t.Errorf("%d tokens of one code", good)
		}
	})
}

// The first person of an environment is named by a key that is made only then: what was
// drawn up before it is not what is drawn up after.
func TestT11_TheFirstPersonOfAnEnvironmentIsNamedOnceThoughTheTokenIsDrawnUpTwice(t *testing.T) {
	r := newRig(t)
	agent := r.agent(nil)
	fingerprint, _ := agent.Make(t, testenv.SSHRSA)
	client, secret := r.add(party.OktaEAM, nil)
	r.turns(client, fingerprint)
	g := r.post(http.DefaultClient, "/okta/eam/token", redeeming(client, secret, r.code(client, "bob@example.com")))
	var reply struct {
		IDToken string `json:"id_token"`
	}
	isJSON(t, g.body, &reply)
	if g.status != http.StatusOK {
		t.Fatalf("%d %s", g.status, r.log.String())
	}
	claims := r.claimsOf(reply.IDToken, "/okta/eam/jwks", r.origin+"/okta/eam", client)
	if again := r.claimsAgain(client, secret); claims["sub"] == "" || again != claims["sub"] {
		t.Errorf("named %v, then %v", claims["sub"], again)
	}
}

func TestT11_EntraIDTakesWhatWasSignedOutside(t *testing.T) {
	r := newRig(t)
	agent := r.agent(nil)
	r.entra(nil)
	fingerprint, file := agent.Make(t, testenv.SSHRSA)
	r.turns(r.tenant.ClientID, fingerprint)
	form := r.tenant.Form(r.tenant.Hint(map[string]any{"iat": r.now().Unix()}))
	way := r.prove(r.ticket(r.post(r.browser, entraPath, form)))
	agent.Stop()
	if g := r.get(r.browser, way); g.status != http.StatusServiceUnavailable || g.header.Get("Retry-After") == "" {
		t.Errorf("without the signer: %d %s", g.status, g.body)
	}
	agent.Start(t)
	agent.Load(t, file)
	back := r.get(r.browser, way)
	if back.status != http.StatusOK {
		t.Fatalf("%d %s", back.status, back.body)
	}
	r.claimsOf(back.form.Get("id_token"), "/entra/eam/jwks", r.origin+"/entra/eam", r.tenant.ClientID)
	var set struct {
		Keys []struct{ X5C []string }
	}
	isJSON(t, r.get(r.browser, "/entra/eam/jwks").body, &set)
	if len(set.Keys) != 2 || len(set.Keys[0].X5C) != 1 { // the certificate that Entra ID wants is signed there, too
		t.Errorf("%+v", set)
	}
}

func TestT11_AKeyOutsideFitsItsClientAndIsNobodyElses(t *testing.T) {
	r := newRig(t)
	agent := r.agent(nil)
	curve, _ := agent.Make(t, testenv.SSHP256)
	rsa, _ := agent.Make(t, testenv.SSHRSA)
	app, _ := r.add(party.OpenID, nil)
	other, _ := r.add(party.OpenID, nil)
	for _, x := range []struct{ fingerprint, want string }{
		{rsa, `want a key for "ES256": that one signs "RS256"`}, {"SHA256:" + strings.Repeat("x", 43), "does not hold"}, {"MD5:00", "SHA256:"}, {"SHA256:" + strings.Repeat("x", 1000), "SHA256:"},
	} {
		w := (*party.Wrong)(nil)
		if err := r.outside(app, x.fingerprint); !errors.As(err, &w) || w.Field != "external" || !strings.Contains(w.Text, x.want) {
			t.Errorf("%s: %v", x.fingerprint, err)
		}
	}
	if err := r.outside(app, curve); err != nil {
		t.Fatal(err)
	}
	if err := r.outside(other, curve); !errors.Is(err, store.ErrConflict) {
		t.Errorf("two clients have one key: %v", err)
	}
	r.elsewhere(curve)
	agent.Stop()
	if err := r.outside(other, curve); !errors.Is(err, party.ErrSigner) {
		t.Errorf("while it is away: %v", err)
	}
	if err := r.signer.Move(""); err != nil {
		t.Fatal(err)
	}
	if err := r.outside(other, curve); err == nil || !strings.Contains(err.Error(), "has no signer") {
		t.Errorf("without one: %v", err)
	}
}

// elsewhere tries to give a key to a client of another organisation, too.
func (r *rig) elsewhere(fingerprint string) {
	r.t.Helper()
	k, err := party.OutsideKey(r.t.Context(), r.signer, party.OpenID, party.Settings{}, fingerprint, r.now())
	if err != nil {
		r.t.Fatal(err)
	}
	other := storetest.Seed(r.t, r.store)
	err = r.store.Tx(r.t.Context(), func(tx *store.Tx) error {
		_, err := party.Add(r.t.Context(), tx, other.Env.ID, "", party.OpenID, "", party.Settings{Name: "theirs"}, k)
		return err
	})
	if !errors.Is(err, store.ErrConflict) {
		r.t.Errorf("clients of two organisations have one key: %v", err)
	}
}

func TestT11_AnOldKeyOutsideIsToldOfAndNoneInTheHubTakesItsPlace(t *testing.T) {
	r := newRig(t)
	agent := r.agent(nil)
	fingerprint, _ := agent.Make(t, testenv.SSHP256)
	client, _ := r.add(party.OpenID, nil)
	sealed, _ := r.add(party.OpenID, nil)
	r.turns(client, fingerprint)
	r.ahead.Add(int64(181 * 24 * time.Hour))
	r.looksAfter("is old, and nobody here can make another")
	if got := r.rows(client); len(got) != 1 || got[0] != fingerprint || r.provider.OldKeys() != 1 {
		t.Errorf("%v, %d old", got, r.provider.OldKeys())
	}
	if got := strings.Join(r.states(sealed), " "); got != "next active" {
		t.Errorf("the key in the hub: %s", got)
	}
	agent.Stop()
	r.looksAfter("is not to be had")
	if err := r.rotate(client); err != nil { // and back into the hub, as an administrator says
		t.Fatal(err)
	}
	if got := r.rows(client); len(got) != 2 || got[0] != "sealed" {
		t.Errorf("%v", got)
	}
}

// looksAfter runs the upkeep once, until the log says something.
func (r *rig) looksAfter(want string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	done := make(chan error)
	go func() { done <- r.provider.Run(ctx) }()
	for !strings.Contains(r.log.String(), want) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
			r.t.Errorf("the log does not say %q", want)
		case <-time.After(10 * time.Millisecond):
		}
	}
	cancel()
	if err := <-done; err != nil {
		r.t.Error(err)
	}
}

// Whoever copies the store has no key that signs for such a client.
func TestT11_TheStoreHoldsNothingThatSignsForAClientWhoseKeyLiesOutside(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	agent := a.agent(nil)
	fingerprint, _ := agent.Make(t, testenv.SSHP256)
	client, secret := a.add(party.OpenID, nil)
	a.turns(client, fingerprint)
	a.ahead.Add(int64(49 * time.Hour))
	next, _ := agent.Make(t, testenv.SSHP256)
	if err := a.outside(client, next); err != nil { // which forgets the first one, of the hub
		t.Fatal(err)
	}
	a.signedBy(client, secret, party.ES256)
	a.tx(func(ctx context.Context, tx *store.Tx) error {
		keys, err := tx.OIDCKeys(ctx, a.fixture.Env.ID, client)
		for _, k := range keys {
			if k.Private != nil || k.Fingerprint == "" {
				t.Errorf("%s lies in the store", k.ID)
			}
		}
		if err != nil || len(keys) != 2 {
			t.Errorf("%d keys, %v", len(keys), err)
		}
		_, err = tx.Exec(ctx, "UPDATE oidc_keys SET private = 'x' WHERE client = $1", client)
		if err == nil {
			t.Error("a row may have both")
		}
		return nil
	})
}
