package openid

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// maxPushed is how long Okta lets a pushed request live, in seconds.
const maxPushed = 60

// An Asker stands in for Okta where a custom identity verification vendor is asked who
// somebody is: it pushes the request, sends a browser with its name alone, redeems the
// code that comes back, and judges the token by every rule of that contract.
type Asker struct {
	*httptest.Server                   // TLS; browsers reach it under Host
	Host             string            // of the organisation
	Client, Secret   string            // as the administrator typed them in
	Issuer           string            // as the administrator typed it in
	User             string            // Okta's own id of who is asked about
	Claims           map[string]string // what Okta knows of them, by its names of claims
	Framework        string            // as it is spelled in requests
	Keys             *Tenant           // reads key sets
	mu               sync.Mutex
	asked            question
	sent             string
}

// A question is one request that the browser is away with.
type question struct{ state, nonce, verifier string }

// NewAsker starts an organisation on loopback, which ends with the test.
func NewAsker(t testing.TB, host string) *Asker {
	t.Helper()
	o := &Asker{Host: host, User: "00u1a2b3c4", Framework: "IDV-DELEGATED", Keys: &Tenant{Client: http.DefaultClient}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /start", o.start)
	mux.HandleFunc("GET /idp/identity-verification/callback", o.back)
	o.Server = httptest.NewTLSServer(mux)
	t.Cleanup(o.Close)
	return o
}

// Callback is the address that the vendor is told.
func (o *Asker) Callback() string { return "https://" + o.Host + "/idp/identity-verification/callback" }

// start pushes a request and sends the browser with what it is called.
func (o *Asker) start(w http.ResponseWriter, r *http.Request) {
	uri, err := o.push()
	if err != nil {
		say(w, "not asked: "+err.Error())
		return
	}
	to := o.Issuer + "/oauth2/authorize?" + url.Values{"request_uri": {uri}}.Encode()
	o.mu.Lock()
	o.sent = to
	o.mu.Unlock()
	http.Redirect(w, r, to, http.StatusFound)
}

// Sent returns where the browser was sent last.
func (o *Asker) Sent() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent
}

func say(w http.ResponseWriter, text string) {
	_, _ = fmt.Fprintf(w, "<!doctype html><title>org</title><h1>%s</h1>", template.HTMLEscapeString(text))
}

// push sends what Okta sends: the secret in the body, and names with the values to compare.
func (o *Asker) push() (uri string, err error) {
	q := question{rand.Text(), rand.Text(), rand.Text() + rand.Text()}
	o.mu.Lock()
	o.asked = q
	o.mu.Unlock()
	claims := map[string]any{}
	for name, value := range o.Claims {
		claims[name] = map[string]any{"value": value, "fuzzy": true}
	}
	wanted, err := json.Marshal(map[string]any{"id_token": map[string]any{"verified_claims": []any{map[string]any{
		"verification": map[string]any{"trust_framework": map[string]string{"value": o.Framework}, "assurance_level": map[string]string{"value": "VERIFIED"}},
		"claims":       claims,
	}}}})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(q.verifier))
	var got struct {
		URI     string `json:"request_uri"`
		Expires int    `json:"expires_in"`
	}
	status, header, err := o.send("/oauth2/par", url.Values{"response_type": {"code"}, "redirect_uri": {o.Callback()}, "scope": {"openid profile identity_assurance"},
		"state": {q.state}, "nonce": {q.nonce}, "login_hint": {o.User}, "claims": {string(wanted)},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}, &got)
	switch {
	case err != nil:
		return "", err
	case status != http.StatusCreated:
		return "", fmt.Errorf("par: status %d", status)
	case !strings.Contains(header.Get("Cache-Control"), "no-store"):
		return "", errors.New("par: the reply may be kept")
	case !strings.HasPrefix(got.URI, "urn:ietf:params:oauth:request_uri:") || got.Expires < 1 || got.Expires > maxPushed:
		return "", fmt.Errorf("par: request_uri %.40q, expires_in %d", got.URI, got.Expires)
	}
	return got.URI, nil
}

// send posts a form as the client, and reads the JSON that comes back.
func (o *Asker) send(path string, form url.Values, to any) (status int, header http.Header, err error) {
	form = maps.Clone(form)
	form.Set("client_id", o.Client)
	form.Set("client_secret", o.Secret)
	res, err := o.Keys.Client.PostForm(o.Issuer+path, form)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if kind := res.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		return 0, nil, fmt.Errorf("%s: status %d, %q instead of JSON", path, res.StatusCode, kind)
	}
	return res.StatusCode, res.Header, json.NewDecoder(res.Body).Decode(to)
}

