package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

// People reach what they share themselves, from a page of an application: as subject me,
// with the id_token that the application got about them in place of a key. The page's
// origin must be one of the application's.

// me is the subject that stands for whoever the token is about.
const me = "me"

// Methods of the rows that are also for the person, and how long a browser may remember
// that it may ask.
const (
	personMethods = "GET, DELETE"
	preflightLife = "600" // seconds
)

var errTwice = badRequest{"token: give either an API key, or the subject me with a token and without a key"}

// byPerson reports whether a request says that it is the person's own.
func (c *call) byPerson() bool {
	return c.row.person && (c.r.PathValue("subject") == me || c.query.Has("token"))
}

// admitPerson is admit for a person: counted by address and by subject.
func (c *call) admitPerson(ctx context.Context) error {
	h := c.w.Header()
	h.Add("Vary", "Origin")
	if err := c.limit(ctx, c.network(), browsers); err != nil {
		return err
	}
	err := c.checkPerson()
	if err == nil {
		err = c.api.Store.Read(ctx, func(tx *store.Tx) error { return c.showToken(ctx, tx) })
	}
	if errors.Is(err, party.ErrToken) || errors.Is(err, errOrigin) {
		return cmp.Or(c.stranger(ctx), err)
	}
	if err != nil {
		return err
	}
	h.Set("Access-Control-Allow-Origin", c.r.Header.Get("Origin"))
	h.Set("Access-Control-Expose-Headers", "Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset")
	return c.limit(ctx, c.holder.Subject, persons)
}

// checkPerson refuses what could be read in more than one way.
func (c *call) checkPerson() error {
	switch {
	case len(c.r.Header.Values("Authorization")) > 0, c.r.PathValue("subject") != me:
		return errTwice
	case !c.query.Has("token"):
		return errUnauthorized // also what somebody gets who forgot their key
	case len(c.r.Header.Values("Origin")) != 1:
		return bad("Origin: want the header of this name, once: the page that asks")
	}
	return c.checkQuery()
}

// showToken finds who the token is about.
func (c *call) showToken(ctx context.Context, tx *store.Tx) (err error) {
	if c.holder, err = party.HolderOf(ctx, tx, c.api.Console(), c.text("token")); err != nil {
		return err
	}
	if !c.holder.At(c.r.Header.Get("Origin")) {
		return errOrigin
	}
	return nil
}

// findHolder is findSubject for the person themselves.
func (c *call) findHolder(ctx context.Context, tx *store.Tx) (err error) {
	if c.env, err = tx.Environment(ctx, c.holder.Env); err != nil {
		return err
	}
	found, err := tx.Person(ctx, c.holder.Env, c.holder.Person)
	c.person = found.ID
	return err
}

// preflightRow is what browsers ask before they send a DELETE (Fetch, CORS-preflight). It
// is none of the rows: it does nothing.
func preflightRow() row {
	return row{pattern: "OPTIONS /people/" + me + "/properties/{scopes}", status: http.StatusNoContent}.andPerson()
}

// preflight tells a browser that a page may ask, if it may.
func (a *API) preflight(w http.ResponseWriter, r *http.Request) {
	c := newCall(a, preflightRow(), w, r)
	if !c.row.fits(r) {
		a.turnAway(w, r, http.StatusNotFound, "not found")
		return
	}
	r.SetPathValue("subject", me)
	if !slices.Contains([]string{http.MethodGet, http.MethodDelete}, r.Header.Get("Access-Control-Request-Method")) {
		a.otherMethod(w, r, []string{http.MethodGet, http.MethodDelete})
		return
	}
	if err := c.admitPerson(r.Context()); err != nil {
		c.fail(err)
		return
	}
	w.Header().Set("Access-Control-Allow-Methods", personMethods)
	w.Header().Set("Access-Control-Max-Age", preflightLife)
	c.answer(nil)
}
