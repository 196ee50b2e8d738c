package site

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/verify/provider"
	"github.com/postern-id/postern/protocol"
)

// methodScreen is the page on which a person chooses how to prove who they are, and the
// pages of every form but the typed code.
type methodScreen struct {
	Ways   []way
	Keyed  bool // a way needs the browser's key
	Other  bool // there is another way than the one asked for
	Script string
	Mark   string            // where the recovery stands, for the page's script
	Away   []provider.Choice // services to which the person can go
	Number string            // what the other person is told
}

// A way is one method to choose.
type way struct {
	Method     policy.Method
	Name, Hint string
	Bound      bool
	Checked    bool
}

// scripts are the modules that answer the requests of methods.
var scripts = map[policy.Method]string{
	policy.Passkey: "passkey.js", policy.DigitalCredential: "wallet.js", policy.DocumentReview: "capture.js",
}

// features are what those scripts use of a browser.
var features = map[policy.Method]string{policy.Passkey: "publickey-credentials-get", policy.DigitalCredential: "digital-credentials-get", policy.DocumentReview: "camera"}

// maxAnswer bounds what a script answers, in bytes.
const maxAnswer = 256 << 10

// maxRecipient is far more than a key takes in base64url.
const maxRecipient = 256

func (v *visit) showMethod(status int, s *screen) {
	s.Step, s.Title = 3, s.T("method.title")
	for _, m := range s.View.Methods {
		key := "method." + string(m.Method)
		s.Ways = append(s.Ways, way{m.Method, s.T(key), s.T(key + ".hint"), m.Bound, len(s.View.Methods) == 1})
		s.Keyed = s.Keyed || m.Bound && s.NeedsKey()
	}
	v.show(status, "method", s)
}

// NeedsKey reports whether the result of what was chosen may be a secret, which is sealed
// to the browser's key. It depends on the operation alone.
func (s *screen) NeedsKey() bool {
	_, own := protocol.OwnAction(s.View.Action)
	return !own && s.View.Action != protocol.ActionUnlock
}

// otherWays shows the choice once more, while another method is asked for.
func (v *visit) otherWays() {
	view, err := v.view()
	if err != nil {
		v.fail(err)
		return
	}
	if !asks(view) || len(view.Methods) == 0 {
		v.toRecovery()
		return
	}
	v.showMethod(http.StatusOK, v.screen(view))
}

func asks(view flow.View) bool { return view.Step == flow.StepMethod || view.Step == flow.StepProve }

// chooseMethod takes the choice, with the browser's key where its script made one.
func (v *visit) chooseMethod() {
	id, session, ok := v.own()
	if !ok {
		return
	}
	text := v.field("recipient")
	recipient, err := base64.RawURLEncoding.Strict().DecodeString(text[:min(len(text), maxRecipient)])
	if err != nil {
		recipient = nil // flow says that it is missing, if it is needed
	}
	method := v.field("method")
	if method == "" {
		v.refuseMethod("method", "method.error.empty", false)
		return
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	err = v.site.cfg.Proofs.ChooseMethod(ctx, v.req.Env, id, session, method, recipient)
	switch {
	case errors.Is(err, recovery.ErrRecipient):
		v.refuseMethod("method", "method.error.key", true)
	case err != nil && !errors.Is(err, recovery.ErrStep):
		v.fail(err)
	default:
		v.toRecovery()
	}
}

// refuseMethod shows the choice again with what was wrong with it.
func (v *visit) refuseMethod(field, why string, key bool) {
	view, err := v.view()
	if err != nil {
		v.fail(err)
		return
	}
	if !asks(view) {
		v.toRecovery()
		return
	}
	s := v.screen(view)
	s.NoKey = key
	s.wrong(field, s.T(why))
	v.showMethod(http.StatusUnprocessableEntity, s)
}

// answer takes what a page's script made.
func (v *visit) answer() {
	id, session, ok := v.own()
	if !ok {
		return
	}
	text := v.field("answer")
	if text == "" || len(text) > maxAnswer {
		v.wrongAnswer()
		return
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), performTime)
	defer cancel()
	err := v.site.cfg.Proofs.Answer(ctx, v.req.Env, id, session, text)
	switch {
	case errors.Is(err, recovery.ErrWrongCode), errors.Is(err, recovery.ErrTooMany):
		v.wrongAnswer()
	case err != nil && !errors.Is(err, recovery.ErrStep):
		v.fail(err)
	default:
		v.toRecovery()
	}
}

