package oidc

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

// SignInPath is where people of a client prove who they are, on the recovery domain. The
// ticket that leads on stands in the fragment.
const SignInPath = "/sign-in"

// browserCookie begins the name of the cookie of the browser that began an exchange.
const browserCookie = "oidc-"

// maxExchanges is how many exchanges one browser can have open.
const maxExchanges = 4

// An authorization is one request of a browser, as far as it is known.
type authorization struct {
	w      http.ResponseWriter
	r      *http.Request
	at     party.Issuer
	row    party.Terms // of the client, once it is known
	q      params
	client party.Party
	asked  asked
	used   string // hash of a token that must not come again
	pushed *exchange
	again  bool // pushed was begun by this browser before
}

// authorize takes the request of a client from a browser. What cannot be answered to the
// client is said to the person; everything else goes back to where they came from.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request, at party.Issuer) {
	a := &authorization{w: w, r: r, at: at}
	if err := p.admit(w, r, "authorize", ofAddress); err != nil {
		p.refuse(a, err)
		return
	}
	var err error
	if r.Method == http.MethodPost {
		a.q, err = formParams(w, r)
	} else {
		a.q, err = parseParams(r.URL.RawQuery)
	}
	if err == nil {
		err = p.whoAsks(a)
	}
	if err != nil {
		p.refuse(a, err)
		return
	}
	if oauth := p.understand(a); oauth != nil {
		p.turnBack(a, oauth)
		return
	}
	if a.again {
		p.resume(a)
		return
	}
	b, err := p.start(a)
	switch {
	case errors.Is(err, store.ErrConflict), errors.Is(err, errGone):
		p.turnBack(a, invalid("access_denied", "this was used before"))
	case err != nil:
		p.refuse(a, err)
	case asksJSON(r):
		p.respond(a, b)
	default:
		w.Header().Set("Location", b.leads(a))
		w.WriteHeader(http.StatusSeeOther)
	}
}

// errAsk is a request that cannot be answered to whoever made it.
type errAsk string

// Error implements error.
func (e errAsk) Error() string { return "oidc: " + string(e) }

// refuse says to the person that it cannot go on. It never sends a browser on to an
// address that nobody vouches for.
func (p *Provider) refuse(a *authorization, err error) {
	status, title, text := http.StatusBadRequest, "signin.refused.title", "signin.refused.text"
	switch {
	case errors.Is(err, errBusy):
		status, text = http.StatusTooManyRequests, "signin.refused.busy"
	case errors.As(err, new(errAsk)), errors.Is(err, errForm), errors.Is(err, errDuplicate), errors.Is(err, errLong), errors.Is(err, errText), errors.Is(err, errGone):
		if errors.Is(err, errGone) {
			title, text = "signin.gone.title", "signin.gone.text"
		}
		p.cfg.Log.InfoContext(a.r.Context(), "a sign-in was refused", "contract", a.row.Contract, "client", a.client.ID, "reason", err.Error())
	default:
		status, text = http.StatusServiceUnavailable, "signin.refused.away"
		a.w.Header().Set("Retry-After", retryAfter)
		p.cfg.Log.WarnContext(a.r.Context(), "a sign-in failed", "contract", a.row.Contract, "client", a.client.ID, "error", err)
	}
	l := languageOf(a.r)
	if asksJSON(a.r) {
		respondWrong(a, status, l.Text(title)+": "+l.Text(text), "")
		return
	}
	p.say(a.w, a.r, status, l.Text(title), l.Text(text))
}

// whoAsks finds the client, and where it may be answered.
func (p *Provider) whoAsks(a *authorization) error {
	if a.at.Pushes && a.q["request_uri"] != "" {
		return p.takePushed(a)
	}
	c, err := p.clientByID(a.r.Context(), a.q["client_id"], a.at)
	if err != nil {
		return err
	}
	if a.client, a.row = c, c.Terms; c.Terms.Pushed || c.Settings.RequirePAR {
		return errAsk("request_uri is missing: requests of this client are pushed")
	}
	uri, err := a.q.redirect()
	if err != nil {
		return err
	}
	if !slices.Contains(c.RedirectURIs(), uri) {
		return errAsk("redirect_uri is not one of this client")
	}
	a.asked = asked{Redirect: uri, Echoed: a.q["state"], Nonce: a.q["nonce"], Mode: a.mode()}
	return nil
}

// answerModes are the values of response_mode; "" is query.
var answerModes = []string{"", "query", "fragment", "form_post"}

// mode is how the client is answered, also where what it asks is refused: it looks for
// an answer nowhere else.
func (a *authorization) mode() string {
	switch mode := a.q["response_mode"]; {
	case a.row.Post:
		return "form_post"
	case slices.Contains(answerModes, mode):
		return mode
	}
	return ""
}

