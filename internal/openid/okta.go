package openid

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// An Org stands in for Okta where it asks for a factor: it sends a browser with a query,
// redeems the code that comes back, and judges the token by every rule of that contract.
type Org struct {
	*httptest.Server         // TLS; browsers reach it under Host
	Host             string  // of the organisation
	Client, Secret   string  // as the administrator typed them in
	Issuer           string  // as the administrator typed it in
	User             string  // who signs in
	Keys             *Tenant // reads key sets
	mu               sync.Mutex
	state            string
	answers          []string
}

// NewOrg starts an organisation on loopback, which ends with the test.
func NewOrg(t testing.TB, host string) *Org {
	t.Helper()
	o := &Org{Host: host, Keys: &Tenant{Client: http.DefaultClient}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /start", o.start)
	mux.HandleFunc("GET /oauth2/v1/authorize/callback", o.back)
	o.Server = httptest.NewTLSServer(mux)
	t.Cleanup(o.Close)
	return o
}

func (o *Org) callback() string { return "https://" + o.Host + "/oauth2/v1/authorize/callback" }

// start sends the browser to the factor.
func (o *Org) start(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.state = rand.Text()
	q := url.Values{"client_id": {o.Client}, "redirect_uri": {o.callback()}, "response_type": {"code"}, "scope": {"openid"}, "state": {o.state}, "login_hint": {o.User}}
	o.mu.Unlock()
	http.Redirect(w, r, o.Issuer+"/authorize?"+q.Encode(), http.StatusFound)
}

// back takes the answer.
func (o *Org) back(w http.ResponseWriter, r *http.Request) {
	text := "signed in as " + o.User
	if err := o.judge(r.URL.Query()); err != nil {
		text = "refused: " + err.Error()
	}
	o.mu.Lock()
	o.answers = append(o.answers, text)
	o.mu.Unlock()
	_, _ = fmt.Fprintf(w, "<!doctype html><title>org</title><h1>%s</h1>", template.HTMLEscapeString(text))
}

// judge returns the first rule that an answer breaks.
func (o *Org) judge(q url.Values) error {
	o.mu.Lock()
	state := o.state
	o.mu.Unlock()
	switch {
	case q.Get("state") != state:
		return errors.New("state is another one")
	case q.Get("iss") != o.Issuer:
		return errors.New("iss is another one")
	case q.Get("error") != "":
		return errors.New(q.Get("error"))
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {q.Get("code")}, "redirect_uri": {o.callback()}}
	claims, err := o.redeem(form)
	if err != nil {
		return err
	}
	if claims["preferred_username"] != o.User || claims["sub"] == nil {
		return fmt.Errorf("the token is of %v", claims["preferred_username"])
	}
	if _, err := o.redeem(form); err == nil {
		return errors.New("the code was good twice")
	}
	return nil
}

func (o *Org) redeem(form url.Values) (jwt.MapClaims, error) {
	req, err := http.NewRequest(http.MethodPost, o.Issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(o.Client), url.QueryEscape(o.Secret))
	res, err := o.Keys.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	var got struct {
		IDToken string `json:"id_token"`
		Error   string `json:"error"`
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("token: status %d, %s, %v", res.StatusCode, got.Error, err)
	}
	claims := jwt.MapClaims{}
	_, err = jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(o.Issuer), jwt.WithAudience(o.Client), jwt.WithExpirationRequired()).
		ParseWithClaims(got.IDToken, claims, func(t *jwt.Token) (any, error) { return o.Keys.KeyOf(o.Issuer+"/jwks", t) })
	return claims, err
}
