package oidc

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
)

// Paths of every contract.
const (
	metadataPath = "/.well-known/oauth-authorization-server" // RFC 8414, section 3
	returnPath   = "/return"
)

// metadata is what the provider says of itself (OpenID Connect Discovery 3, RFC 8414).
type metadata struct {
	Issuer         string   `json:"issuer"`
	Authorize      string   `json:"authorization_endpoint"`
	Token          string   `json:"token_endpoint,omitempty"`
	UserInfo       string   `json:"userinfo_endpoint,omitempty"`
	PAR            string   `json:"pushed_authorization_request_endpoint,omitempty"`
	RequirePAR     bool     `json:"require_pushed_authorization_requests,omitempty"`
	JWKS           string   `json:"jwks_uri"`
	Scopes         []string `json:"scopes_supported"`
	ResponseTypes  []string `json:"response_types_supported"`
	ResponseModes  []string `json:"response_modes_supported"`
	Grants         []string `json:"grant_types_supported"`
	Subjects       []string `json:"subject_types_supported"`
	Algorithms     []string `json:"id_token_signing_alg_values_supported"`
	ClientAuth     []string `json:"token_endpoint_auth_methods_supported,omitempty"`
	Challenges     []string `json:"code_challenge_methods_supported,omitempty"`
	ACR            []string `json:"acr_values_supported,omitempty"`
	Claims         []string `json:"claims_supported"`
	NamesIssuer    bool     `json:"authorization_response_iss_parameter_supported"`
	ClaimsParam    bool     `json:"claims_parameter_supported"`
	RequestParam   bool     `json:"request_parameter_supported"`
	RequestURI     bool     `json:"request_uri_parameter_supported"`
	VerifiedClaims bool     `json:"verified_claims_supported,omitempty"`
	Frameworks     []string `json:"trust_frameworks_supported,omitempty"`
	InVerified     []string `json:"claims_in_verified_claims_supported,omitempty"`
	EndSession     string   `json:"end_session_endpoint,omitempty"`
	AuthAlgorithms []string `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
}

// metadata is what an issuer says of itself: all that any of its contracts can.
func (p *Provider) metadata(at party.Issuer) metadata {
	var m metadata
	for i, row := range at.Contracts {
		one := p.metadataOf(row)
		if i == 0 {
			m = one
			continue
		}
		for _, l := range [][2]*[]string{{&m.Scopes, &one.Scopes}, {&m.Algorithms, &one.Algorithms}, {&m.ClientAuth, &one.ClientAuth}, {&m.Challenges, &one.Challenges},
			{&m.Claims, &one.Claims}, {&m.ACR, &one.ACR}, {&m.AuthAlgorithms, &one.AuthAlgorithms}} {
			for _, name := range *l[1] {
				if !slices.Contains(*l[0], name) {
					*l[0] = append(slices.Clone(*l[0]), name)
				}
			}
		}
		m.RequirePAR = m.RequirePAR && one.RequirePAR
		m.EndSession += one.EndSession
	}
	return m
}

// unprovable reports whether a scope of the public API stands for what nobody can prove
// here: it is known, and never followed.
func unprovable(scope string) bool { return len(request.Unprovable([]string{scope}, nil)) > 0 }

// metadataOf is what one contract can.
func (p *Provider) metadataOf(row party.Terms) metadata {
	to := row.Addresses(p.cfg.Origin())
	m := metadata{
		Issuer: to.Issuer, Authorize: to.Authorize, Token: to.Token, UserInfo: to.UserInfo, PAR: to.PAR, JWKS: to.JWKS, EndSession: to.End,
		Scopes: slices.DeleteFunc(slices.Clone(row.Scopes), unprovable), ResponseTypes: []string{"id_token"}, ResponseModes: []string{"form_post"}, Grants: []string{"implicit"},
		Subjects: []string{"pairwise"}, Algorithms: []string{row.Algorithm}, ClaimsParam: true, NamesIssuer: true,
		Claims: []string{"iss", "sub", "aud", "exp", "iat", "nonce", "auth_time", "acr", "amr"},
	}
	if row.Code {
		m.ResponseTypes, m.ResponseModes, m.Grants = []string{"code"}, []string{"query", "fragment", "form_post"}, []string{"authorization_code"}
		m.ClientAuth, m.Challenges = []string{"client_secret_basic", "client_secret_post"}, []string{"S256"}
	}
	m.RequirePAR = row.Pushes && row.Pushed
	if row.Contract == party.OpenID {
		m.AuthAlgorithms, m.Algorithms = assertionAlgorithms, party.Algorithms
		m.ClientAuth = append(m.ClientAuth, party.AuthKey, party.AuthNone)
		m.Claims, m.ACR = append(m.Claims, openIDClaims...), strengthNames
		return m
	}
	if row.People {
		m.VerifiedClaims, m.Frameworks, m.InVerified = true, []string{frameworkDelegated}, comparable
		m.Claims = []string{"iss", "sub", "aud", "exp", "iat", "nonce", "auth_time", "verified_claims"}
	} else {
		m.ACR = possession
	}
	if row.Contract == party.OktaEAM {
		m.Claims = append(m.Claims, "preferred_username")
	}
	return m
}

// cached lets a relying party keep what it read for an hour. Entra ID wants the length
// of it, which a server in front that compresses would take away.
const cached = "public, max-age=3600, no-transform"

func (p *Provider) discovery(w http.ResponseWriter, r *http.Request, at party.Issuer) {
	w.Header().Set("Cache-Control", cached)
	w.Header().Del("Vary")
	toEverybody(w.Header())
	writeJSON(w, r, http.StatusOK, []byte(store.JSON(p.metadata(at))))
}

func (p *Provider) jwks(w http.ResponseWriter, r *http.Request, at party.Issuer) {
	set, err := p.keySet(r.Context(), at)
	if err != nil {
		p.cfg.Log.WarnContext(r.Context(), "keys cannot be read", "error", err)
		w.Header().Set("Retry-After", retryAfter)
		http.Error(w, "keys cannot be read now", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Cache-Control", cached)
	w.Header().Del("Vary")
	toEverybody(w.Header())
	writeJSON(w, r, http.StatusOK, set)
}

// writeJSON writes a body with its length.
func writeJSON(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// An oauthError is what an endpoint for clients answers (RFC 6749 5.2).
type oauthError struct {
	Status      int    `json:"-"`
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// Error implements error.
func (e *oauthError) Error() string { return "oidc: " + e.Code + ": " + e.Description }

func invalid(code, description string) *oauthError {
	return &oauthError{http.StatusBadRequest, code, strings.Map(described, description)}
}

// described leaves of a description what may stand in one (RFC 6749, appendix A.8): some of
// it repeats what a client sent.
func described(r rune) rune {
	switch {
	case r == '"':
		return '\''
	case r < ' ' || r > '~' || r == '\\':
		return '?'
	}
	return r
}

// errClient is the answer to every failed proof of a client: which part was wrong is not
// said.
func errClient() *oauthError {
	return &oauthError{http.StatusUnauthorized, "invalid_client", "the client is unknown, or its secret is wrong"}
}

func (p *Provider) fail(w http.ResponseWriter, r *http.Request, e *oauthError) {
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="client"`)
	}
	if e.Status == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	b, err := json.Marshal(e)
	if err != nil {
		http.Error(w, e.Code, e.Status)
		return
	}
	writeJSON(w, r, e.Status, b)
}
