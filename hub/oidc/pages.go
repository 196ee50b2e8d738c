package oidc

import (
	"net/http"
	"slices"

	"github.com/postern-id/postern/hub/party"
)

// Some clients are pages that have no server: what servers ask here they ask by script, and
// browsers let a page read an answer from elsewhere only where that says so (Fetch, 3.3).
// No answer lets a browser send what it keeps, so no page can do more than a program could.

// toEverybody lets every page read a document that says the same to everybody.
func toEverybody(h http.Header) { h.Set("Access-Control-Allow-Origin", "*") }

// toItsPages lets the page that asks read the answer to a client without a secret or key, if
// it stands where that client may be answered.
func toItsPages(w http.ResponseWriter, r *http.Request, c party.Party) {
	if c.Settings.Auth != party.AuthNone {
		return
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if from := r.Header.Get("Origin"); slices.Contains(party.OriginsOf(c.RedirectURIs()), from) {
		h.Set("Access-Control-Allow-Origin", from)
		h.Set("Access-Control-Expose-Headers", "Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset")
	}
}

// preflight answers what browsers ask before they send a header that a page has set. Which
// client asks is not known yet: it says what may be sent, and nothing of what may be read.
func (p *Provider) preflight(w http.ResponseWriter, _ *http.Request, _ party.Issuer) {
	h := w.Header()
	toEverybody(h)
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	h.Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
}
