package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
)

// waitPath begins the addresses of the pages at which the browser that began waits.
const waitPath = "/authorize/"

// maxSession bounds the secret of a browser, in bytes.
const maxSession = 128

// serveWaiting serves the pages at which the browser waits that began, and what they are
// made of.
func (p *Provider) serveWaiting() {
	for _, begin := range []string{"/authorize/{request}", "/x/{experience}/authorize/{request}"} {
		p.mux.HandleFunc("GET "+begin, p.wait)
		p.mux.HandleFunc("GET "+begin+"/here", p.here)
		p.mux.HandleFunc("POST "+begin+"/confirm", p.decide(p.confirm))
		p.mux.HandleFunc("POST "+begin+"/refuse", p.decide(p.notMine))
		p.mux.HandleFunc("POST "+begin+"/cancel", p.decide(p.cancel))
	}
	p.mux.HandleFunc("GET "+pollPath+"{request}/poll", p.poll)
	p.mux.HandleFunc("POST "+pollPath+"{request}/cancel", p.stop)
	p.mux.Handle(p.document(filesPath), p.files)
	p.mux.HandleFunc(p.document(lookPath+"{accent}"), p.look)
}

// A waiter is the browser that began an exchange, at one of its pages.
type waiter struct {
	w       http.ResponseWriter
	r       *http.Request
	host    page.Host
	session string
	inQuery bool // the session came in the address: there is no cookie in a frame
	wrong   bool // the code that was typed
	review  bool // people look at what was handed in
	x       exchange
	c       party.Party
	site    string // recovery domain
	env     store.Environment
}

// waiter reads which exchange the address names, by the session of the browser that began
// it. errGone says that it began none of that name, or that it is over.
func (p *Provider) waiter(w http.ResponseWriter, r *http.Request) (*waiter, error) {
	host, ok := page.ParseOrigin(p.cfg.Origin())
	if !ok {
		return nil, errors.New("oidc: public_url cannot be served")
	}
	id := r.PathValue("request")
	a := &waiter{w: w, r: r, host: host, session: r.URL.Query().Get("session"), inQuery: r.URL.Query().Has("session")}
	if !a.inQuery && len(id) <= maxSession {
		a.session = host.Cookie(r, browserCookie+id)
	}
	err := errGone
	if len(a.session) <= maxSession && len(id) <= maxSession {
		err = p.cfg.Store.Read(r.Context(), func(tx *store.Tx) error { return p.readWaiter(r.Context(), tx, a, id) })
	}
	return a, p.admitWaiter(a, err)
}