// unasked returns what a request for somebody who is signed in already is answered: nobody
// is. "none" stands alone (OpenID Connect Core 3.1.2.1).
func unasked(prompt string) *oauthError {
	switch words := strings.Fields(prompt); {
	case !slices.Contains(words, "none"):
		return nil
	case len(words) > 1:
		return invalid("invalid_request", "prompt: none stands alone")
	}
	return invalid("login_required", "people prove who they are here each time")
}

// errNobody says that there is no such client at the issuer.
const errNobody = errAsk("client_id is not known here")

// clientByID finds a client of one of an issuer's contracts.
func (p *Provider) clientByID(ctx context.Context, id string, at party.Issuer) (party.Party, error) {
	c, err := p.partyByID(ctx, id)
	if errors.Is(err, store.ErrNotFound) && at.Serves(party.OpenID) {
		if err = party.AddBuiltIn(ctx, p.cfg.Store, id, p.cfg.Now()); err == nil {
			c, err = p.partyByID(ctx, id)
		}
	}
	if errors.Is(err, store.ErrNotFound) || err == nil && !at.Serves(c.Terms.Contract) {
		return party.Party{}, errNobody
	}
	return c, err
}

// understand reads what is asked. Its error goes back to the client.
func (p *Provider) understand(a *authorization) *oauthError {
	if a.pushed != nil {
		return nil // understood when it was pushed
	}
	switch a.row.Contract {
	case party.EntraEAM:
		return p.understandEntra(a)
	case party.OpenID:
		return p.understandOpenID(a.r, a.client, a.q, &a.asked, false)
	}
	if oauth := understandCode(a.row, a.q, &a.asked); oauth != nil {
		return oauth
	}
	return p.understandOkta(a)
}

// understandCode reads what every request for a code has.
func understandCode(row party.Terms, q params, to *asked) *oauthError {
	switch {
	case q["response_type"] != "code":
		return invalid("unsupported_response_type", "want code")
	case !slices.Contains(answerModes, q["response_mode"]):
		return invalid("invalid_request", "response_mode is query, fragment or form_post")
	case !hasScopes(q["scope"], row.Scopes):
		return invalid("invalid_scope", "want "+strings.Join(row.Scopes, " "))
	case q["request"] != "" || q["request_uri"] != "":
		return invalid("request_not_supported", "parameters stand by themselves")
	case q["state"] == "":
		return invalid("invalid_request", "state is missing")
	case row.Pushed && q["nonce"] == "":
		return invalid("invalid_request", "nonce is missing")
	}
	if oauth := unasked(q["prompt"]); oauth != nil {
		return oauth
	}
	to.Mode = q["response_mode"]
	challenge, method := q["code_challenge"], q["code_challenge_method"]
	switch {
	case challenge == "" && method == "" && !row.Pushed: // the contract has none
	case method != "S256" || len(challenge) != 43:
		return invalid("invalid_request", "code_challenge: want S256")
	}
	to.Challenge = challenge
	return nil
}

// understandEntra reads a request of Entra ID.
func (p *Provider) understandEntra(a *authorization) *oauthError {
	switch q := a.q; {
	case !strings.EqualFold(q["response_type"], "id_token"):
		return invalid("unsupported_response_type", "want id_token")
	case q["response_mode"] != "form_post":
		return invalid("invalid_request", "response_mode is form_post")
	case !hasScopes(q["scope"], a.row.Scopes):
		return invalid("invalid_scope", "want openid")
	case q["nonce"] == "" || q["state"] == "" || q["id_token_hint"] == "":
		return invalid("invalid_request", "nonce, state or id_token_hint is missing")
	}
	if oauth := understandClasses(a); oauth != nil {
		return oauth
	}
	h, err := p.checkHint(a.r.Context(), a.client, a.q["id_token_hint"])
	if err != nil {
		p.cfg.Log.WarnContext(a.r.Context(), "a hint was refused", "client", a.client.ID, "error", err)
		if errors.Is(err, errHint) {
			return invalid("access_denied", "id_token_hint")
		}
		return &oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", "the keys of the tenant"}
	}
	a.used, a.asked.Subject, a.asked.Hint = h.once, h.Subject, h.Tenant+"/"+h.Object
	return p.findAccount(a, h.Object, "User_"+h.Object)
}

