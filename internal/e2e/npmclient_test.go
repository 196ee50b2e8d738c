//go:build interop

package e2e

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// An npmClient is openid-client from npm as a child that speaks line by line.
type npmClient struct {
	t         *testing.T
	in        io.WriteCloser
	out       *bufio.Reader
	complaint bytes.Buffer
}

func newNPMClient(t *testing.T, caFile string, conf map[string]any) *npmClient {
	t.Helper()
	n := &npmClient{t: t}
	cmd := exec.Command("node", "relying.mjs")
	cmd.Dir, cmd.Stderr = "../interop/relying", &n.complaint
	cmd.Env = append(cmd.Environ(), "NODE_EXTRA_CA_CERTS="+caFile)
	var err error
	if n.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	n.out = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = n.in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // its output was read
	})
	n.say(conf)
	return n
}

func (n *npmClient) say(v any) {
	n.t.Helper()
	if err := json.NewEncoder(n.in).Encode(v); err != nil {
		n.t.Fatalf("%v: %s", err, n.complaint.String())
	}
}

func (n *npmClient) hear(v any) {
	n.t.Helper()
	line, err := n.out.ReadString('\n')
	if err == nil {
		err = json.Unmarshal([]byte(line), v)
	}
	if err != nil {
		_ = n.in.Close()
		_, _ = io.Copy(io.Discard, n.out) // until it has complained
		n.t.Fatalf("%v: %s", err, n.complaint.String())
	}
}

// The relying party of npm that most use, in every way in which clients prove themselves,
// with pushed requests and without, in each response mode and with each algorithm.
func TestOpenidClientSignsPeopleIn(t *testing.T) {
	v := relied(t, "npmclient")
	const callback = "https://app.example.com/callback"
	for _, c := range []struct {
		goCase
		pushed bool
	}{
		{goCase{"client_secret_basic", "query", "ES256", ""}, true}, {goCase{"client_secret_post", "form_post", "RS256", ""}, true},
		{goCase{"private_key_jwt", "fragment", "EdDSA", ""}, true}, {goCase{"private_key_jwt", "form_post", "ES256", ""}, true},
		{goCase{"client_secret_basic", "query", "RS256", ""}, false},
	} {
		name := strings.Join([]string{c.auth, c.mode, c.algorithm, map[bool]string{true: "pushed", false: "direct"}[c.pushed]}, " ")
		t.Run(name, func(t *testing.T) {
			settings := map[string]any{"name": name, "redirect_uris": []string{callback}, "post_logout_redirect_uris": []string{callback},
				"token_endpoint_auth_method": c.auth, "id_token_signed_response_alg": c.algorithm}
			conf := map[string]any{"issuer": v.edge.url, "auth": c.auth, "mode": c.mode, "algorithm": c.algorithm, "pushed": c.pushed, "callback": callback, "scope": "openid profile"}
			if c.auth == "private_key_jwt" {
				key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
				if err != nil {
					t.Fatal(err)
				}
				settings["jwks"], conf["key"] = keySetOf(t, &key.PublicKey), privateKeyOf(t, key)
			}
			conf["client"], conf["secret"] = v.relying(settings)
			n := newNPMClient(t, v.edge.caFile(), conf)
			var to struct{ URL string }
			n.hear(&to)
			if strings.Contains(to.URL, "request_uri=") != c.pushed {
				t.Fatalf("sent to %s", to.URL)
			}
			p := v.prover()
			p.t = t
			back := p.proves(to.URL, callback)
			if back.mode() != c.mode {
				t.Fatal(back)
			}
			said := map[string]string{"url": back.url}
			if back.form != nil {
				said["form"] = back.form.Encode()
			}
			n.say(said)
			var learnt struct {
				Claims struct{ Sub, Iss string }
				Info   struct{ Sub, Name string }
				Header struct{ Alg string }
				End    string
			}
			n.hear(&learnt)
			if learnt.Claims.Iss != v.edge.url || learnt.Info.Sub != learnt.Claims.Sub || learnt.Info.Name == "" || learnt.Header.Alg != c.algorithm {
				t.Errorf("learnt %+v", learnt)
			}
			if left := p.opens(learnt.End, callback); left == "" {
				t.Errorf("signing out ends at %s: %d %s", p.path, p.status, p.text())
			}
		})
	}
}

// privateKeyOf is the key as the relying party itself keeps it.
func privateKeyOf(t *testing.T, key *ecdsa.PrivateKey) map[string]string {
	t.Helper()
	secret, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	jwk := jwkOf(t, &key.PublicKey)
	delete(jwk, "use")
	jwk["d"] = base64.RawURLEncoding.EncodeToString(secret)
	return jwk
}
