package oidc

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/postern-id/postern/hub/page"
)

// endSession ends what this browser began here (OpenID Connect RP-Initiated Logout 1.0).
// Nobody stays signed in: there is no session to end but that of an unfinished proof, so
// nothing is asked of the person, and what an id_token_hint says counts for nothing.
func (p *Provider) endSession(w http.ResponseWriter, r *http.Request, at issuerRow) {
	a := &authorization{w: w, r: r, at: at}
	err := p.admit(r, "authorize")
	if err == nil && r.Method == http.MethodPost {
		a.q, err = formParams(w, r)
	} else if err == nil {
		a.q, err = parseParams(r.URL.RawQuery)
	}
	to := ""
	if err == nil {
		to, err = p.afterwards(a)
	}
	if err != nil {
		p.refuse(a, err)
		return
	}
	host, _ := page.ParseOrigin(p.cfg.Origin())
	for _, name := range host.CookiesWith(r, browserCookie) {
		host.DropCookie(w, name)
	}
	if to == "" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// afterwards returns the address to go on to: one of the client's, exactly.
func (p *Provider) afterwards(a *authorization) (string, error) {
	to := a.q["post_logout_redirect_uri"]
	if to == "" {
		return "", nil
	}
	c, err := p.clientByID(a.r.Context(), a.q["client_id"], a.at)
	if err != nil {
		return "", err
	}
	if c.row.contract != OpenID || !slices.Contains(append(slices.Clone(c.settings.PostLogout), c.redirects()...), to) {
		return "", errAsk("post_logout_redirect_uri is not one of this client")
	}
	u, err := url.Parse(to)
	if err != nil {
		return "", errors.Join(errAsk("post_logout_redirect_uri"), err)
	}
	if a.q["state"] != "" {
		q := u.Query()
		q.Set("state", a.q["state"])
		u.RawQuery = q.Encode()
	}
	return u.String(), nil
}
