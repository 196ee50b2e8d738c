package site

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/token"
)

// startScreen is the page that asks for the address.
type startScreen struct {
	Hints  []hiddenField
	Outage bool
}

// start serves the first page. A presigned token in its address is exchanged for a
// cookie at once; nothing on the server changes by reading it.
func (v *visit) start() {
	q := v.r.URL.Query()
	if q.Has("id_token") {
		v.exchange(q)
		return
	}
	hints, err := parseHints(q)
	if err != nil {
		v.fail(err)
		return
	}
	link, err := v.link()
	if err != nil {
		v.fail(err)
		return
	}
	if link == nil && v.look.RequireLink {
		v.closed()
		return
	}
	if link != nil && link.Flow == flowBadge {
		v.see(badgePath, nil)
		return
	}
	if link != nil {
		hints = flow.Intent{Flow: link.Flow, Email: shownEmail(*link)}
	}
	v.flow = hints.Flow
	if hints.Email == "" && len(hiddenFields(hints)) == 0 && len(v.switchQuery()) == 0 {
		v.first()
		return
	}
	v.askAddress(http.StatusOK, hints, hints.Email, nil)
}

// toStart leads those who load the address of the form by itself to the page.
func (v *visit) toStart() { v.see("/", nil) }

// askAddress shows the first page. typed is kept as it was.
func (v *visit) askAddress(status int, hints flow.Intent, typed string, wrong *fieldError) {
	v.show(status, "start", v.addressScreen(hints, typed, wrong))
}

func (v *visit) addressScreen(hints flow.Intent, typed string, wrong *fieldError) *screen {
	s := v.screen(flow.View{})
	s.Title, s.Step, s.Typed, s.Hints = s.T("start.title"), 1, typed, hiddenFields(hints)
	c := v.condition()
	s.Outage, s.Trial = c.Outage, c.Trial
	if wrong != nil {
		s.wrong(wrong.Field, s.T(wrong.Text))
	}
	return s
}

// A condition is what concerns everybody who comes to an environment.
type condition struct {
	Outage bool // no directory can be reached
	Trial  bool // all directories are evaluated: nothing is changed
}

// condition returns how the directories of the environment are. When that cannot be
// found out, the first page does not fail for it.
func (v *visit) condition() condition {
	c, err := v.site.state.of(v.r.Context(), v.req.Env)
	if err != nil {
		c.Outage = false // what was known last may be over
	}
	return c
}

func (s *Site) readCondition(ctx context.Context, env string) (condition, error) {
	offer, err := s.cfg.Recoveries.Offered(ctx, env)
	return condition{offer.Unavailable, offer.Trial}, err
}

// outageTime bounds the look at the directories before the first page.
const outageTime = 2 * time.Second

// begin takes the first page's form.
func (v *visit) begin() {
	hints, err := parseHints(v.r.PostForm)
	if err != nil {
		v.fail(err)
		return
	}
	v.flow = hints.Flow
	address := strings.TrimSpace(v.field("email"))
	if address == "" || len(address) > maxAddress {
		v.askAddress(http.StatusUnprocessableEntity, hints, address, &fieldError{"email", "start.error.empty"})
		return
	}
	hints.Email = ""
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	id, session, err := v.site.cfg.Recoveries.Start(ctx, flow.Start{
		Env: v.req.Env, Address: address, Language: v.language("").Code(), Intent: hints, Client: v.client(),
		Link: v.host.Cookie(v.r, linkCookie),
	})
	switch {
	case errors.Is(err, recovery.ErrAddress):
		v.askAddress(http.StatusUnprocessableEntity, hints, address, &fieldError{"email", "start.error.form"})
	case errors.Is(err, recovery.ErrNotAdmitted):
		v.notAdmitted(hints, address)
	case err != nil:
		v.fail(err)
	case hints.Flow == flow.FlowOptions:
		v.chooseOptions(ctx, id, session)
	default:
		v.open(id, session)
	}
}

// sessionLife is how long a browser keeps the cookie of a recovery: longer than a
// recovery lasts, so that one interrupted on a phone goes on, and short enough for a
// borrowed computer.
const sessionLife = time.Hour

// maxSessions is how many recoveries one browser can have open.
const maxSessions = 4

// open gives the browser the session of the recovery that it began.
func (v *visit) open(id, session string) {
	v.remember(id, session)
	v.see("/r/"+id, nil)
}

// remember gives the browser a session, and ends the oldest where there are too many.
func (v *visit) remember(id, session string) {
	old := v.host.CookiesWith(v.r, sessionCookie)
	for i := range max(0, len(old)-maxSessions+1) {
		v.host.DropCookie(v.w, old[i])
	}
	v.host.SetCookie(v.w, sessionCookie+id, session, sessionLife, http.SameSiteStrictMode)
}

// Bounds of what is kept of headers, in bytes.
const (
	maxUserAgent = 512
	maxLanguages = 256
)

func (v *visit) client() recovery.Client {
	agent, languages := v.r.UserAgent(), v.r.Header.Get("Accept-Language")
	if len(languages) > maxLanguages { // half a list says something else
		languages = ""
	}
	return recovery.Client{Address: v.req.Client, UserAgent: agent[:min(len(agent), maxUserAgent)], Origin: v.host.Origin, Languages: languages}
}

// exchange swaps a presigned token for a cookie and a clean address. The token stays
// what it is, a wish to be admitted: only a form that is sent uses it up.
func (v *visit) exchange(q url.Values) {
	if err := once(q); err != nil {
		v.fail(err)
		return
	}
	link, err := v.verify(q.Get("id_token"))
	switch {
	case errors.Is(err, token.ErrInvalid):
		v.badLink()
	case err != nil:
		v.fail(err)
	case !v.host.SetCookie(v.w, linkCookie, q.Get("id_token"), time.Until(link.Expires), http.SameSiteLaxMode):
		v.badLink()
	default:
		v.see("/", nil)
	}
}

func (v *visit) verify(text string) (token.Link, error) {
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	return v.site.cfg.Links.Verify(ctx, v.req.Env, text)
}

// link returns the presigned link that this browser came with, nil if there is none or
// it admits no more.
func (v *visit) link() (*token.Link, error) {
	text := v.host.Cookie(v.r, linkCookie)
	if text == "" {
		return nil, nil
	}
	link, err := v.verify(text)
	if errors.Is(err, token.ErrInvalid) {
		v.host.DropCookie(v.w, linkCookie)
		return nil, nil
	}
	return &link, err
}

func shownEmail(l token.Link) string {
	if l.Email == token.AnyEmail {
		return ""
	}
	return l.Email
}

// notAdmitted answers a start that the link, or the lack of one, does not admit.
func (v *visit) notAdmitted(hints flow.Intent, address string) {
	link, err := v.link()
	switch {
	case err != nil:
		v.fail(err)
	case link == nil && v.look.RequireLink:
		v.closed()
	case link != nil && !link.Admits(address):
		v.askAddress(http.StatusUnprocessableEntity, hints, address, &fieldError{"email", "start.error.link"})
	default:
		v.host.DropCookie(v.w, linkCookie) // used up
		v.badLink()
	}
}

// closed says that this site needs a link.
func (v *visit) closed() {
	v.message(http.StatusForbidden, "link.title", []string{"link.text", "link.next"}, nil)
}

// badLink says that a link admits no more.
func (v *visit) badLink() {
	v.message(http.StatusForbidden, "link.invalid.title", []string{"link.invalid.text", "link.next"}, func(s *screen) {
		s.Restart = !v.look.RequireLink
	})
}
