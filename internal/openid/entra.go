package openid

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A Tenant stands in for Microsoft Entra ID where it asks for an external authentication
// method: it publishes keys, signs hints, sends a browser with a form, and judges what
// comes back by every rule of that contract.
type Tenant struct {
	*httptest.Server                  // plain, for keys
	Secure           *httptest.Server // TLS, for browsers
	ID, AppID        string           // of the tenant, and of the application that it consented to
	Authority        string           // under which it signs and is reached by browsers
	Object           string           // oid of the person
	Client           *http.Client
	Discovery        string // of the method, as the administrator typed it in
	ClientID         string // as the administrator typed it in
	ACR, AMR         []string
	Spell            func(url.Values) // changes the form before it is sent; nil: not

	mu      sync.Mutex
	key     *rsa.PrivateKey
	nonce   string
	subject string
	results []Result
}

// A Result is what came back to the tenant.
type Result struct {
	Form   url.Values
	Claims jwt.MapClaims
	Err    error // which rule it broke
}

// externalReturn is where Entra ID takes answers.
const externalReturn = "/common/federation/externalauthprovider"

// NewTenant starts a tenant on loopback, which ends with the test.
func NewTenant(t testing.TB, authority string) *Tenant {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e := &Tenant{ID: "11111111-2222-4333-8444-555555555555", AppID: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", Object: "01234567-89ab-4cde-8f01-23456789abcd",
		Authority: authority, Client: http.DefaultClient, ACR: []string{"possessionorinherence"}, AMR: []string{"fido", "otp", "sms", "pop"}, key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /common/v2.0/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]string{"issuer": authority + "/{tenantid}/v2.0", "jwks_uri": e.URL + "/keys"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]any{"keys": []any{map[string]string{"kty": "RSA", "use": "sig", "kid": "tenant-key", "issuer": authority + "/{tenantid}/v2.0",
			"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes())}}})
	})
	mux.HandleFunc("GET /start", e.start)
	mux.HandleFunc("POST "+externalReturn, e.back)
	e.Server = httptest.NewServer(mux)
	e.Secure = httptest.NewTLSServer(mux)
	t.Cleanup(e.Close)
	t.Cleanup(e.Secure.Close)
	return e
}

// Hint signs what the tenant says of the person. It has expired on purpose. over replaces
// claims; nil takes one out.
func (e *Tenant) Hint(over map[string]any) string {
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": e.Authority + "/" + e.ID + "/v2.0", "aud": e.AppID, "tid": e.ID, "oid": e.Object, "sub": "subject of " + e.Object,
		"preferred_username": "somebody.else@example.com", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(-time.Second).Unix(), "ver": "2.0", "jti": rand.Text(),
	}
	for name, v := range over {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	return e.Sign(jwt.SigningMethodRS256, claims)
}

// Sign signs claims with the tenant's key, in whatever way.
func (e *Tenant) Sign(method jwt.SigningMethod, claims jwt.MapClaims) string {
	t := jwt.NewWithClaims(method, claims)
	t.Header["kid"] = "tenant-key"
	var key any = e.key
	if method == jwt.SigningMethodHS256 {
		key = e.key.N.Bytes()
	}
	text, err := t.SignedString(key)
	if err != nil {
		return ""
	}
	return text
}

// Form is the request that the tenant posts through the browser.
func (e *Tenant) Form(hint string) url.Values {
	e.mu.Lock()
	e.nonce, e.subject = rand.Text(), "subject of "+e.Object
	nonce := e.nonce
	e.mu.Unlock()
	claims, _ := json.Marshal(map[string]any{"id_token": map[string]any{
		"acr": map[string]any{"essential": true, "values": e.ACR}, "amr": map[string]any{"essential": true, "values": e.AMR},
	}})
	f := url.Values{
		"scope": {"openid"}, "response_type": {"Id_token"}, "response_mode": {"form_post"}, "client_id": {e.ClientID}, "redirect_uri": {e.Authority + externalReturn},
		"nonce": {nonce}, "state": {"state of the tenant"}, "id_token_hint": {hint}, "claims": {string(claims)}, "client-request-id": {"req-1"},
	}
	if e.Spell != nil {
		e.Spell(f)
	}
	return f
}

var startPage = template.Must(template.New("start").Parse(`<!doctype html><title>tenant</title><h1>Sign in</h1>
<form method="post" action="{{.Action}}">{{range $n, $v := .Form}}{{range $v}}<input type="hidden" name="{{$n}}" value="{{.}}">{{end}}{{end}}<button id="go">Go on</button></form>`))

// start is the tenant's page after its own first factor.
func (e *Tenant) start(w http.ResponseWriter, _ *http.Request) {
	m, err := e.discover()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = startPage.Execute(w, map[string]any{"Action": m.Authorize, "Form": e.Form(e.Hint(nil))})
}

// A discovered is what the tenant reads of the method.
type discovered struct {
	Issuer    string   `json:"issuer"`
	Authorize string   `json:"authorization_endpoint"`
	JWKS      string   `json:"jwks_uri"`
	Scopes    []string `json:"scopes_supported"`
	Types     []string `json:"response_types_supported"`
	Modes     []string `json:"response_modes_supported"`
	Subjects  []string `json:"subject_types_supported"`
	Algs      []string `json:"id_token_signing_alg_values_supported"`
}

// fetch reads a document as the tenant does: it wants a length.
func (e *Tenant) fetch(address string, into any) error {
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept-Encoding", "gzip, zstd, br")
	res, err := e.Client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: status %d", address, res.StatusCode)
	case res.ContentLength != int64(len(b)) || res.Header.Get("Content-Encoding") != "":
		return fmt.Errorf("%s: Content-Length %d, encoding %q, %d bytes", address, res.ContentLength, res.Header.Get("Content-Encoding"), len(b))
	}
	return json.Unmarshal(b, into)
}

