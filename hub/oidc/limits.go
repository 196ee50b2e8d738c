package oidc

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/policy"
)

// Buckets limits how often a browser or a client may ask.
type Buckets interface {
	// Take takes one from a bucket that holds burst, and one more after each every. after
	// says when the bucket is full again, or, when it may not, when one will be there.
	Take(ctx context.Context, key string, burst int, every time.Duration) (allowed bool, after time.Duration, err error)
}

// A rate is how often somebody may ask.
type rate struct {
	atOnce int
	every  time.Duration // one more
}

// How often they may.
var (
	ofStranger = rate{60, time.Second}             // who should know a secret and does not, by address
	ofAddress  = rate{300, 250 * time.Millisecond} // the browsers of a company behind one address translator: each leaves a row and a record
	ofClient   = rate{1200, 50 * time.Millisecond} // a client's server, which asks for everybody who signs in there
	ofBrowser  = rate{60, time.Second}             // one that waits for what it began, and asks every 1.5 seconds
)

// retryAfter is when to ask again while something that is needed is away, in seconds.
const retryAfter = "60"

// retrySoon is the same where what is held out would be too old by then: a code is good for
// a minute.
const retrySoon = "10"

// errBusy says that somebody asks too often.
var errBusy = errors.New("oidc: too many requests")

// admit counts a request by its address.
func (p *Provider) admit(w http.ResponseWriter, r *http.Request, what string, of rate) error {
	return p.count(w, r, what+":"+policy.Client(r.RemoteAddr), of)
}

// admitClient counts what a client proved to be its own as that client's, and all else by
// the address: nobody shuts a client out by sharing its address or knowing its name.
func (p *Provider) admitClient(w http.ResponseWriter, r *http.Request, c party.Party, proven bool) error {
	if !proven || c.Settings.Auth == party.AuthNone {
		return p.admit(w, r, "client", ofStranger)
	}
	return p.count(w, r, "of client:"+c.Env+":"+c.ID, ofClient)
}

// admitWaiter counts a browser that waits by what it began, as everybody in a company may
// do at the same time from one address, and by the address whoever began nothing: err.
func (p *Provider) admitWaiter(a *waiter, err error) error {
	if err == nil {
		return p.count(a.w, a.r, "waits:"+a.x.ID, ofBrowser)
	}
	return cmp.Or(p.admit(a.w, a.r, "wait", ofStranger), err)
}

// count takes one from a bucket, and says in the headers of the answer what is left, as
// the REST API does.
func (p *Provider) count(w http.ResponseWriter, r *http.Request, bucket string, of rate) error {
	ok, after, err := p.cfg.Buckets.Take(r.Context(), "oidc:"+bucket, of.atOnce, of.every)
	if err != nil {
		return err
	}
	left, full := max(of.atOnce-int((after+of.every-1)/of.every), 0), after
	if !ok {
		left, full = 0, time.Duration(of.atOnce)*of.every
		w.Header().Set("Retry-After", strconv.Itoa(int(after/time.Second)+1))
		err = errBusy
	}
	h := w.Header()
	h.Set("X-RateLimit-Limit", strconv.Itoa(of.atOnce))
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