// back takes the answer and says what came of it.
func (o *Asker) back(w http.ResponseWriter, r *http.Request) {
	level, err := o.judge(r.URL.Query())
	if err != nil {
		say(w, "refused: "+err.Error())
		return
	}
	say(w, "Okta read "+level)
}

// judge returns the level of assurance, or the first rule that an answer breaks.
func (o *Asker) judge(q url.Values) (level string, err error) {
	o.mu.Lock()
	asked := o.asked
	o.mu.Unlock()
	switch {
	case q.Get("state") != asked.state:
		return "", errors.New("state is another one")
	case q.Get("iss") != o.Issuer:
		return "", errors.New("iss is another one")
	case q.Get("error") != "":
		return "", errors.New(q.Get("error"))
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {q.Get("code")}, "redirect_uri": {o.Callback()}, "code_verifier": {rand.Text() + rand.Text()}}
	if _, err := o.redeem(form, asked.nonce); err == nil {
		return "", errors.New("the code was good with another verifier")
	}
	form.Set("code_verifier", asked.verifier)
	token, err := o.redeem(form, asked.nonce)
	if err != nil {
		return "", err
	}
	if _, err := o.redeem(form, asked.nonce); err == nil {
		return "", errors.New("the code was good twice")
	}
	return o.read(token.Verified)
}

// An identity is the id_token of the answer.
type identity struct {
	jwt.RegisteredClaims
	Nonce    string        `json:"nonce"`
	Verified []verifiedSet `json:"verified_claims"`
}

// A verifiedSet is one member of verified_claims.
type verifiedSet struct {
	Verification map[string]string         `json:"verification"`
	Claims       map[string]map[string]any `json:"claims"`
}

// redeem gets a token for the code, and checks who made it for whom.
func (o *Asker) redeem(form url.Values, nonce string) (*identity, error) {
	var got struct {
		IDToken string `json:"id_token"`
		Type    string `json:"token_type"`
		Expires int    `json:"expires_in"`
		Error   string `json:"error"`
	}
	status, _, err := o.send("/oauth2/token", form, &got)
	if err != nil || status != http.StatusOK {
		return nil, fmt.Errorf("token: status %d, %s, %v", status, got.Error, err)
	}
	if !strings.EqualFold(got.Type, "bearer") || got.Expires < 1 {
		return nil, fmt.Errorf("token: %q for %d seconds", got.Type, got.Expires)
	}
	who := &identity{}
	_, err = jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(o.Issuer), jwt.WithAudience(o.Client), jwt.WithSubject(o.User),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt()).
		ParseWithClaims(got.IDToken, who, func(t *jwt.Token) (any, error) { return o.Keys.KeyOf(o.Issuer+"/oauth2/jwks", t) })
	if err == nil && who.Nonce != nonce {
		err = errors.New("nonce is another one")
	}
	return who, err
}

// read judges verified_claims: one set, of the framework with the hyphen, at a time that
// is now, with no claim that was not asked for, and nothing that Okta did not say itself.
func (o *Asker) read(sets []verifiedSet) (level string, err error) {
	if len(sets) != 1 || sets[0].Claims == nil {
		return "", fmt.Errorf("%d sets of verified_claims", len(sets))
	}
	v, claims := sets[0].Verification, sets[0].Claims
	at, err := time.Parse(time.RFC3339, v["time"])
	level = v["assurance_level"]
	switch {
	case err != nil:
		return "", err
	case time.Since(at).Abs() > time.Minute:
		return "", fmt.Errorf("verified at %v", at)
	case v["trust_framework"] != "IDV-DELEGATED":
		return "", fmt.Errorf("trust_framework %q", v["trust_framework"])
	case v["verification_process"] == "":
		return "", errors.New("verification_process is missing")
	case level != "VERIFIED" && level != "FAILED":
		return "", fmt.Errorf("assurance_level %q", level)
	case level == "FAILED" && len(claims) != 0:
		return "", errors.New("claims of a proof that failed")
	case level == "VERIFIED" && (claims["given_name"] == nil || claims["family_name"] == nil):
		return "", errors.New("verified without given_name and family_name")
	}
	for name, c := range claims {
		if _, ok := o.Claims[name]; !ok {
			return "", fmt.Errorf("claim %s was not asked for", name)
		}
		if fuzzy, ok := c["fuzzy"].(bool); c["value"] != "MATCHED" || !ok || !fuzzy || len(c) != 2 {
			return "", fmt.Errorf("claim %s is %v", name, c)
		}
	}
	return level, nil
}
