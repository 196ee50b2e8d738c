package site

import (
	"crypto/rand"
	"errors"
	"net/http"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
)

// Errors of the site's own.
var (
	errNoPage = errors.New("site: no such page")
	errMethod = errors.New("site: method not allowed")
)

// messageScreen is a page that only says something.
type messageScreen struct {
	Reload   string // address to load again
	Incident string // number to quote
}

// A failure is what a person sees of an error.
type failure struct {
	status int
	words  string // key of title and text
	reload bool   // loading again may help
	log    bool   // somebody should know
}

// failures maps errors to answers. Everything else is our own fault.
var failures = []struct {
	is error
	failure
}{
	{recovery.ErrNotFound, failure{http.StatusNotFound, "error.session", false, false}},
	{recovery.ErrNotAdmitted, failure{http.StatusForbidden, "link.invalid", false, false}},
	{recovery.ErrRateLimited, failure{http.StatusTooManyRequests, "error.rate", false, false}},
	{recovery.ErrTooMany, failure{http.StatusTooManyRequests, "error.rate", false, false}},
	{recovery.ErrUnavailable, failure{http.StatusServiceUnavailable, "error.unavailable", true, true}},
	{store.ErrUnavailable, failure{http.StatusServiceUnavailable, "error.unavailable", true, true}},
	{store.ErrElsewhere, failure{http.StatusServiceUnavailable, "error.unavailable", true, true}},
	{store.ErrNotFound, failure{http.StatusNotFound, "error.notfound", false, true}}, // an environment that was deleted
	{request.ErrGone, failure{http.StatusNotFound, "request.gone", false, false}},
	{request.ErrNotFound, failure{http.StatusNotFound, "request.gone", false, false}},
	{request.ErrTooMany, failure{http.StatusTooManyRequests, "error.rate", false, false}},
	{request.ErrMethods, failure{http.StatusConflict, "request.methods", false, false}},
	{errSignIn, failure{http.StatusNotFound, "signin.gone", false, false}},
	{errQuery, failure{http.StatusBadRequest, "error.query", false, false}},
	{errNoPage, failure{http.StatusNotFound, "error.notfound", false, false}},
	{errMethod, failure{http.StatusMethodNotAllowed, "error.method", false, false}},
	{page.ErrForm, failure{http.StatusForbidden, "error.form", false, false}},
	{page.ErrForeign, failure{http.StatusForbidden, "error.form.foreign", false, false}},
	{page.ErrBody, failure{http.StatusRequestEntityTooLarge, "error.form", false, false}},
}

func failureOf(err error) failure {
	for _, row := range failures {
		if errors.Is(err, row.is) {
			return row.failure
		}
	}
	return failure{http.StatusInternalServerError, "error", true, true}
}

// fail is the only place where an error becomes something that a person sees. What is
// our fault gets a number that stands in the log too.
func (v *visit) fail(err error) {
	f := failureOf(err)
	var incident string
	if f.log {
		incident = rand.Text()[:incidentLen]
		v.site.cfg.Log.Error("a page could not be served", "incident", incident, "env", v.req.Env, "path", v.r.URL.Path, "error", err)
	}
	if f.status == http.StatusServiceUnavailable || f.status == http.StatusTooManyRequests {
		v.w.Header().Set("Retry-After", retryAfter)
	}
	title, text := f.words+".title", f.words+".text"
	if f.words == "error.form.foreign" {
		title, text = "error.form.title", f.words
	}
	v.message(f.status, title, []string{text}, func(s *screen) {
		s.Incident, s.Restart = incident, !f.reload
		if f.reload {
			s.Reload = v.address(v.switchPath(), v.switchQuery())
		}
	})
}

// incidentLen is enough to find one line in a log, and short enough to read aloud.
const incidentLen = 8

// retryAfter is when a program should ask again, in seconds.
const retryAfter = "60"

// message shows a page that only says something.
func (v *visit) message(status int, title string, texts []string, more func(*screen)) {
	s := v.screen(flow.View{})
	s.Title, s.Texts = s.T(title), s.all(texts...)
	if more != nil {
		more(s)
	}
	v.show(status, "message", s)
}

func (v *visit) missing() { v.fail(errNoPage) }
