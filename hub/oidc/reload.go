package oidc

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

// UsePath begins the address, on the recovery domain, of a proof of who somebody is. The
// browser that began the proof holds its session there.
const UsePath = "/request/"

// newBrowser makes the secret of the cookie of a browser. It begins with the environment,
// so that the exchange can be looked up by the cookie alone.
func newBrowser(env string) string { return env + "." + store.NewToken() }

// seen returns the exchange that this browser began with a request_uri before, as long as
// it has no answer. Whoever else knows the request_uri is told nothing.
func (p *Provider) seen(r *http.Request, tx *store.Tx, secret string) (exchange, party.Party, error) {
	host, _ := page.ParseOrigin(p.cfg.Origin())
	names := host.CookiesWith(r, browserCookie)
	for _, name := range names[max(0, len(names)-maxExchanges):] {
		x, c, err := p.begun(r.Context(), tx, strings.TrimPrefix(name, browserCookie), host.Cookie(r, name))
		if err == nil && same(x.Pushed, store.HashToken(secret)) {
			return x, c, nil
		}
		if err != nil && !errors.Is(err, errGone) {
			return x, c, err
		}
	}
	return exchange{}, party.Party{}, errGone
}

// begun returns the exchange of a cookie, if somebody can still go on with it.
func (p *Provider) begun(ctx context.Context, tx *store.Tx, id, browser string) (x exchange, c party.Party, err error) {
	env, _, _ := strings.Cut(browser, ".")
	row, err := tx.OIDCExchange(ctx, env, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return x, c, errGone
	case err != nil:
		return x, c, err
	case !same(row.Browser, store.HashToken(browser)), !slices.Contains(goesOn, row.State):
		return x, c, errGone
	}
	return p.read(ctx, tx, row, row.State)
}

// goesOn are the states in which an exchange has no answer yet, and its browser goes on.
var goesOn = []string{stateAsked, stateClaimed, stateAgreed, stateProving}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// resume sends a browser that loads its request again to where it was: with a ticket in
// place of the one before, or to the proof that it began. Nothing lasts longer for it.
func (p *Provider) resume(a *authorization) {
	to, ctx := "", a.r.Context()
	if a.client.Terms.Screen {
		a.w.Header().Set("Location", waitAddress(waitPath, a.pushed.ID, "", "", false))
		a.w.WriteHeader(http.StatusSeeOther)
		return
	}
	err := p.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		site, err := p.site(ctx, tx, a.client)
		if err != nil {
			return err
		}
		x := *a.pushed
		if x.State == stateProving && x.Use == "" {
			return errGone // the proof is just being begun
		}
		if to = site + UsePath + x.Use; x.State == stateProving {
			return nil
		}
		ticket, err := p.save(ctx, tx, &x, stateAsked, 0)
		to = site + SignInPath + "#" + ticket
		return err
	})
	if err != nil {
		p.refuse(a, err)
		return
	}
	a.w.Header().Set("Location", to)
	a.w.WriteHeader(http.StatusSeeOther)
}