func (p *Provider) readWaiter(ctx context.Context, tx *store.Tx, a *waiter, id string) error {
	env, _, _ := strings.Cut(a.session, ".")
	row, err := tx.OIDCExchange(ctx, env, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !same(row.Browser, store.HashToken(a.session)) {
		return errGone
	}
	if err != nil {
		return err
	}
	if a.x, a.c, err = p.read(ctx, tx, row, row.State); err != nil {
		return err
	}
	if !a.c.Terms.Screen {
		return errGone
	}
	if a.site, err = p.site(ctx, tx, a.c); err == nil {
		a.env, err = tx.Environment(ctx, env)
	}
	if err == nil && a.x.State == stateProving && a.x.Use != "" && p.cfg.People != nil {
		a.review, err = p.cfg.People.WaitsFor(ctx, tx, env, a.x.Use)
	}
	return err
}

// address returns one of the pages of a waiter, or what its script asks.
func (a *waiter) address(begin, end string) string {
	return waitAddress(begin, a.x.ID, end, a.session, a.inQuery)
}

func waitAddress(begin, id, end, session string, inQuery bool) string {
	to := begin + id + end
	if inQuery {
		to += "?" + url.Values{"session": {session}}.Encode()
	}
	return to
}

// wait shows the browser that began how it stands, and leads on once it is over. What is
// said depends on nothing but the state.
func (p *Provider) wait(w http.ResponseWriter, r *http.Request) {
	a, err := p.waiter(w, r)
	if err != nil {
		p.refuse(&authorization{w: w, r: r}, err)
		return
	}
	switch {
	case a.x.State == stateAnswered && a.x.shared():
		p.handOn(a)
	case a.x.State == stateProving && a.x.Phone == nil && a.x.Use != "":
		w.Header().Set("Location", a.site+UsePath+a.x.Use)
		w.WriteHeader(http.StatusSeeOther)
	case a.x.State == stateAsked, a.x.State == stateClaimed, a.x.State == stateAgreed, a.x.State == stateProving:
		p.showWaiting(a, http.StatusOK, "")
	default:
		p.refuse(&authorization{w: w, r: r, client: a.c}, errGone)
	}
}

// here leads a browser on that shows the page in a frame: there it kept no cookie of ours,
// and gets it now that it is here itself. Whoever is sent here by somebody else comes back
// with an answer that the client did not ask this browser for.
func (p *Provider) here(w http.ResponseWriter, r *http.Request) {
	a, err := p.waiter(w, r)
	if err != nil {
		p.refuse(&authorization{w: w, r: r}, err)
		return
	}
	if a.x.State != stateAsked {
		a.see()
		return
	}
	a.host.SetCookie(w, browserCookie+a.x.ID, a.session, a.x.ExpiresAt.Sub(p.cfg.Now()), http.SameSiteLaxMode)
	w.Header().Set("Location", a.site+SignInPath+"#"+ticketOf(a.session, a.x.ID, a.x.Turn))
	w.WriteHeader(http.StatusSeeOther)
}

// handOn takes the answer to the client, once.
func (p *Provider) handOn(a *waiter) {
	var fields []formField
	err := p.signing(a.r.Context(), func(pen *pen) error {
		return p.cfg.Store.Tx(a.r.Context(), func(tx *store.Tx) (err error) {
			x := a.x
			fields, err = p.conclude(a.r.Context(), tx, pen, a.c, &x)
			return err
		})
	})
	if err != nil {
		p.refuse(&authorization{w: a.w, r: a.r, client: a.c}, err)
		return
	}
	a.host.DropCookie(a.w, browserCookie+a.x.ID)
	p.reply(a.w, a.r, a.c, a.x.asked, fields)
}

// decide makes a handler of a form of the pages.
func (p *Provider) decide(step func(ctx context.Context, tx *store.Tx, a *waiter) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a, err := p.waiter(w, r)
		if err == nil {
			err = a.submitted()
		}
		if err == nil {
			err = p.cfg.Store.Tx(r.Context(), func(tx *store.Tx) error { return step(r.Context(), tx, a) })
		}
		switch {
		case err == nil && a.wrong:
			p.showWaiting(a, http.StatusUnprocessableEntity, "confirm.error")
		case a != nil && a.x.ID != "" && (errors.Is(err, errGone) || errors.Is(err, request.ErrStep)): // it went on meanwhile
			a.see()
		case err != nil:
			p.refuse(&authorization{w: w, r: r}, err)
		default:
			a.see()
		}
	}
}

// see leads to the page.
func (a *waiter) see() {
	a.w.Header().Set("Location", a.address(waitPath, ""))
	a.w.WriteHeader(http.StatusSeeOther)
}

// submitted lets a form through that one of our own pages sent. Whoever knows the session
// from the address needs no other proof: no other site does.
func (a *waiter) submitted() error {
	if !a.inQuery {
		return a.host.Check(a.w, a.r)
	}
	a.r.Body = http.MaxBytesReader(a.w, a.r.Body, maxSmall)
	if a.r.ParseForm() != nil {
		return errForm
	}
	return nil
}

// maxSmall bounds the forms of these pages: a code.
const maxSmall = 4 << 10

// confirm takes the code that the phone shows. That it was wrong is written too.
func (p *Provider) confirm(ctx context.Context, tx *store.Tx, a *waiter) error {
	x := a.x
	right, err := p.typed(ctx, tx, &x, a.session, a.r.PostForm.Get("code"))
	a.wrong = !right && x.State == stateClaimed // otherwise the page is another one
	return err
}

// notMine turns a phone away that is somebody else's.
func (p *Provider) notMine(ctx context.Context, tx *store.Tx, a *waiter) error {
	if a.x.State != stateClaimed {
		return errGone
	}
	x := a.x
	return p.turnAway(ctx, tx, &x, a.session)
}

// cancel ends it: the client is told, and what a phone still proves counts for nothing.
func (p *Provider) cancel(ctx context.Context, tx *store.Tx, a *waiter) error {
	switch a.x.State {
	case stateAsked, stateClaimed, stateAgreed, stateProving:
		x := a.x
		return p.decline(ctx, tx, &x)
	case stateAnswered:
		if a.x.Declined { // whose answer was lost asks again
			return nil
		}
	}
	return errGone
}
