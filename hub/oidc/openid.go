package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/match"
)

// openIDTokenLife is how long the tokens of an application are good: what the published
// examples of the public API say.
const openIDTokenLife = time.Hour

// openIDClaims are what an application may ask for.
var openIDClaims = []string{"name", "given_name", "family_name", "birth_date", "birthdate", "govtid", "govtid_expired", "age_over_18", "age_over_21",
	request.Account, "account_status", request.Email, request.Phone, request.PreferredName, request.Address, request.IPLocation, store.PictureClaim}

// profileClaims are what the scope profile stands for here (OpenID Connect Core 5.4).
var profileClaims = []string{"name", "given_name", "family_name"}

// claimSpellings are other names of claims, in which they are answered as well.
var claimSpellings = map[string]string{"birthdate": "birth_date", "phone": "phone_number"}

// strengthNames are the binding strengths that may be asked for.
var strengthNames = []string{string(match.CommonName), string(match.NameAndBirthDate), string(match.Photo)}

// A plain is what an application asks of a person.
type plain struct {
	Scopes   []string          `json:"scopes"`             // that are followed
	Claims   []string          `json:"claims,omitempty"`   // of the public API
	Names    map[string]string `json:"names,omitempty"`    // in which the application spells one of them
	Strength match.Strength    `json:"strength,omitempty"` // in which an account must be the person's
	Who      string            `json:"who,omitempty"`      // sub, where nobody else will do
	Email    string            `json:"email,omitempty"`    // email_hint
	Label    string            `json:"label,omitempty"`
	Template string            `json:"template,omitempty"`
	Life     time.Duration     `json:"life,omitempty"`    // of what is shared
	Domains  []string          `json:"domains,omitempty"` // of which a mail address must be; none: any
	Selfie   bool              `json:"selfie,omitempty"`  // only a proof with a new selfie counts
}

// Bounds of what an application asks.
const (
	maxLabel  = 1000 // as for requests of the API
	maxNamed  = 64   // claims of one request
	maxHinted = 254  // of email_hint: RFC 5321, section 4.5.3.1.3
)

// understandOpenID reads the request of an application whose redirect_uri is known.
func (p *Provider) understandOpenID(r *http.Request, c party.Party, q params, to *asked, pushed bool) *oauthError {
	switch kind := q["response_type"]; {
	case kind != "" && kind != "code":
		return invalid("unsupported_response_type", "want code")
	case !slices.Contains(answerModes, q["response_mode"]):
		return invalid("invalid_request", "response_mode is query, fragment or form_post")
	case q["request"] != "":
		return invalid("request_not_supported", "parameters stand by themselves")
	case q["request_uri"] != "":
		return invalid("invalid_request", "request_uri does not stand here (RFC 9126, section 2.1)")
	case len(q["label"]) > maxLabel || len(q["email_hint"]) > maxHinted || len(q["template"]) > maxLabel:
		return invalid("invalid_request", "label, template or email_hint is too long")
	}
	if oauth := unasked(q["prompt"]); oauth != nil {
		return oauth
	}
	to.Mode = q["response_mode"]
	if oauth := challenge(c, q, to, pushed); oauth != nil {
		return oauth
	}
	w, oauth := parsePlain(c, q)
	if oauth == nil {
		oauth = p.meansOne(r.Context(), c, q["id_token_hint"], w)
	}
	if oauth != nil {
		return oauth
	}
	to.Plain = w
	return p.useTemplate(r.Context(), c, q, w)
}

// meansOne reads a token of the person whom the client means: nobody else will do (OpenID
// Connect Core 3.1.2.2).
func (p *Provider) meansOne(ctx context.Context, c party.Party, hint string, w *plain) *oauthError {
	if hint == "" {
		return nil
	}
	token, err := p.ownToken(ctx, hint, func(audience string) (party.Party, error) {
		if audience != c.ID {
			return c, errNobody
		}
		return c, nil
	})
	switch {
	case err != nil || token.Subject == "":
		return invalid("invalid_request", "id_token_hint is not a token of this client")
	case w.Who != "" && w.Who != token.Subject:
		return invalid("invalid_request", "id_token_hint is of somebody else than the claim sub asks for")
	}
	w.Who = token.Subject
	return nil
}