func (e *Tenant) discover() (m discovered, err error) {
	if err = e.fetch(e.Discovery, &m); err != nil {
		return m, err
	}
	if m.Issuer+"/.well-known/openid-configuration" != e.Discovery || !slices.Contains(m.Types, "id_token") || !slices.Contains(m.Modes, "form_post") ||
		!slices.Contains(m.Scopes, "openid") || !slices.Contains(m.Algs, "RS256") || len(m.Subjects) == 0 || m.Authorize == "" {
		return m, fmt.Errorf("discovery says %+v", m)
	}
	return m, nil
}

// back takes an answer and shows whether it kept every rule.
func (e *Tenant) back(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	f, err := url.ParseQuery(string(b))
	res := Result{Form: f, Err: err}
	if err == nil {
		res.Claims, res.Err = e.Judge(f)
	}
	e.mu.Lock()
	e.results = append(e.results, res)
	e.mu.Unlock()
	text := "signed in"
	if res.Err != nil {
		text = "refused: " + res.Err.Error()
	}
	_, _ = fmt.Fprintf(w, "<!doctype html><title>tenant</title><h1>%s</h1>", template.HTMLEscapeString(text))
}

// Results returns what came back.
func (e *Tenant) Results() []Result {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.results)
}

// Judge reads an answer as Entra ID does, and returns the first rule that it breaks. An
// answer that says no is the error "access_denied" or whichever it names.
func (e *Tenant) Judge(f url.Values) (jwt.MapClaims, error) {
	if err := wellSaid(f); err != nil {
		return nil, err
	}
	m, err := e.discover()
	if err != nil {
		return nil, err
	}
	claims := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(m.Issuer), jwt.WithAudience(e.ClientID), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	if _, err := parser.ParseWithClaims(f.Get("id_token"), claims, func(t *jwt.Token) (any, error) { return e.KeyOf(m.JWKS, t) }); err != nil {
		return nil, err
	}
	return claims, e.answers(claims)
}

// wellSaid reports what is wrong with the form of an answer.
func wellSaid(f url.Values) error {
	for name, values := range f {
		if len(values) != 1 {
			return fmt.Errorf("%s stands %d times", name, len(values))
		}
	}
	if f.Get("state") != "state of the tenant" {
		return errors.New("state is another one")
	}
	if code := f.Get("error"); code != "" {
		return errors.New(code)
	}
	return nil
}

// answers reports where claims are no answer to what the tenant asked.
func (e *Tenant) answers(claims jwt.MapClaims) error {
	e.mu.Lock()
	nonce, subject := e.nonce, e.subject
	e.mu.Unlock()
	amr, _ := claims["amr"].([]any)
	acr, _ := claims["acr"].(string)
	_, single := claims["aud"].(string)
	iat, err := claims.GetIssuedAt()
	switch {
	case claims["sub"] != subject:
		err = errors.New("sub is not that of the hint")
	case claims["nonce"] != nonce:
		err = errors.New("nonce is another one")
	case !single:
		err = errors.New("aud is no text")
	case !slices.Contains(e.ACR, acr):
		err = fmt.Errorf("acr %q was not asked for", acr)
	case len(amr) != 1:
		err = fmt.Errorf("amr %v: want one", amr)
	case !slices.Contains(e.AMR, fmt.Sprint(amr[0])):
		err = fmt.Errorf("amr %v was not asked for", amr)
	case err != nil || iat == nil || time.Since(iat.Time) > time.Minute:
		err = errors.New("iat is old")
	}
	return err
}

// KeyOf returns the key that a token names: it stands in the set with its certificate.
func (e *Tenant) KeyOf(address string, t *jwt.Token) (any, error) {
	var set struct {
		Keys []struct {
			Kid string   `json:"kid"`
			Kty string   `json:"kty"`
			Use string   `json:"use"`
			N   string   `json:"n"`
			E   string   `json:"e"`
			X5C []string `json:"x5c"`
		} `json:"keys"`
	}
	if err := e.fetch(address, &set); err != nil {
		return nil, err
	}
	for _, k := range set.Keys {
		if k.Kid == "" || k.Kid != t.Header["kid"] {
			continue
		}
		n, err := base64.RawURLEncoding.DecodeString(k.N)
		if err != nil || len(k.X5C) == 0 || k.Use != "sig" || strings.Contains(k.X5C[0], "-") {
			return nil, errors.New("a key without certificate or use")
		}
		der, err := base64.StdEncoding.DecodeString(k.X5C[0])
		if err != nil {
			return nil, err
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		if public, ok := cert.PublicKey.(*rsa.PublicKey); ok && bytes.Equal(public.N.Bytes(), n) {
			return public, nil
		}
		return nil, errors.New("the certificate is of another key")
	}
	return nil, errors.New("no such key")
}
