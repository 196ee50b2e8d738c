package site

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/locale"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/recovery"
)

type visitKey struct{}

// A visit is one request with what the edge and the store say about where it came in.
type visit struct {
	site *Site
	w    http.ResponseWriter
	r    *http.Request
	req  Request
	host page.Host
	look *look
	lang string // asked for in the address, "" if not
	flow string // recover or enroll; changes words only
}

// visit prepares a request. A request that the edge did not place gets the barest
// answer: there is no environment whose page could be shown.
func (s *Site) visit(w http.ResponseWriter, r *http.Request) (*visit, bool) {
	req, _ := r.Context().Value(requestKey{}).(Request)
	host, ok := page.ParseOrigin(req.Origin)
	if !ok || req.Env == "" {
		http.Error(w, "this name is not served here", http.StatusMisdirectedRequest)
		return nil, false
	}
	v := &visit{site: s, w: w, r: r, req: req, host: host}
	if l := r.URL.Query()["lang"]; len(l) == 1 && locale.Known(l[0]) {
		v.lang = l[0]
	}
	if isStatic(r.URL.Path) {
		v.look = s.nameless(host.Name())
		return v, true // files are the same everywhere and outlive the store
	}
	var err error
	if v.look, err = s.looks.of(r.Context(), req.Env); v.look == nil {
		v.look = s.nameless(host.Name())
	}
	if err != nil {
		v.fail(err)
		return nil, false
	}
	return v, true
}

func isStatic(p string) bool { return strings.HasPrefix(p, "/static/") }

// language chooses what the reader reads: what the address asks for, what the recovery
// was begun in, what the browser prefers.
func (v *visit) language(recovery string) *locale.Language {
	return v.look.speech.For(v.lang, recovery, v.r.Header.Get("Accept-Language"))
}

// address returns a path of this site that keeps the chosen language.
func (v *visit) address(p string, q url.Values) string {
	if v.lang != "" {
		if q == nil {
			q = url.Values{}
		}
		q.Set("lang", v.lang)
	}
	if len(q) == 0 {
		return p
	}
	return p + "?" + q.Encode()
}

// see sends the browser to another of our pages, with GET.
func (v *visit) see(p string, q url.Values) {
	v.w.Header().Set("Location", v.address(p, q))
	v.w.WriteHeader(http.StatusSeeOther)
}

// submitted lets a form through that one of our own pages sent.
func (v *visit) submitted(rt route) {
	if rt.pattern == capturePath || rt.pattern == requestCapturePath || rt.pattern == badgeUsePath { // checks its form itself, once it knows who sends files
		rt.post(v)
		return
	}
	check := v.host.Check
	if slices.Contains(largeForms, rt.pattern) {
		check = func(w http.ResponseWriter, r *http.Request) error { return v.host.CheckLarge(w, r, maxAnswerForm) }
	}
	if err := check(v.w, v.r); err != nil {
		v.fail(err)
		return
	}
	rt.post(v)
}

// maxAnswerForm bounds a form that carries an answer: percent-encoding makes it at most
// three times as large.
const maxAnswerForm = 3*maxAnswer + 4096

// field returns the only value of a form's field; several values of one name are as
// good as none.
func (v *visit) field(name string) string {
	if values := v.r.PostForm[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// recoveryID is the form of ids in addresses: 16 bytes in base64url.
var recoveryID = regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`)

// id returns the recovery that the address names, "" for one that cannot be.
func (v *visit) id() string {
	if id := v.r.PathValue("id"); recoveryID.MatchString(id) {
		return id
	}
	return ""
}

// Cookies of the site. Each recovery has its own, so that two of them, in two windows,
// do not end each other.
const (
	sessionCookie = "recovery."
	linkCookie    = "link"
)

func (v *visit) session(id string) string { return v.host.Cookie(v.r, sessionCookie+id) }

// view reads the recovery that the address names, for this browser.
func (v *visit) view() (flow.View, error) {
	id := v.id()
	if id == "" {
		return flow.View{}, recovery.ErrNotFound
	}
	session := v.session(id)
	if session == "" {
		return flow.View{}, recovery.ErrNotFound
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	view, err := v.site.cfg.Recoveries.View(ctx, v.req.Env, id, session)
	view.ID = id
	v.flow = view.Flow
	return view, err
}
