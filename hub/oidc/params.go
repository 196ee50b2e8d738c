package oidc

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of what is read.
const (
	maxRequest = 64 << 10 // a form with an id_token_hint
	maxValue   = 4 << 10  // of one parameter
	maxHint    = 16 << 10 // of an id_token_hint
	maxClaims  = 8 << 10
	maxAsked   = 32 // values of acr or amr
)

// params are the parameters of one request, each there once.
type params map[string]string

var (
	errForm      = errors.New("the request is not a form, or too large")
	errDuplicate = errors.New("a parameter stands twice")
	errLong      = errors.New("a parameter is too long")
	errText      = errors.New("a parameter is no text in UTF-8")
)

// parseParams refuses parameters that stand twice (RFC 6749 3.1), those that are too long
// and those that are no text. Empty ones are as good as absent.
func parseParams(raw string) (params, error) {
	if len(raw) > maxRequest {
		return nil, errForm
	}
	q, err := url.ParseQuery(raw)
	if err != nil {
		return nil, errForm
	}
	out := params{}
	for name, values := range q {
		most := maxValue
		switch name {
		case "id_token_hint":
			most = maxHint
		case "claims":
			most = maxClaims
		case "client_assertion":
			most = maxAssertion
		}
		switch {
		case len(values) > 1:
			return nil, errDuplicate
		case len(values[0]) > most:
			return nil, errLong
		case strings.ContainsRune(values[0], 0) || !utf8.ValidString(values[0]): // it would not come back as it came
			return nil, errText
		case values[0] != "":
			out[name] = values[0]
		}
	}
	return out, nil
}

// formParams reads the form of a POST. What stands in the query counts for nothing.
func formParams(w http.ResponseWriter, r *http.Request) (params, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, errForm
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return nil, errForm
	}
	return parseParams(string(b))
}

// redirect returns the address of the answer. Entra ID spells its parameter in two ways.
func (q params) redirect() (string, error) {
	uri, other := q["redirect_uri"], q["redirect_url"]
	if uri != "" && other != "" {
		return "", errDuplicate
	}
	return uri + other, nil
}

// An askedClaims is the claims parameter, as far as it is of use (OpenID Connect Core
// 5.5): only the id_token member counts.
type askedClaims struct {
	IDToken struct {
		ACR      *askedValues      `json:"acr"`
		AMR      *askedValues      `json:"amr"`
		Verified []json.RawMessage `json:"verified_claims"`
	} `json:"id_token"`
}

type askedValues struct {
	Value  string   `json:"value"`
	Values []string `json:"values"`
}

func (v *askedValues) all() []string {
	switch {
	case v == nil:
		return nil
	case v.Value != "":
		return []string{v.Value}
	}
	return v.Values
}

var errClaims = errors.New("the parameter claims cannot be read")

// parseClaims reads the parameter. verified_claims may be one object or a list of one.
func parseClaims(text string) (askedClaims, error) {
	var c askedClaims
	if text == "" {
		return c, nil
	}
	if len(text) > maxClaims {
		return c, errClaims
	}
	var loose struct {
		IDToken struct {
			ACR      *askedValues    `json:"acr"`
			AMR      *askedValues    `json:"amr"`
			Verified json.RawMessage `json:"verified_claims"`
		} `json:"id_token"`
	}
	if err := json.Unmarshal([]byte(text), &loose); err != nil {
		return c, errClaims
	}
	c.IDToken.ACR, c.IDToken.AMR = loose.IDToken.ACR, loose.IDToken.AMR
	if v := loose.IDToken.Verified; len(v) > 0 && v[0] == '[' {
		if err := json.Unmarshal(v, &c.IDToken.Verified); err != nil {
			return c, errClaims
		}
	} else if len(v) > 0 && string(v) != "null" {
		c.IDToken.Verified = []json.RawMessage{v}
	}
	for _, list := range [][]string{c.IDToken.ACR.all(), c.IDToken.AMR.all()} {
		if len(list) > maxAsked || slices.ContainsFunc(list, func(s string) bool { return s == "" || len(s) > 64 }) {
			return askedClaims{}, errClaims
		}
	}
	return c, nil
}

// hasScopes reports whether the scopes are among those of a contract, openid with them.
func hasScopes(scope string, known []string) bool {
	list := strings.Fields(scope)
	return slices.Contains(list, "openid") && !slices.ContainsFunc(list, func(s string) bool {
		return !slices.Contains(known, s) && !strings.HasPrefix(s, flowScope)
	})
}

// flowScope begins the scopes by which Okta names the vendor's flow of its choice.
const flowScope = "idv_flow_"