// understandOkta reads a request of Okta about an account. Who is meant is only said, not
// signed: it has to be proven, and the answer is about nobody else.
func (p *Provider) understandOkta(a *authorization) *oauthError {
	name := strings.TrimSpace(a.q["login_hint"])
	if name == "" {
		return invalid("invalid_request", "login_hint is missing")
	}
	if oauth := understandClasses(a); oauth != nil {
		return oauth
	}
	a.asked.User, a.asked.Hint = name, name
	return p.findAccount(a, name)
}

// understandClasses reads which classes and references of authentication would do.
func understandClasses(a *authorization) *oauthError {
	c, err := parseClaims(a.q["claims"])
	if err != nil {
		return invalid("invalid_request", err.Error())
	}
	a.asked.ACR, a.asked.AMR = c.IDToken.ACR.all(), c.IDToken.AMR.all()
	if a.q["acr_values"] != "" && len(a.asked.ACR) == 0 && a.row.Code {
		a.asked.ACR = strings.Fields(a.q["acr_values"])
	}
	if _, met := metBy(a.asked.ACR); !met || len(methodsFor(a.asked.AMR)) == 0 {
		return invalid("access_denied", "what is asked for cannot be proven here")
	}
	return nil
}

// findAccount finds whom the client means. Whether there is somebody changes nothing that
// anybody sees: who is not there walks the same pages, and proves nothing (P9).
func (p *Provider) findAccount(a *authorization, names ...string) *oauthError {
	ctx := a.r.Context()
	id, err := store.Get(ctx, p.cfg.Store, func(tx *store.Tx) (string, error) { return accountOf(ctx, tx, a.client, names) })
	if err != nil {
		p.cfg.Log.WarnContext(ctx, "an account cannot be looked up", "client", a.client.ID, "error", err)
		return &oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", ""}
	}
	a.asked.Account = id
	return nil
}

// accountOf returns the immutable id of the one account that bears one of the names.
func accountOf(ctx context.Context, tx *store.Tx, c party.Party, names []string) (string, error) {
	if !c.ByIdentifier() {
		found, err := tx.AccountOf(ctx, c.Env, c.Directory, names[0])
		if errors.Is(err, store.ErrNotFound) {
			return "", nil
		}
		return found.ImmutableID, err
	}
	found := map[string]bool{}
	for _, name := range names {
		all, err := tx.FindAccounts(ctx, c.Env, name)
		if err != nil {
			return "", err
		}
		for _, a := range all {
			if a.Directory == c.Directory {
				found[a.ImmutableID] = true
			}
		}
	}
	if len(found) != 1 {
		return "", nil
	}
	for id := range found {
		return id, nil
	}
	return "", nil
}

// start writes the exchange, gives the browser its cookie, and returns what leads on: the
// recovery domain, and the ticket for it.
func (p *Provider) start(a *authorization) (b beginning, err error) {
	ctx := a.r.Context()
	b.browser = newBrowser(a.client.Env)
	life, _ := lives(a.client)
	err = p.cfg.Store.Early(ctx, func(tx *store.Tx) (err error) {
		if b.site, err = p.site(ctx, tx, a.client); err != nil {
			return err
		}
		if a.used != "" {
			if err := tx.UseOIDCToken(ctx, a.client.Env, a.used, p.cfg.Now().Add(hintFresh+2*hintSkew)); err != nil {
				return err
			}
		}
		var x exchange
		if a.pushed != nil {
			x = *a.pushed
			x.Browser, x.Pushed, x.ExpiresAt = store.HashToken(b.browser), x.Secret, p.cfg.Now().Add(life)
		} else {
			x, b.ticket, err = p.begin(ctx, tx, a.client, a.asked, stateAsked, store.HashToken(b.browser), life)
		}
		switch b.id = x.ID; {
		case err != nil:
		case a.client.Terms.Screen:
			b.ticket, err = p.present(a, tx, &x, b.browser)
		case a.pushed != nil:
			b.ticket, err = p.save(ctx, tx, &x, stateAsked, 0)
		}
		if err != nil {
			return err
		}
		return p.recordAsked(ctx, tx, a, x)
	})
	if err != nil {
		return b, err
	}
	return b, p.keepBrowser(a, b, life)
}

// keepBrowser gives the browser the cookie of an exchange, and takes those of the oldest
// where it has too many.
func (p *Provider) keepBrowser(a *authorization, b beginning, life time.Duration) error {
	host, ok := page.ParseOrigin(p.cfg.Origin())
	if !ok {
		return errors.New("oidc: public_url cannot be served")
	}
	old := host.CookiesWith(a.r, browserCookie)
	for i := range max(0, len(old)-maxExchanges+1) {
		host.DropCookie(a.w, old[i])
	}
	host.SetCookie(a.w, browserCookie+b.id, b.browser, life, http.SameSiteLaxMode)
	return nil
}