// wrongAnswer shows the page again, or where the recovery has moved on, that.
func (v *visit) wrongAnswer() {
	view, err := v.view()
	if err != nil {
		v.fail(err)
		return
	}
	if view.Step != flow.StepProve || view.Ask.Form == policy.FormCode {
		v.toRecovery()
		return
	}
	s := v.screen(view)
	s.wrong("ask", s.T("ask.error.wrong"))
	v.showProve(http.StatusUnprocessableEntity, s)
}

// showAsk shows the page of every form but the typed code.
func (v *visit) showAsk(status int, s *screen) {
	ask := s.View.Ask
	name := "ask"
	switch {
	case ask.Failed:
		name, s.Title = "askfailed", s.T("ask.failed.title")
	case !ask.Open:
		name, s.Title, s.Refresh = "asking", s.T("ask.opening.title"), reload
	case v.captures(s):
		v.showCapture(status, s)
		return
	case ask.Waiting || ask.Form == policy.FormWait:
		name, s.Title, s.Refresh, s.Number = "askwait", s.Way("title"), patientReload, numberIn(ask.Request)
		v.keepSession(s.View)
	default:
		s.Title, s.Away, s.Script = s.Way("title"), away(ask), v.script(ask.Method)
		if f := features[ask.Method]; f != "" {
			page.Allow(v.w.Header(), f)
		}
	}
	s.Mark = at(s.View)
	v.show(status, name, s)
}

// patientReload is how often a browser without scripts asks while people decide, in seconds.
const patientReload = 30

// Way returns the text of a page for the method that is asked for.
func (s *screen) Way(what string) string {
	key := "ask." + what + "." + string(s.View.Ask.Method)
	if s.View.Ask.Waiting && s.Has(key+".wait") {
		return s.T(key + ".wait")
	}
	if s.Has(key) {
		return s.T(key)
	}
	return s.T("ask." + what)
}

// Request is what the page's script is given.
func (s *screen) Request() json.RawMessage { return s.View.Ask.Request }

// script returns the address of the module that answers for a method, "" if none does.
func (v *visit) script(m policy.Method) string {
	if name := scripts[m]; name != "" && v.site.files.Has("/static/"+name) {
		return v.site.files.Path(name)
	}
	return ""
}

// at says where a recovery stands, as far as a waiting page is concerned.
func at(view flow.View) string {
	switch {
	case view.Claimed:
		return "claimed"
	case view.Step != flow.StepProve:
		return strings.TrimSpace(string(view.Step) + " " + string(view.Elsewhere))
	}
	return strings.Join([]string{string(view.Step), string(view.Ask.Method), strconv.FormatBool(view.Ask.Open), strconv.FormatBool(view.Ask.Waiting)}, " ")
}

// numberIn returns the number that whoever vouches is to be told, "" if none.
func numberIn(request json.RawMessage) string {
	var shown struct {
		Number string `json:"number"`
	}
	if json.Unmarshal(request, &shown) != nil || len(shown.Number) > 8 {
		return ""
	}
	return shown.Number
}

// keepSession lets the browser's session last as long as people may take to decide.
func (v *visit) keepSession(view flow.View) {
	if left := time.Until(view.ExpiresAt); left > sessionLife {
		v.host.SetCookie(v.w, sessionCookie+view.ID, v.session(view.ID), left, http.SameSiteStrictMode)
	}
}
