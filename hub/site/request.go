package site

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/protocol"
)

// Requests opens the links by which an organisation asks people for something proven.
type Requests interface {
	Open(ctx context.Context, env, ticket, lang string, by request.Client) (id, session string, err error)
	View(ctx context.Context, env, id, session string) (request.View, error)
	Agree(ctx context.Context, env, id, session string, by request.Client) error
	Choose(ctx context.Context, env, id, session, method string) error
	Answer(ctx context.Context, env, id, session, answer string) error
}

// Consents takes what people decide about what they proved.
type Consents interface {
	Share(ctx context.Context, env, id, session string, by request.Client) error
	Reject(ctx context.Context, env, id, session string, by request.Client) error
	TakeBack(ctx context.Context, env, id, session string, by request.Client) error
}

// Returns finds what somebody began who comes by their link again.
type Returns interface {
	Resume(ctx context.Context, env, ticket string, sessions map[string]string) (id string, ok bool)
}

// requestCookie begins the name of the cookie of somebody who opened a link.
const requestCookie = "request-"

// requestScreen is the pages of a request.
type requestScreen struct {
	Sought request.View
	Facts  []fact
	Asking json.RawMessage

	Captures bool // the page takes pictures
}

// A fact is one thing that is asked for, with what would be shared of it.
type fact struct{ Name, Value string }

// requestLink shows the page that takes the ticket out of its own address. Programs that
// look behind links open nothing by it.
func (v *visit) requestLink() { v.fragment("request.link") }

// openRequest begins.
func (v *visit) openRequest() {
	ticket := bounded(v.field("token"), maxToken)
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	if id, ok := v.site.cfg.Returns.Resume(ctx, v.req.Env, ticket, v.uses()); ok {
		v.see(requestPath(id), nil)
		return
	}
	id, session, err := v.site.cfg.Requests.Open(ctx, v.req.Env, ticket, v.language("").Code(), v.asker())
	if err != nil {
		v.fail(err)
		return
	}
	v.rememberUse(id, session)
	v.see(requestPath(id), nil)
}

// rememberUse gives the browser the session of a use.
func (v *visit) rememberUse(id, session string) {
	old := v.host.CookiesWith(v.r, requestCookie)
	for _, name := range old[:min(max(0, len(old)-maxSessions+1), maxSessions)] { // the rest another time
		v.host.DropCookie(v.w, name)
	}
	v.host.SetCookie(v.w, requestCookie+id, session, sessionLife, http.SameSiteStrictMode)
}

// uses returns this browser's sessions: the newest, as many as it is given, for each is
// looked up.
func (v *visit) uses() map[string]string {
	all := map[string]string{}
	names := v.host.CookiesWith(v.r, requestCookie)
	for _, name := range names[max(0, len(names)-maxSessions):] {
		all[strings.TrimPrefix(name, requestCookie)] = v.host.Cookie(v.r, name)
	}
	return all
}

func (v *visit) asker() request.Client {
	c := v.client()
	return request.Client{Address: c.Address, UserAgent: c.UserAgent}
}

// use returns the use of the address with this browser's session for it.
func (v *visit) use() (id, session string) {
	id = bounded(v.r.PathValue("use"), maxToken)
	return id, v.host.Cookie(v.r, requestCookie+id)
}

func (v *visit) toRequest() { v.see(requestPath(v.r.PathValue("use")), nil) }

// theRequest shows the page of whatever step the person is at.
func (v *visit) theRequest() { v.showRequest(http.StatusOK, "") }

func (v *visit) showRequest(status int, wrong string) {
	if view, ok := v.sought(); ok {
		v.showUse(status, view, func(s *screen) {
			if wrong != "" {
				s.wrong(map[bool]string{true: "method", false: "ask"}[view.Step == request.StepMethod], s.T(wrong))
			}
		})
	}
}

// showUse shows the page of a view; more says what was wrong, if anything was.
func (v *visit) showUse(status int, view request.View, more func(*screen)) {
	s := v.screen(flow.View{Language: view.Language})
	s.Variant, s.Logo, s.Sought = "request", v.look.logo(logoOfLinks), view
	s.Title, s.Ways, s.Facts = s.titleOf(view), s.waysOf(view), s.factsOf(view)
	switch view.Step {
	case request.StepProve:
		v.asksFor(s, view)
	case request.StepWait, request.StepDeclined:
		s.View.Ask = flow.Ask{Method: view.Method, Form: view.Form, Waiting: view.Step == request.StepWait}
		s.Refresh, s.Mark = patientReload, requestAt(view)
		v.caseOf(s, view.Case)
		v.keepUse(view)
	}
	if more != nil {
		more(s)
	}
	v.show(status, "request", s)
}

