package oidc

import (
	"bytes"
	"context"
	"crypto/subtle"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/hub/brand"
	"github.com/postern-id/postern/hub/locale"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

// sendScript sends the form of the page by itself. Its hash stands in the page's policy.
const sendScript = `document.forms[0].submit()`

// formPage carries an answer to the client (OAuth 2.0 Form Post Response Mode).
var formPage = template.Must(template.New("form").Parse(`<!doctype html>
<html lang="{{.Language}}"><head><meta charset="utf-8"><title>{{.Title}}</title><meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><main><h1>{{.Title}}</h1><form method="post" action="{{.Action}}">
{{range .Fields}}<input type="hidden" name="{{.Name}}" value="{{.Value}}">
{{end}}<button>{{.Button}}</button></form></main><script>` + sendScript + `</script></body></html>
`))

// wordsPage tells a person how it stands, where nothing more is to be done here.
var wordsPage = template.Must(template.New("words").Parse(`<!doctype html>
<html lang="{{.Language.Code}}" dir="{{.Language.Dir}}"><head><meta charset="utf-8"><title>{{.Title}}</title><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="{{.Style}}"><link rel="stylesheet" href="{{.Look}}"></head>
<body><main id="main"><h1>{{.Title}}</h1><p class="lead">{{.Text}}</p></main></body></html>
`))

// languageOf is the language of whoever is told something outside of any environment.
func languageOf(r *http.Request) *locale.Language {
	return locale.Choose(nil, r.Header.Get("Accept-Language"))
}

// say tells a person how it stands.
func (p *Provider) say(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	l := languageOf(r)
	var b bytes.Buffer
	err := wordsPage.Execute(&b, map[string]any{"Language": l, "Title": title, "Text": text, "Style": p.files.Path("page.css"), "Look": lookPath + strings.TrimPrefix(brand.Default, "#")})
	if err != nil {
		http.Error(w, title, status)
		return
	}
	page.Write(w, r, status, l, b.Bytes())
}

// A formField is one field of the page.
type formField struct{ Name, Value string }

// reply sends the browser to the client with an answer, in the client's mode. fields
// never stand in a log: the page's body and a redirect's address are ours alone.
func (p *Provider) reply(w http.ResponseWriter, r *http.Request, c party.Party, a asked, fields []formField) {
	if a.Mode == "form_post" {
		p.post(w, r, c, a, p.stamped(c, a, fields))
		return
	}
	w.Header().Set("Location", p.redirection(c, a, fields))
	w.WriteHeader(http.StatusSeeOther)
}

// stamped adds what every answer has.
func (p *Provider) stamped(c party.Party, a asked, fields []formField) []formField {
	if a.Echoed != "" {
		fields = append(fields, formField{"state", a.Echoed})
	}
	if c.Terms.Code {
		fields = append(fields, formField{"iss", p.issuer(c.Terms)}) // RFC 9207
	}
	return fields
}

// redirection returns the client's address with an answer.
func (p *Provider) redirection(c party.Party, a asked, fields []formField) string {
	q := url.Values{}
	for _, f := range p.stamped(c, a, fields) {
		q.Set(f.Name, f.Value)
	}
	if a.Mode == "fragment" {
		return a.Redirect + "#" + q.Encode()
	}
	return withQuery(a.Redirect, q)
}

// withQuery adds to an address, which has no fragment. A query that it has stays there as it
// is (RFC 6749 3.1.2).
func withQuery(address string, q url.Values) string {
	if strings.Contains(address, "?") {
		return address + "&" + q.Encode()
	}
	return address + "?" + q.Encode()
}

// post writes the page that sends itself, to where the client may be answered.
func (p *Provider) post(w http.ResponseWriter, r *http.Request, c party.Party, a asked, fields []formField) {
	l := languageOf(r)
	var b bytes.Buffer
	err := formPage.Execute(&b, map[string]any{"Language": l.Code(), "Title": l.Text("signin.back.title"), "Button": l.Text("common.continue"), "Action": a.Redirect, "Fields": fields})
	if err != nil {
		http.Error(w, "this page failed", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src "+p.script+"; form-action "+onwards(c)+"; frame-ancestors 'none'; base-uri 'none'")
	if a.Framed {
		admitFrames(h, c)
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	_, _ = w.Write(b.Bytes())
}

// onwards is where a form may lead that ends at the client: to the client, and from there to
// wherever it leads on. Chromium holds each redirect after a form to the policy of the page
// that had it, and a callback that leads home to another host would end on an empty page.
// Where an identity provider asks, whose callback leads nowhere else, its hosts are all.
func onwards(c party.Party) string {
	own := hosts(c.RedirectURIs())
	if c.Terms.Contract == party.OpenID {
		own = append(own, "https:")
		if slices.ContainsFunc(own, func(h string) bool { return strings.HasPrefix(h, "http://") }) {
			own = append(own, "http:") // of a developer's machine
		}
	}
	return strings.Join(own, " ")
}

// hosts returns scheme and host of each address, for the policy of a page: those that
// can be written there.
func hosts(addresses []string) []string {
	var list []string
	for _, a := range addresses {
		if u, err := url.Parse(a); err == nil && party.IsPlainHost(u.Host) {
			list = append(list, u.Scheme+"://"+u.Host)
		}
	}
	return list
}

// turnBack answers a request that was not understood, and writes it down.
func (p *Provider) turnBack(a *authorization, e *oauthError) {
	ctx := a.r.Context()
	if err := p.cfg.Store.Tx(ctx, func(tx *store.Tx) error { return p.recordRefused(ctx, tx, a, e) }); err != nil {
		p.refuse(a, err)
		return
	}
	fields := []formField{{"error", e.Code}}
	if e.Description != "" {
		fields = append(fields, formField{"error_description", e.Description})
	}
	if asksJSON(a.r) {
		respondWrong(a, http.StatusBadRequest, strings.TrimSuffix(e.Code+": "+e.Description, ": "), p.redirection(a.client, a.asked, fields))
		return
	}
	p.reply(a.w, a.r, a.client, a.asked, fields)
}

// returned is where people come back from the recovery domain. Only the browser that
// began takes the answer, and only once.
func (p *Provider) returned(w http.ResponseWriter, r *http.Request, at party.Issuer) {
	a := &authorization{w: w, r: r, at: at}
	var fields []formField
	var x exchange
	err := p.admit(w, r, "return", ofAddress)
	if err == nil {
		a.q, err = parseParams(r.URL.RawQuery)
	}
	if err == nil {
		err = p.signing(r.Context(), func(pen *pen) error {
			return p.cfg.Store.Early(r.Context(), func(tx *store.Tx) (err error) {
				x, fields, err = p.concludeFor(a, tx, pen)
				return err
			})
		})
	}
	if err != nil {
		p.refuse(a, err)
		return
	}
	host, _ := page.ParseOrigin(p.cfg.Origin())
	host.DropCookie(w, browserCookie+x.ID)
	p.reply(w, r, a.client, x.asked, fields)
}

// concludeFor makes the answer of the exchange that the browser comes back with.
func (p *Provider) concludeFor(a *authorization, tx *store.Tx, pen *pen) (x exchange, fields []formField, err error) {
	ctx := a.r.Context()
	if x, a.client, err = p.find(ctx, tx, a.q["code"], stateAnswered); err != nil {
		return x, nil, err
	}
	host, _ := page.ParseOrigin(p.cfg.Origin())
	if browser := host.Cookie(a.r, browserCookie+x.ID); !a.at.Serves(a.client.Terms.Contract) || x.Answer == nil ||
		subtle.ConstantTimeCompare([]byte(store.HashToken(browser)), []byte(x.Browser)) != 1 {
		return x, nil, errGone
	}
	fields, err = p.conclude(ctx, tx, pen, a.client, &x)
	return x, fields, err
}

// conclude makes the answer: an error, a code, or the id_token itself. Only a code is yet to
// become something.
func (p *Provider) conclude(ctx context.Context, tx *store.Tx, pen *pen, c party.Party, x *exchange) ([]formField, error) {
	if x.Answer.Error != "" {
		tx.Final()
		if _, err := p.move(ctx, tx, x, stateSpent, 0); err != nil {
			return nil, err
		}
		return []formField{{"error", x.Answer.Error}}, p.recordFinished(ctx, tx, c, *x, "")
	}
	if c.Terms.Code {
		code, err := p.move(ctx, tx, x, stateCode, codeLife)
		if err == nil && x.Plain != nil {
			err = p.cfg.People.CodeIssued(ctx, tx, x.Env, x.Use)
		}
		if err != nil {
			return nil, err
		}
		return []formField{{"code", code}}, p.recordFinished(ctx, tx, c, *x, "code")
	}
	tx.Final()
	token, _, err := p.idToken(ctx, tx, pen, c, *x)
	if err != nil {
		return nil, err
	}
	if _, err := p.move(ctx, tx, x, stateSpent, 0); err != nil {
		return nil, err
	}
	return []formField{{"id_token", token}}, p.recordFinished(ctx, tx, c, *x, "id_token")
}

// idToken writes what was proven, and returns the subject with it.
func (p *Provider) idToken(ctx context.Context, tx *store.Tx, pen *pen, c party.Party, x exchange) (token, subject string, err error) {
	now := pen.at
	_, life := lives(c)
	if subject, err = subjectOf(ctx, tx, c, x); err != nil {
		return "", "", err
	}
	claims := jwt.MapClaims{
		"iss": p.issuer(c.Terms), "aud": c.ID, "sub": subject, "iat": now.Unix(), "exp": now.Add(life).Unix(), "auth_time": x.Answer.At.Unix(),
	}
	for name, value := range map[string]string{"nonce": x.Nonce, "acr": x.Answer.ACR, "preferred_username": x.User} {
		if value != "" {
			claims[name] = value
		}
	}
	if x.Answer.AMR != "" {
		claims["amr"] = []string{x.Answer.AMR} // an array of exactly one
	}
	if x.Answer.Verified != nil {
		claims["verified_claims"] = []any{x.Answer.Verified}
	}
	if x.Answer.Told != nil {
		maps.Copy(claims, x.Answer.Told.Claims)
	}
	token, err = p.sign(ctx, tx, pen, c, claims)
	return token, subject, err
}

// subjectOf returns sub: what the client itself calls the person where it does, else a
// name of theirs that means nothing to any other client (OpenID Connect Core 8.1).
func subjectOf(ctx context.Context, tx *store.Tx, c party.Party, x exchange) (string, error) {
	if x.Subject != "" {
		return x.Subject, nil
	}
	if x.Answer != nil && x.Answer.Told != nil {
		return x.Answer.Told.Subject, nil
	}
	return tx.PersonID(ctx, c.Env, fmt.Sprintf("oidc\x00%s\x00%s\x00%s", c.ID, c.Directory, x.Account))
}
