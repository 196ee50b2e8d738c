package oidc

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/postern-id/postern/hub/policy"
)

// Buckets limits how often a browser or a client may ask.
type Buckets interface {
	// Take takes one from a bucket that holds burst, and one more after each every. after
	// says when the bucket is full again, or, when it may not, when one will be there.
	Take(ctx context.Context, key string, burst int, every time.Duration) (allowed bool, after time.Duration, err error)
}

// Limits of one address: a company behind one address translator.
const (
	atOnce = 60
	every  = time.Second
)

// retryAfter is when to ask again while something that is needed is away, in seconds.
const retryAfter = "60"

// errBusy says that an address asks too often.
var errBusy = errors.New("oidc: too many requests")

// admit takes one from the bucket of the browser's or client's address, and says in the
// headers of the answer what is left, as the REST API does.
func (p *Provider) admit(w http.ResponseWriter, r *http.Request, what string) error {
	ok, after, err := p.cfg.Buckets.Take(r.Context(), "oidc:"+what+":"+policy.Client(r.RemoteAddr), atOnce, every)
	if err != nil {
		return err
	}
	left, full := max(atOnce-int((after+every-1)/every), 0), after
	if !ok {
		left, full = 0, atOnce*every
		w.Header().Set("Retry-After", strconv.Itoa(int(after/time.Second)+1))
		err = errBusy
	}
	h := w.Header()
	h.Set("X-RateLimit-Limit", strconv.Itoa(atOnce))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(left))
	h.Set("X-RateLimit-Reset", time.Now().Add(full).UTC().Format(time.RFC3339))
	return err
}

// tooMany is the answer to a client's server whose request was not admitted.
func (p *Provider) tooMany(r *http.Request, err error) *oauthError {
	if errors.Is(err, errBusy) {
		return &oauthError{http.StatusTooManyRequests, "temporarily_unavailable", ""}
	}
	return p.trouble(r, "requests cannot be counted", err)
}
