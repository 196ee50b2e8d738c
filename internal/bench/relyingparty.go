package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// signInBack is the redirect_uri of the client. Nobody asks it.
const signInBack = "https://app.example/back"

// endpoints are the addresses of a provider. One without par takes no pushed requests.
type endpoints struct{ par, authorize, token string }

// A relyingParty is an application and the browser of its people: it signs people in at a
// provider by PKCE and, where there are any, a pushed request.
type relyingParty struct {
	endpoints
	client, secret string
	algorithm      string // that id_tokens are signed by
	lines          *lines
	proof          string // header fields of a form of the client, which proves itself by its secret
	process        int    // of the provider, where it is not this one
	// prove does the person's step for a browser that was sent away from authorize, and
	// returns where it goes on; nil where the provider answers at once.
	prove func(ctx context.Context, location *url.URL) (string, error)
}

func newRelyingParty(at endpoints, client, secret string) *relyingParty {
	basic := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(client) + ":" + url.QueryEscape(secret))) // RFC 6749, 2.3.1
	return &relyingParty{endpoints: at, client: client, secret: secret, algorithm: "ES256", lines: newLines(),
		proof: formField + "Authorization: Basic " + basic + "\r\n"}
}

// Header fields of questions.
const (
	formField    = "Content-Type: application/x-www-form-urlencoded\r\n"
	browserField = "User-Agent: Mozilla/5.0 (Android 15; Mobile; rv:142.0) Firefox/142.0\r\n" // which no other phone has to prove for
)

// signIn signs one person in, and returns nil once there is a signed id_token.
func (r *relyingParty) signIn(ctx context.Context) error {
	verifier := rand.Text() + rand.Text() // 52 characters: RFC 7636 wants 43
	sum := sha256.Sum256([]byte(verifier))
	asks, err := r.push(ctx, url.Values{"client_id": {r.client}, "response_type": {"code"}, "redirect_uri": {signInBack}, "scope": {"openid"}, "state": {rand.Text()},
		"nonce": {rand.Text()}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}})
	if err != nil {
		return err
	}
	code, err := r.browse(ctx, r.authorize+"?"+asks.Encode())
	if err != nil {
		return err
	}
	var tokens struct {
		ID string `json:"id_token"`
	}
	err = r.post(ctx, r.token, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {signInBack}, "code_verifier": {verifier}}, &tokens)
	if err != nil {
		return err
	}
	return signedBy(r.algorithm, tokens.ID)
}

// push returns what a browser brings to authorize: the request, or the name of one that
// was pushed.
func (r *relyingParty) push(ctx context.Context, asks url.Values) (url.Values, error) {
	if r.par == "" {
		return asks, nil
	}
	var pushed struct {
		URI string `json:"request_uri"`
	}
	err := r.post(ctx, r.par, asks, &pushed)
	return url.Values{"client_id": {r.client}, "request_uri": {pushed.URI}}, err
}

// signedBy returns an error unless the header of a token says so.
func signedBy(algorithm, token string) error {
	head, _, _ := strings.Cut(token, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	var h struct{ Alg string }
	if err == nil {
		err = json.Unmarshal(b, &h)
	}
	if err == nil && h.Alg != algorithm {
		err = fmt.Errorf("bench: the id_token is signed by %q", h.Alg)
	}
	return err
}

// browse walks from authorize back to the application, and returns the code it brings.
func (r *relyingParty) browse(ctx context.Context, address string) (string, error) {
	to, cookies, err := r.get(ctx, address, "")
	if err == nil && r.prove != nil {
		var back string
		if back, err = r.prove(ctx, to); err == nil {
			to, _, err = r.get(ctx, back, cookies)
		}
	}
	if err != nil {
		return "", err
	}
	code := to.Query().Get("code")
	if code == "" || !strings.HasPrefix(to.String(), signInBack+"?") {
		return "", fmt.Errorf("bench: no code: %s", to.Query().Get("error"))
	}
	return code, nil
}

// get returns where a browser is sent, and with which cookies it is to come back.
func (r *relyingParty) get(ctx context.Context, address, cookies string) (to *url.URL, set string, err error) {
	fields := browserField
	if cookies != "" {
		fields += "Cookie: " + cookies + "\r\n"
	}
	return r.follow(ctx, http.MethodGet, address, fields, "")
}

// follow returns where the answer to a request sends a browser.
func (r *relyingParty) follow(ctx context.Context, method, address, fields, body string) (to *url.URL, set string, err error) {
	at, err := url.Parse(address)
	if err != nil {
		return nil, "", err
	}
	a, err := r.lines.ask(ctx, question{method, at, fields, body})
	if err != nil {
		return nil, "", err
	}
	if a.status/100 != 3 || a.location == "" {
		return nil, "", fmt.Errorf("bench: %s: %d: %s", address, a.status, a.body)
	}
	to, err = at.Parse(a.location)
	return to, a.cookies, err
}

// post sends a form as the client, and reads the answer.
func (r *relyingParty) post(ctx context.Context, address string, form url.Values, out any) error {
	body, err := r.send(ctx, address, r.proof, form.Encode())
	if err != nil {
		return err
	}
	return json.Unmarshal(body, out)
}

// send posts a body, and returns that of the answer.
func (r *relyingParty) send(ctx context.Context, address, fields, body string) ([]byte, error) {
	at, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	a, err := r.lines.ask(ctx, question{http.MethodPost, at, fields, body})
	if err == nil && a.status/100 != 2 {
		err = fmt.Errorf("bench: %s: %d: %s", address, a.status, a.body)
	}
	return a.body, err
}
