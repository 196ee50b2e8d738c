//go:build interop

package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/wallet"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

const origin = "https://recover.example.com"

// A bench is our verifier with an authority that it trusts.
type bench struct {
	*testing.T
	verifier  *wallet.Verifier
	subject   verify.Subject
	authority *evidencetest.Authority
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s := storetest.Open(t, storetest.SQLite(t))
	env := storetest.Seed(t, s).Env.ID
	a, err := evidencetest.NewAuthority("XX", "Demo authority", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	err = s.Tx(t.Context(), func(tx *store.Tx) error {
		return tx.AddTrustSource(t.Context(), &store.TrustSource{Env: env, Kind: store.TrustPEM, Name: "demo", Body: a.PEM()})
	})
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t, wallet.New(wallet.Config{Store: s, Now: time.Now}), verify.Subject{
		Env: env, Verification: "v", Context: protocol.Context{1, 2, 3}, Origin: origin, RPID: "recover.example.com",
		Until: time.Now().Add(10 * time.Minute), Strength: policy.NameAndBirthDate,
	}, a}
}

// An asking is an open challenge.
type asking struct {
	Digital []struct {
		Protocol string          `json:"protocol"`
		Data     json.RawMessage `json:"data"`
	} `json:"digital"`
	Link string `json:"link"`
	text string
}

func (b *bench) open() (a asking) {
	b.Helper()
	c, err := b.verifier.Open(b.Context(), b.subject)
	if err != nil {
		b.Fatal(err)
	}
	if err := json.Unmarshal(c.Ask, &a); err != nil {
		b.Fatal(err)
	}
	a.text = c.Text
	return a
}

// A reply is what the wallet of others made of a request.
type reply struct {
	Client   string `json:"client"`
	Version  any    `json:"version"`
	Queries  int    `json:"queries"`
	Response string `json:"response"`
}

// node runs the wallet on one request.
func (b *bench) node(more map[string]any) (reply, error) {
	b.Helper()
	in := map[string]any{
		"origin": origin, "client_id": "x509_san_dns:recover.example.com", "enc": "A256GCM",
		"document_key": pemKey(b.T, b.authority.Documents.Key), "document_certificate": base64.StdEncoding.EncodeToString(b.authority.Documents.Certificate.Raw),
		"credential_key": pemKey(b.T, b.authority.Credentials.Key), "credential_certificate": base64.StdEncoding.EncodeToString(b.authority.Credentials.Certificate.Raw),
		"person": map[string]string{"family_name": "Müller", "given_name": "Jürgen", "birth_date": "1980-02-29", "document_number": "D123", "issuing_country": "XX", "expiry_date": "2099-01-01"},
	}
	for k, v := range more {
		in[k] = v
	}
	raw, err := json.Marshal(in)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), "node", "wallet.mjs")
	cmd.Dir, cmd.Stdin = "wallets", bytes.NewReader(raw)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	var r reply
	if err := cmd.Run(); err != nil {
		b.Logf("the wallet says: %.2000s", complaint.String())
		return r, err
	}
	return r, json.Unmarshal(out.Bytes(), &r)
}

func pemKey(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// fetch gets the signed request behind the link.
func (b *bench) fetch(a asking) string {
	b.Helper()
	u, err := url.Parse(a.Link)
	if err != nil {
		b.Fatal(err)
	}
	signed, err := b.verifier.Request(b.Context(), b.subject.Env, strings.TrimPrefix(u.Query().Get("request_uri"), origin+wallet.RequestPath), "")
	if err != nil {
		b.Fatal(err)
	}
	return signed
}

func (b *bench) judge(a asking, query string, answer any) {
	b.Helper()
	raw, err := json.Marshal(answer)
	if err != nil {
		b.Fatal(err)
	}
	v, err := b.verifier.Check(b.Context(), b.subject, a.text, string(raw))
	want := map[string]string{"mdl": evidence.TypeMDoc, "pid": evidence.TypeSDJWT}[query]
	if err != nil || !v.Right || v.Evidence[0].Type != want || v.Claims.Family != "Müller" || v.Claims.Given != "Jürgen" || v.Claims.BirthDate != "1980-02-29" {
		b.Errorf("%s: %+v %v", query, v, err)
	}
}

func TestAWalletOfOthersAnswersASignedRequestByRedirect(t *testing.T) {
	b := newBench(t)
	for query, enc := range map[string]string{"mdl": "A256GCM", "pid": "A128GCM"} {
		a := b.open()
		r, err := b.node(map[string]any{"transport": "redirect", "query": query, "request": b.fetch(a), "enc": enc})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(r.Client, "recover.example.com") || r.Queries != 2 {
			t.Errorf("%s: understood as %+v", query, r)
		}
		back, err := b.verifier.Take(t.Context(), b.subject.Env, a.text, r.Response)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		_, code, _ := strings.Cut(back, "#response_code=")
		b.judge(a, query, map[string]string{"response_code": code})
	}
}

func TestAWalletOfOthersAnswersThroughTheBrowsersAPI(t *testing.T) {
	b := newBench(t)
	for _, query := range []string{"mdl", "pid"} {
		a := b.open()
		for _, d := range a.Digital {
			var request any = d.Data
			if d.Protocol == "openid4vp-v1-signed" {
				var signed struct {
					Request string `json:"request"`
				}
				if err := json.Unmarshal(d.Data, &signed); err != nil {
					t.Fatal(err)
				}
				request = signed.Request
			}
			r, err := b.node(map[string]any{"transport": "dc_api", "query": query, "protocol": d.Protocol, "request": request})
			if err != nil {
				t.Fatalf("%s, %s: %v", query, d.Protocol, err)
			}
			b.judge(a, query, map[string]any{"protocol": d.Protocol, "data": map[string]string{"response": r.Response}})
		}
	}
}

func TestT02_AWalletOfOthersRefusesAForeignClientID(t *testing.T) {
	b := newBench(t)
	if _, err := b.node(map[string]any{"transport": "redirect", "query": "mdl", "request": b.fetch(b.open()), "client_id": "x509_san_dns:evil.example.com"}); err == nil {
		t.Error("it answered a request whose client id is not the certificate's")
	}
}
