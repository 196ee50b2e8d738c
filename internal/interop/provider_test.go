//go:build interop

package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/provider"
	"github.com/postern-id/postern/hub/webhook"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

const clientSecret = "a secret of the client, long enough"

// providerOfOthers runs the provider from npm and returns its issuer.
func providerOfOthers(t *testing.T, auth string) string {
	t.Helper()
	in, err := json.Marshal(map[string]any{
		"client": map[string]any{"client_id": "recovery", "client_secret": clientSecret, "token_endpoint_auth_method": auth, "redirect_uris": []string{origin + provider.ReturnPath}},
		"person": map[string]string{"given_name": "Jürgen", "family_name": "Müller", "birthdate": "1980-02-29"},
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "provider.mjs")
	cmd.Dir, cmd.Stdin = "provider", bytes.NewReader(in)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait() // ended by the signal
		if t.Failed() {
			t.Logf("the provider says: %.3000s", complaint.String())
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the provider did not start: %v: %.3000s", err, complaint.String())
	}
	return strings.TrimSpace(line)
}

// relyingParty is our method on a real store, with the provider in its settings.
func relyingParty(t *testing.T, set provider.Settings) (*provider.Verifier, verify.Subject, string) {
	t.Helper()
	s := storetest.Open(t, storetest.SQLite(t))
	env := storetest.Seed(t, s).Env.ID
	hooks, err := webhook.New(webhook.Config{Store: s, Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Check(); err != nil {
		t.Fatal(err)
	}
	p := store.IdentityProvider{Env: env, Body: []byte(store.JSON(set))}
	if err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.AddIdentityProvider(t.Context(), &p) }); err != nil {
		t.Fatal(err)
	}
	v := provider.New(provider.Config{Store: s, Client: hooks.Client(), Now: time.Now})
	return v, verify.Subject{Env: env, Directory: "d", Account: "a", Verification: "v", Context: protocol.Context{4, 2}, Origin: origin,
		Until: time.Now().Add(time.Hour), Strength: policy.NameAndBirthDate}, p.ID
}

// signIn is a browser that follows the provider until it is sent back, and returns the
// query with which it came.
func signIn(t *testing.T, to string) url.Values {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var back *url.URL
	client := &http.Client{Jar: jar, Timeout: time.Minute, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), origin) {
			back = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}}
	res, err := client.Get(to)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if back == nil {
		body, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
		t.Fatalf("the provider does not send back: %s %s", res.Status, body)
	}
	if back.Path != provider.ReturnPath {
		t.Fatalf("sent back to %s", back)
	}
	return back.Query()
}

// pinned are the provider's keys as an agent's file has them.
func pinned(t *testing.T, issuer string) evidence.Anchors {
	t.Helper()
	res, err := http.Get(issuer + "/jwks")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := evidence.ParseJWKS(text)
	if err != nil {
		t.Fatal(err)
	}
	return evidence.Anchors{Providers: []evidence.Provider{{Issuer: issuer, ClientID: "recovery", Keys: keys, ACR: []string{"phr"}, AMR: []string{"hwk"}}}}
}

// Our relying party signs people in at oidc-provider, which takes only pushed requests
// with PKCE and names itself in its answers; the id_token bears the recovery's context,
// and an agent that pins the provider's keys accepts it.
func TestASignInAtAProviderOfOthers(t *testing.T) {
	for _, auth := range []string{provider.AuthBasic, provider.AuthPost} {
		t.Run(auth, func(t *testing.T) {
			issuer := providerOfOthers(t, auth)
			v, s, id := relyingParty(t, provider.Settings{Name: "Others", Issuer: issuer, ClientID: "recovery", ClientSecret: clientSecret, Auth: auth,
				Directories: []string{"d"}, ACR: []string{"phr"}, AMR: []string{"hwk"}})
			c, err := v.Open(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			to, err := v.Leave(t.Context(), provider.Leaving{Env: s.Env, Origin: origin, Recovery: "AAAAAAAAAAAAAAAAAAAAAA", Language: "de", Ask: c.Ask, Provider: id})
			if err != nil {
				t.Fatal(err)
			}
			if u, err := url.Parse(to); err != nil || u.Query().Get("request_uri") == "" || u.Query().Has("nonce") {
				t.Errorf("the request was not pushed: %s", to)
			}
			q := signIn(t, to)
			if q.Get("iss") != issuer {
				t.Errorf("the answer is of %q", q.Get("iss"))
			}
			check := func(a provider.Answer) verify.Verdict {
				t.Helper()
				verdict, err := v.Check(t.Context(), s, c.Text, store.JSON(a))
				if err != nil {
					t.Fatal(err)
				}
				return verdict
			}
			if got := check(provider.Answer{Code: q.Get("code"), State: q.Get("state"), Issuer: "https://mix-up.example.net"}); got.Right {
				t.Error("an answer that names another issuer is right (RFC 9207)")
			}
			got := check(provider.Answer{Code: q.Get("code"), State: q.Get("state"), Issuer: q.Get("iss")})
			if !got.Right || got.Claims == nil || got.Claims.Family != "Müller" || got.Claims.Given != "Jürgen" || got.Claims.BirthDate != "1980-02-29" {
				t.Fatalf("%+v %+v", got, got.Claims)
			}
			if _, err := evidence.CheckIDToken(got.Evidence[0].Raw, s.Context, pinned(t, issuer), time.Now()); err != nil {
				t.Errorf("an agent that pins the keys refuses it: %v", err)
			}
			if _, err := evidence.CheckIDToken(got.Evidence[0].Raw, protocol.Context{1}, pinned(t, issuer), time.Now()); err == nil {
				t.Error("it is evidence for another recovery")
			}
		})
	}
}
