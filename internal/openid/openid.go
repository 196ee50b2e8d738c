// Package openid is a small OpenID provider for tests: a real HTTP server with real
// signatures, strict about pushed requests, PKCE, redirect addresses and client
// authentication. Everybody who comes is signed in as the one person that the test set.
package openid

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
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

// A Provider is one issuer with one client. Members that are not set by New may be set
// before the first request.
type Provider struct {
	*httptest.Server
	ClientID, Secret string
	ClientKey        *ecdsa.PublicKey // of private_key_jwt; then Secret is not taken
	Redirects        []string         // that the client may use; empty: any
	NoPAR            bool             // neither offers nor takes pushed requests
	NoIss            bool             // does not name itself in answers (RFC 9207)
	Page             bool             // shows a page with one button instead of going on at once
	Now              func() time.Time

	mu     sync.Mutex
	key    *ecdsa.PrivateKey
	claims map[string]any // of the person; over what is made here, nil takes out
	pushed map[string]url.Values
	codes  map[string]url.Values
	asked  url.Values
}

// New starts a provider on loopback, which ends with the test.
func New(t testing.TB) *Provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{ClientID: "recovery", Secret: "a secret: of %the client", Now: time.Now, key: key, claims: map[string]any{},
		pushed: map[string]url.Values{}, codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(p.JWKS()) })
	mux.HandleFunc("POST /par", p.push)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// SignIn sets who signs in: claims over the usual ones; nil takes one out.
func (p *Provider) SignIn(claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims = claims
}

// Asked returns the last authorization request.
func (p *Provider) Asked() url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.asked)
}

// JWKS returns the public keys.
func (p *Provider) JWKS() []byte {
	enc := base64.RawURLEncoding.EncodeToString
	point, err := p.key.PublicKey.Bytes()
	if err != nil {
		return nil
	}
	b, _ := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "alg": "ES256", "x": enc(point[1:33]), "y": enc(point[33:]),
	}}})
	return b
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, code string) {
	reply(w, http.StatusBadRequest, map[string]string{"error": code})
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	d := map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/jwks",
		"id_token_signing_alg_values_supported": []string{"ES256"}, "claims_parameter_supported": true,
		"authorization_response_iss_parameter_supported": !p.NoIss,
	}
	if !p.NoPAR {
		d["pushed_authorization_request_endpoint"] = p.URL + "/par"
	}
	reply(w, http.StatusOK, d)
}

// client reports whether the request is the client's.
func (p *Provider) client(r *http.Request) bool {
	if p.ClientKey != nil {
		t, err := jwt.Parse(r.PostForm.Get("client_assertion"), func(*jwt.Token) (any, error) { return p.ClientKey, nil },
			jwt.WithValidMethods([]string{"ES256"}), jwt.WithAudience(p.URL), jwt.WithIssuer(p.ClientID), jwt.WithSubject(p.ClientID), jwt.WithExpirationRequired())
		return err == nil && t.Valid
	}
	id, secret, ok := r.BasicAuth()
	if ok {
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
	} else {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	return id == p.ClientID && secret == p.Secret
}

func (p *Provider) push(w http.ResponseWriter, r *http.Request) {
	if r.ParseForm() != nil || !p.client(r) || p.NoPAR {
		refuse(w, "invalid_client")
		return
	}
	uri := "urn:ietf:params:oauth:request_uri:" + rand.Text()
	p.mu.Lock()
	p.pushed[uri] = r.PostForm
	p.mu.Unlock()
	reply(w, http.StatusCreated, map[string]any{"request_uri": uri, "expires_in": 60})
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := r.URL.Query()
	if p.Page && q.Get("go") == "" {
		again := r.URL.Query()
		again.Set("go", "1")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(`<!doctype html><title>Sign in</title><a id="signin" href="/authorize?` + strings.ReplaceAll(again.Encode(), "&", "&amp;") + `">Sign in</a>`))
		return
	}
	if uri := q.Get("request_uri"); uri != "" {
		q = p.pushed[uri]
		delete(p.pushed, uri)
	} else if !p.NoPAR {
		q = nil
	}
	if q.Get("client_id") != p.ClientID || q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" ||
		len(p.Redirects) > 0 && !slices.Contains(p.Redirects, q.Get("redirect_uri")) {
		http.Error(w, "this request cannot be served", http.StatusBadRequest)
		return
	}
	p.asked = q
	code := rand.Text()
	p.codes[code] = q
	back := url.Values{"code": {code}, "state": {q.Get("state")}}
	if !p.NoIss {
		back.Set("iss", p.URL)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusSeeOther)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if r.ParseForm() != nil || !p.client(r) {
		refuse(w, "invalid_client")
		return
	}
	p.mu.Lock()
	q := p.codes[r.PostForm.Get("code")]
	delete(p.codes, r.PostForm.Get("code"))
	p.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	if q == nil || q.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) || q.Get("redirect_uri") != r.PostForm.Get("redirect_uri") {
		refuse(w, "invalid_grant")
		return
	}
	raw, err := p.IDToken(q.Get("nonce"))
	if err != nil {
		refuse(w, "server_error")
		return
	}
	reply(w, http.StatusOK, map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "id_token": raw})
}

// IDToken signs what the provider says of its person.
func (p *Provider) IDToken(nonce string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.Now()
	claims := jwt.MapClaims{"iss": p.URL, "aud": p.ClientID, "sub": "person-1", "nonce": nonce, "iat": now.Unix(), "auth_time": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	for name, v := range p.claims {
		claims[name] = v
		if v == nil {
			delete(claims, name)
		}
	}
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	t.Header["kid"] = "k1"
	return t.SignedString(p.key)
}
