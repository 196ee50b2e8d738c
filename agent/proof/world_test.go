package proof

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

const (
	origin   = "https://recover.example.com"
	lookLike = "https://recover.examp1e.com"
	kim      = "id-kim"
	issuer   = "https://id.example.net"
	client   = "recovery"
)

// world is everything that makes evidence, and the agent's file that believes it.
type world struct {
	t         testing.TB
	now       time.Time
	authority *evidencetest.Authority
	provider  evidencetest.Signer
	mdoc      *evidencetest.MDoc
	sdjwt     *evidencetest.SDJWT
	passkey   *evidencetest.Authenticator
	boss, hr  *evidencetest.Authenticator
	owners    map[string]string // issuer and number → account
	settings  Settings
	checker   *Checker
}

var kimsPapers = evidencetest.Person{Family: "Hatano", Given: "Kim", BirthDate: "1988-02-29", Document: "D-1", Expires: "2040-01-01"}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, now: time.Now(), owners: map[string]string{}}
	w.authority = must[*evidencetest.Authority](t)(evidencetest.NewAuthority("UT", "Utopia", w.now))
	w.issue(kimsPapers)
	w.passkey, w.boss, w.hr = evidencetest.NewAuthenticator(origin), evidencetest.NewAuthenticator(origin), evidencetest.NewEd25519(origin)
	w.provider = must[evidencetest.Signer](t)(w.authority.Signer("provider", w.now.Add(-time.Hour)))
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	jwk := must[map[string]any](t)(evidencetest.PublicJWK(&w.provider.Key.PublicKey))
	jwk["alg"], jwk["use"], jwk["kid"] = "ES256", "sig", "k"
	keys := must[[]byte](t)(json.Marshal(map[string]any{"keys": []any{jwk}}))
	w.settings = Settings{
		Origins: []string{origin}, Trust: []string{write("iaca.pem", w.authority.PEM())},
		Providers: []Provider{{Issuer: issuer, ClientID: client, KeysFile: write("keys.json", keys)}},
	}
	w.checker = must[*Checker](t)(Open(w.settings))
	return w
}

func (w *world) issue(p evidencetest.Person) {
	w.t.Helper()
	w.mdoc = must[*evidencetest.MDoc](w.t)(w.authority.IssueMDoc(p, w.now))
	w.sdjwt = must[*evidencetest.SDJWT](w.t)(w.authority.IssueSDJWT(p, w.now))
}

// newContext is that of a fresh recovery.
func newContext() (c protocol.Context) {
	_, _ = rand.Read(c[:])
	return c
}

// piece wraps a presentation.
func (w *world) piece(kind string, p evidence.Presentation) protocol.Evidence {
	w.t.Helper()
	return protocol.Evidence{Type: kind, Raw: must[[]byte](w.t)(p.Raw())}
}

// showMDoc presents the mobile document at an origin.
func (w *world) showMDoc(at string, c protocol.Context) protocol.Evidence {
	w.t.Helper()
	tr := must[[]byte](w.t)(evidence.Transcript("OpenID4VPDCAPIHandover", at, c.String(), nil))
	_, required, optional, _ := evidence.DocTypeElements(evidencetest.DocType)
	response := must[[]byte](w.t)(w.mdoc.Present(tr, append(required, optional...)...))
	return w.piece(evidence.TypeMDoc, evidence.Presentation{Transport: evidence.TransportDCAPI, Origin: at, Response: response})
}

// showSDJWT presents the credential at an origin.
func (w *world) showSDJWT(at string, c protocol.Context) protocol.Evidence {
	w.t.Helper()
	required, optional := evidence.CredentialClaims()
	text := must[string](w.t)(w.sdjwt.Present("origin:"+at, c.String(), w.now, append(required, optional...)...))
	return w.piece(evidence.TypeSDJWT, evidence.Presentation{Transport: evidence.TransportDCAPI, Origin: at, Response: []byte(text)})
}

// signIn is the provider's id_token.
func (w *world) signIn(c protocol.Context, change jwt.MapClaims) protocol.Evidence {
	w.t.Helper()
	claims := jwt.MapClaims{"iss": issuer, "aud": client, "sub": "kim-at-provider", "nonce": c.String(), "iat": w.now.Unix(), "auth_time": w.now.Unix(),
		"exp": w.now.Add(time.Hour).Unix(), "family_name": "Hatano", "given_name": "Kim", "birthdate": "1988-02-29"}
	for k, v := range change {
		claims[k] = v
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = "k"
	return protocol.Evidence{Type: evidence.TypeIDToken, Raw: []byte(must[string](w.t)(token.SignedString(w.provider.Key)))}
}

func assertion(a *evidencetest.Authenticator, c protocol.Context) protocol.Evidence {
	return protocol.Evidence{Type: evidence.TypePasskey, Raw: a.Assert(c)}
}

func approve(a *evidencetest.Authenticator, c protocol.Context, who string) protocol.Evidence {
	return protocol.Evidence{Type: evidence.TypeApproval, Raw: a.Approve(c, who)}
}

// kimsCase is a recovery of Kim with what is presented.
func (w *world) kimsCase(c protocol.Context, t Terms, pieces ...protocol.Evidence) Case {
	return Case{
		Context: c, Account: kim, Terms: t, Evidence: pieces, Now: w.now, Begun: w.now.Add(-time.Minute),
		Person: directory.Person{Name: "Kim Hatano", Given: "Kim", Family: "Hatano", BirthDate: "1988-02-29"},
		Keys:   []Key{{w.passkey.Credential(), Strength{Methods: []string{MethodApproval}, Approvals: 1}}},
		Approvers: []Approver{
			{"boss-phone", "id-boss", w.boss.Credential()}, {"hr", "id-hr", w.hr.Credential()}, {"kim-herself", "ID-KIM", w.passkey.Credential()},
		},
		Owner: func(issuer, number string) string { return w.owners[issuer+"|"+number] },
	}
}

// strict are terms with these combinations.
func strict(approvals int, combinations ...[]string) Terms {
	return Terms{Strict: true, Methods: combinations, Approvals: approvals}
}
