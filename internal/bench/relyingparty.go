package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	http           *http.Client
	process        int // of the provider, where it is not this one
	// prove does the person's step for a browser that was sent away from authorize, and
	// returns where it goes on; nil where the provider answers at once.
	prove func(ctx context.Context, location *url.URL) (string, error)
}

func newRelyingParty(at endpoints, client, secret string) *relyingParty {
	return &relyingParty{endpoints: at, client: client, secret: secret, algorithm: "ES256", http: &http.Client{
		Transport:     newLines(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

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
	to, cookies, err := r.get(ctx, address, nil)
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

// get returns where a browser is sent.
func (r *relyingParty) get(ctx context.Context, address string, cookies []*http.Cookie) (*url.URL, []*http.Cookie, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("User-Agent", "Mozilla/5.0 (Android 15; Mobile; rv:142.0) Firefox/142.0") // which no other phone has to prove for
	for _, c := range cookies {
		req.AddCookie(c)
	}
	return r.follow(req)
}

// follow returns where the answer to a request sends a browser.
func (r *relyingParty) follow(req *http.Request) (*url.URL, []*http.Cookie, error) {
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, err
	}
	to, err := resp.Location()
	if err != nil {
		return nil, nil, errors.Join(err, fmt.Errorf("bench: %s: %s", resp.Status, body))
	}
	return to, resp.Cookies(), nil
}

// post sends a form as the client, and reads the answer.
func (r *relyingParty) post(ctx context.Context, address string, form url.Values, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.SetBasicAuth(url.QueryEscape(r.client), url.QueryEscape(r.secret))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := r.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		return errors.Join(err, fmt.Errorf("bench: %s: %s: %s", address, resp.Status, body))
	}
	return json.Unmarshal(body, out)
}