// challenge reads code_challenge. It is required, but where a client that proves itself
// by something else may leave it out: one whose administrator said so, and the
// environment or directory itself, whose interface has none, for pushed requests.
func challenge(c party.Party, q params, to *asked, pushed bool) *oauthError {
	text, method := q["code_challenge"], q["code_challenge_method"]
	optional := c.Settings.Auth != party.AuthNone && (c.Settings.PKCE == party.PKCEOptional || c.Settings.PKCE == "" && c.BuiltIn() && pushed)
	switch {
	case text == "" && method == "" && optional:
		return nil
	case method == "S256" && isThumb(text):
	case (method == "plain" || method == "") && c.Settings.PKCE == party.PKCEPlain && isVerifier(text):
		to.Clear = true
	case text == "":
		return invalid("invalid_request", "code_challenge is missing: want S256")
	default:
		return invalid("invalid_request", "code_challenge: want S256, 43 characters")
	}
	to.Challenge = text
	return nil
}

// isThumb reports whether s is base64url of 32 bytes.
func isThumb(s string) bool {
	b, err := enc.Strict().DecodeString(s)
	return err == nil && len(b) == 32
}

// isVerifier reports whether s is a code_verifier (RFC 7636 4.1).
func isVerifier(s string) bool {
	return len(s) >= 43 && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~", r)
	})
}

// parsePlain reads scopes, claims and hints. Scopes and claims that nobody here knows are
// passed over (OpenID Connect Core 3.1.2.1, 5.5).
func parsePlain(c party.Party, q params) (*plain, *oauthError) {
	w := &plain{Names: map[string]string{}, Label: q["label"], Template: q["template"], Email: q["email_hint"]}
	for _, s := range strings.Fields(q["scope"]) {
		if !slices.Contains(party.Scopes, s) || slices.Contains(w.Scopes, s) || s == request.Email && c.Directory == "" {
			continue
		}
		w.Scopes = append(w.Scopes, s)
	}
	if !slices.Contains(w.Scopes, "openid") {
		return nil, invalid("invalid_scope", "want openid")
	}
	w.Claims = request.Asked(w.Scopes, strings.Fields(q["claim"]))
	if slices.Contains(w.Scopes, "profile") {
		w.Claims = append(w.Claims, profileClaims...)
	}
	for _, same := range []string{request.Email, request.Address} { // OpenID Connect Core 5.4
		if slices.Contains(w.Scopes, same) {
			w.Claims = append(w.Claims, same)
		}
	}
	if err := w.parseClaims(q["claims"]); err != nil {
		return nil, invalid("invalid_request", err.Error())
	}
	return w, w.settle(c)
}

// settle leaves what can be answered, each once.
func (w *plain) settle(c party.Party) *oauthError {
	slices.Sort(w.Claims)
	w.Claims = slices.DeleteFunc(slices.Compact(w.Claims), func(n string) bool { return len(request.Answerable([]string{n})) == 0 && !request.Matched(n) })
	if len(w.Claims) > maxNamed {
		return invalid("invalid_request", fmt.Sprintf("more than %d claims", maxNamed))
	}
	if slices.ContainsFunc(w.Claims, request.Matched) && c.Directory == "" {
		return invalid("invalid_request", "account, email: only the client of a directory is told of accounts; its client_id is the directory's id")
	}
	if w.Strength == "" {
		w.Strength = match.CommonName
	}
	return nil
}

// namedClaim is one member of the claims parameter (OpenID Connect Core 5.5.1).
type namedClaim struct {
	Essential bool            `json:"essential"`
	Value     json.RawMessage `json:"value"`
	Values    []string        `json:"values"`
	Strength  string          `json:"binding_strength"`
}