// titleOf is the headline of a step.
func (s *screen) titleOf(view request.View) string {
	switch {
	case view.Step == request.StepConsent && view.Texts.Headline != "":
		return view.Texts.Headline
	case view.Step != request.StepDetail:
		return s.T("request." + string(view.Step) + ".title")
	case view.Sent != "":
		return s.T("request.detail.code.title")
	}
	return s.DetailText("title")
}

// factsOf is what is asked for, with what of it is known.
func (s *screen) factsOf(view request.View) (all []fact) {
	for _, c := range view.Claims {
		value, ok := view.Values[c]
		name := "request.claim." + c
		switch {
		case request.Matched(c) && view.Exchange:
			value, ok = s.T("request.claim.looked"), true
		case c == request.Email:
			name += ".given"
		}
		if ok || view.Step != request.StepShare {
			all = append(all, fact{s.T(name), s.factText(value)})
		}
	}
	if view.Keeps && len(view.Claims) == 0 {
		all = append(all, fact{s.T("request.claim.self"), ""})
	}
	return all
}

// asksFor fills the page with what the method asks.
func (v *visit) asksFor(s *screen, view request.View) {
	s.View.Ask = flow.Ask{Method: view.Method, Form: view.Form, Request: view.Ask}
	s.Title, s.Asking, s.Script, s.Away = s.Way("title"), view.Ask, v.script(view.Method), away(s.View.Ask)
	if f := features[view.Method]; f != "" {
		page.Allow(v.w.Header(), f)
	}
	if s.Captures = view.Form == policy.FormCapture; s.Captures {
		v.caseOf(s, view.Case)
		v.keepUse(view)
	}
}

// waysOf are the methods that a person may choose.
func (s *screen) waysOf(view request.View) (all []way) {
	for _, m := range view.Methods {
		key := "method." + string(m)
		all = append(all, way{Method: m, Name: s.T(key), Hint: s.T(key + ".hint")})
	}
	return all
}

// factText writes a value for the person whose it is.
func (s *screen) factText(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case bool:
		if value {
			return s.T("request.yes")
		}
		return s.T("request.no")
	case map[string]any:
		var parts []string
		for _, name := range []string{"issuer", "document_number", "expiration", "remote_address", "city", "subdivision", "country"} {
			if text, ok := value[name].(string); ok && text != "" {
				parts = append(parts, text)
			}
		}
		if names, ok := value["ids"].([]any); ok && len(names) > 0 { // an account
			parts = append(parts, s.factText(names[0]))
		}
		if where, ok := value["remote_address_location"].(map[string]any); ok {
			parts = append(parts, s.factText(where))
		}
		return strings.Join(parts, ", ")
	}
	return ""
}

// requestPath is the page of a use.
func requestPath(id string) string { return request.LinkPath + "/" + id }

// RequestPath returns the address of one of the request's forms.
func (s *screen) RequestPath(form string) string {
	return s.visit.address(requestPath(s.Sought.ID)+form, nil)
}

// decide makes a handler of a step that the person takes.
func decide(step func(ctx context.Context, v *visit, id, session string) error) handler {
	return func(v *visit) {
		id, session := v.use()
		ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
		defer cancel()
		err := step(ctx, v, id, session)
		switch {
		case errors.Is(err, request.ErrWrong):
			v.showRequest(http.StatusUnprocessableEntity, "request.wrong")
		case errors.Is(err, request.ErrMethod):
			v.showRequest(http.StatusUnprocessableEntity, "method.error.empty")
		case err != nil && !errors.Is(err, request.ErrStep):
			v.fail(err)
		default:
			v.toRequest()
		}
	}
}

func agreeToRequest(ctx context.Context, v *visit, id, session string) error {
	return v.site.cfg.Requests.Agree(ctx, v.req.Env, id, session, v.asker())
}

func answerRequest(ctx context.Context, v *visit, id, session string) error {
	text := v.field("answer")
	if text == "" || len(text) > maxAnswer {
		return request.ErrWrong
	}
	err := v.site.cfg.Requests.Answer(ctx, v.req.Env, id, session, text)
	if errors.Is(err, &protocol.Error{Code: protocol.CodeUnavailable}) {
		v.site.cfg.Log.WarnContext(ctx, "a proof for a request could not be judged", "request_use", id, "error", err)
		err = recovery.ErrUnavailable
	}
	return err
}

func shareRequest(ctx context.Context, v *visit, id, session string) error {
	return v.site.cfg.Consents.Share(ctx, v.req.Env, id, session, v.asker())
}

func rejectRequest(ctx context.Context, v *visit, id, session string) error {
	return v.site.cfg.Consents.Reject(ctx, v.req.Env, id, session, v.asker())
}

func takeBackRequest(ctx context.Context, v *visit, id, session string) error {
	return v.site.cfg.Consents.TakeBack(ctx, v.req.Env, id, session, v.asker())
}

// AsksWallet reports whether the request's page asks a wallet, see Wallet.
func (s *screen) AsksWallet() bool { return s.Sought.Method == policy.DigitalCredential }
