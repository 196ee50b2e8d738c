package site

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/protocol"
)

// SignIns lead people whom another identity provider sent to the proof that it asked for,
// and back.
type SignIns interface {
	// Open begins what a ticket leads to. recovery.ErrNotAdmitted says that it leads nowhere.
	Open(ctx context.Context, env, ticket, lang string, by recovery.Client) (SignIn, error)
	// Finish ends a recovery's proof, and returns the address to go back to; give says
	// that the person wants to go back with what was proven.
	Finish(ctx context.Context, env, recovery, session string, give bool) (to string, err error)
	// FinishPerson does the same for the use of a request.
	FinishPerson(ctx context.Context, env, use, session string, give bool) (to string, err error)
}

// A SignIn is what a ticket led to.
type SignIn struct {
	Phone             string // what a phone waits by that has read the ticket off a screen; "": it was no phone
	Recovery, Session string // the proof of an account; "": there is none
	Use               string // the proof of who somebody is, with its Session; "": there is none
	To                string // otherwise: the address to go back to
}

// signInPath is where other identity providers send people, with a ticket in the fragment.
const signInPath = "/sign-in"

// signInCookie begins the name of a cookie that says of a recovery, or of the use of a
// request, that another identity provider waits for it. It opens nothing.
const signInCookie = "sign-in."

// signInScreen is the page that leads back.
type signInScreen struct{ GoOn string }

// keepOpener lets the window that another identity provider opened keep hold of its
// opener: sign-ins in a window of their own end otherwise.
func (v *visit) keepOpener() {
	p := v.r.URL.Path
	rest, ok := strings.CutPrefix(p, "/r/")
	if !ok {
		rest, ok = strings.CutPrefix(p, request.LinkPath+"/")
	}
	id, _, _ := strings.Cut(rest, "/")
	if p == signInPath || ok && v.host.Cookie(v.r, signInCookie+id) != "" {
		v.w.Header().Set("Cross-Origin-Opener-Policy", "unsafe-none")
	}
}

// signInLink shows the page that takes the ticket out of its own address.
func (v *visit) signInLink() {
	v.flow = flow.FlowSignIn
	v.fragment("signin.link")
}

// openSignIn begins the proof that the ticket leads to.
func (v *visit) openSignIn() {
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	in, err := v.site.cfg.SignIns.Open(ctx, v.req.Env, bounded(v.field("token"), maxToken), v.language("").Code(), v.client())
	switch {
	case errors.Is(err, recovery.ErrNotAdmitted):
		v.fail(errSignIn)
	case err != nil:
		v.fail(err)
	default:
		v.opened(in)
	}
}

// opened leads to what a ticket led to.
func (v *visit) opened(in SignIn) {
	switch {
	case in.Phone != "":
		v.host.SetCookie(v.w, signInPhone, in.Phone, sessionLife, http.SameSiteStrictMode)
		v.see(signInPhonePath, nil)
	case in.Recovery != "":
		v.mark(in.Recovery)
		v.open(in.Recovery, in.Session)
	case in.Use != "":
		v.mark(in.Use)
		v.rememberUse(in.Use, in.Session)
		v.see(request.LinkPath+"/"+in.Use, nil)
	default:
		v.goBack(in.To)
	}
}

// mark remembers that another identity provider waits for something.
func (v *visit) mark(id string) {
	for _, old := range v.host.CookiesWith(v.r, signInCookie) {
		v.host.DropCookie(v.w, old)
	}
	v.host.SetCookie(v.w, signInCookie+id, "1", sessionLife, http.SameSiteStrictMode)
}

// errSignIn says that a sign-in must be begun anew, there where it was.
var errSignIn = errors.New("site: the ticket of a sign-in leads nowhere")

// showSignedIn shows, after all of it was proven, the button that leads back.
func (v *visit) showSignedIn(status int, s *screen) {
	s.Title, s.Step = s.T("signin.ready.title"), steps
	v.show(status, "signin", s)
}

// finishSignIn leads back with what was proven, stopSignIn without.
func (v *visit) finishSignIn() { v.endSignIn(true) }
func (v *visit) stopSignIn()   { v.endSignIn(false) }

func (v *visit) endSignIn(give bool) {
	id, session, ok := v.own()
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	to, err := v.site.cfg.SignIns.Finish(ctx, v.req.Env, id, session, give)
	switch {
	case errors.Is(err, recovery.ErrStep): // pressed twice
		v.toRecovery()
	case err != nil:
		v.fail(err)
	default:
		v.goBack(to)
	}
}

// returnRequest and stopRequest end the use of a request that another identity provider
// waits for.
func (v *visit) returnRequest() { v.endRequest(true) }
func (v *visit) stopRequest()   { v.endRequest(false) }

func (v *visit) endRequest(give bool) {
	id, session := v.use()
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	to, err := v.site.cfg.SignIns.FinishPerson(ctx, v.req.Env, id, session, give)
	switch {
	case errors.Is(err, request.ErrStep): // pressed twice
		v.toRequest()
	case err != nil:
		v.fail(err)
	default:
		v.goBack(to)
	}
}

// goBack shows the page that leads back to whoever asked. It is a page with a link, and
// no redirect, because browsers hold forms to our own addresses wherever they lead.
func (v *visit) goBack(to string) {
	if to == "" { // the browser that began goes on by itself
		v.message(http.StatusOK, "signin.phone.done.title", []string{"signin.phone.done.text"}, nil)
		return
	}
	s := v.screen(flow.View{})
	s.Title, s.GoOn, s.Script = s.T("signin.back.title"), to, v.site.files.Path("return.js")
	v.show(http.StatusOK, "signedin", s)
}

// CancelPath returns the address of the form that ends a recovery: where another identity
// provider waits, it is told.
func (s *screen) CancelPath() string {
	if s.View.Action == protocol.ActionSignIn {
		return s.Path("sign-in/stop")
	}
	return s.Path("cancel")
}

// ExchangeText returns a text of a request's page: another one where another identity
// provider waits.
func (s *screen) ExchangeText(key string) string {
	switch {
	case s.Sought.Keeps:
		key += ".openid"
	case s.Sought.Exchange:
		key += ".exchange"
	}
	return s.T(key)
}

// LifeText says how long what is shared may be read.
func (s *screen) LifeText() string {
	switch {
	case s.Sought.Exchange && !s.Sought.Keeps:
		return s.T("request.life.exchange")
	case s.Sought.ShareLife > 0:
		return s.T("request.life", "for", s.Sought.ShareLife)
	}
	return s.T("request.life.none")
}

// SharePath and RejectPath are the addresses of the forms that end a request.
func (s *screen) SharePath() string { return s.RequestPath(s.either("/share", "/return")) }

// RejectPath is the other one.
func (s *screen) RejectPath() string { return s.RequestPath(s.either("/reject", "/return/stop")) }

func (s *screen) either(ours, theirs string) string {
	if s.Sought.Exchange {
		return theirs
	}
	return ours
}