// parseClaims reads the claims parameter: its member id_token counts.
func (w *plain) parseClaims(text string) error {
	if text == "" {
		return nil
	}
	var c struct {
		IDToken map[string]json.RawMessage `json:"id_token"`
	}
	if len(text) > maxClaims || json.Unmarshal([]byte(text), &c) != nil || len(c.IDToken) > maxNamed {
		return errClaims
	}
	for name, raw := range c.IDToken {
		var n namedClaim
		if json.Unmarshal(raw, &n) != nil {
			return fmt.Errorf("claims: %.40q is neither null nor an object", name)
		}
		plainName := name
		if other := claimSpellings[name]; other != "" {
			plainName, w.Names[other] = other, name
		}
		switch {
		case name == "acr" && n.Essential:
			return errors.New("claims: acr: people prove what the environment accepts, and no other class can be asked for")
		case name == "sub":
			if len(n.Value) > 0 && json.Unmarshal(n.Value, &w.Who) != nil {
				return errors.New("claims: sub: want a text")
			}
		case plainName == request.Account:
			strength, err := n.strength()
			if err != nil {
				return err
			}
			w.Strength = strength
			w.Claims = append(w.Claims, plainName)
		default:
			w.Claims = append(w.Claims, plainName)
		}
	}
	return nil
}

// strength reads the binding strength that is asked for. The public text does not say in
// which form: as the value, among values, as a value of the type of the claim, or beside.
func (n namedClaim) strength() (match.Strength, error) {
	list := n.Values
	if n.Strength != "" {
		list = append([]string{n.Strength}, list...)
	}
	if v := bytes.TrimSpace(n.Value); len(v) > 0 && string(v) != "null" {
		var text string
		var typed struct {
			Strength string `json:"binding_strength"`
		}
		if json.Unmarshal(v, &text) != nil && json.Unmarshal(v, &typed) != nil {
			return "", errors.New("claims: account: value: want a binding strength")
		}
		list = append([]string{text + typed.Strength}, list...)
	}
	for _, s := range list {
		if slices.Contains(strengthNames, s) {
			return match.Strength(s), nil
		}
	}
	if len(list) > 0 {
		return "", fmt.Errorf("claims: account: %.40q is none of %s", list[0], strings.Join(strengthNames, ", "))
	}
	return match.CommonName, nil
}

// useTemplate adds what the named template asks for, or the default where the application
// asks for nothing itself.
func (p *Provider) useTemplate(ctx context.Context, c party.Party, q params, w *plain) *oauthError {
	if w.Template == "" {
		return w.useStandard(c, q)
	}
	all, err := store.Get(ctx, p.cfg.Store, func(tx *store.Tx) ([]store.Template, error) { return tx.Templates(ctx, c.Env) })
	if err != nil {
		p.cfg.Log.WarnContext(ctx, "templates cannot be read", "error", err)
		return &oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", ""}
	}
	for _, row := range all {
		if row.Name != w.Template && row.ID != w.Template {
			continue
		}
		if t, ok := party.ParseTemplate(row.Name, row.Body); ok {
			return w.follow(c, t)
		}
	}
	return invalid("invalid_request", "template is not an enabled one of this environment")
}

// useStandard is useTemplate of the default, which came with the client. It never makes
// that a request is refused: what only the client of a directory is told, others are not.
// The words of a default that asks for nothing go with whatever is asked for.
func (w *plain) useStandard(c party.Party, q params) *oauthError {
	switch {
	case c.Standard == nil:
		return nil
	case asksItself(q):
		if !c.Standard.Asks() {
			w.Template = c.Standard.Name
		}
		return nil
	}
	t := *c.Standard
	if c.Directory == "" {
		t = t.Unmatched()
	}
	return w.follow(c, t)
}

// asksItself reports whether the application says what it wants to be told.
func asksItself(q params) bool {
	return q["claims"] != "" || q["claim"] != "" || slices.ContainsFunc(strings.Fields(q["scope"]), func(s string) bool { return s != "openid" })
}

// follow adds what t asks for.
func (w *plain) follow(c party.Party, t party.Template) *oauthError {
	w.Claims, w.Domains = append(w.Claims, t.Claims...), slices.Clone(t.Domains)
	w.Template, w.Life, w.Selfie = t.Name, t.Life, t.Selfie
	return w.settle(c)
}

// open fills what the proof begins with.
func (w *plain) open(o *request.Opening, until time.Time) {
	o.Claims, o.Scopes, o.Template, o.ShareLife, o.Keeps, o.ExpiresAt = slices.Clone(w.Claims), slices.Clone(w.Scopes), w.Template, w.Life, true, until
	o.Domains, o.Selfie = slices.Clone(w.Domains), w.Selfie
	if w.Label != "" {
		o.Label = w.Label
	}
}
