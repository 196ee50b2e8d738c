package site

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
)

// proveScreen is the page that asks for the code.
type proveScreen struct {
	Resent bool // another code was just sent
	Soon   bool // another one cannot be sent yet
	Tries  bool // say how many tries are left

	Sends   bool // the code was sent, so another one can be
	Letters bool // the code has letters
}

// Prove returns the text of the page for the kind of code that is asked for.
func (s *screen) Prove(what string) string {
	if key := "prove." + what + "." + string(s.View.Ask.Method); s.Has(key) {
		return s.T(key)
	}
	return s.T("prove." + what)
}

// maxCode bounds what is taken for a code.
const maxCode = 40

func (v *visit) showProve(status int, s *screen) {
	s.Step, s.Other = 3, len(s.View.Methods) > 1
	if time.Until(s.View.Code.LockedTill) > 0 {
		s.Title = s.T("prove.locked.title")
		v.show(http.StatusTooManyRequests, "locked", s)
		return
	}
	if s.View.Ask.Form != policy.FormCode {
		v.showAsk(status, s)
		return
	}
	row, _ := policy.MethodByName(s.View.Ask.Method)
	s.Title, s.Sends, s.Letters = s.Prove("title"), row.Sends, row.Method == policy.SavedCode
	s.Soon = time.Until(s.View.Code.ResendAt) > 0
	s.Resent = s.Resent || v.r.Method != http.MethodPost && v.r.URL.Query().Has("sent") && s.View.Code.SendsLeft > 0
	v.show(status, "prove", s)
}

// code takes the code. Every wrong one gets the same answer, for every address.
func (v *visit) code() {
	id, session, ok := v.own()
	if !ok {
		return
	}
	typed := v.field("code")
	code := digits(typed)
	if code == "" || len(code) > maxCode {
		v.wrongCode(typed, "prove.error.empty", false)
		return
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), performTime)
	defer cancel()
	err := v.site.cfg.Proofs.Answer(ctx, v.req.Env, id, session, code)
	switch {
	case errors.Is(err, recovery.ErrWrongCode), errors.Is(err, recovery.ErrTooMany):
		v.wrongCode(typed, "prove.error.wrong", true)
	case err != nil && !errors.Is(err, recovery.ErrStep):
		v.fail(err)
	default:
		v.toRecovery()
	}
}

// codeLength is how many digits a code has.
const codeLength = 8

// wrongCode shows the page again, or where the recovery has moved on, that.
func (v *visit) wrongCode(typed, why string, tries bool) {
	view, err := v.view()
	if err != nil {
		v.fail(err)
		return
	}
	s := v.screen(view)
	if view.Step != flow.StepProve {
		v.toRecovery()
		return
	}
	s.Tries = tries && view.Code.TriesLeft > 0
	if len(digits(typed)) != codeLength { // a whole code that was wrong would only stand in the way of the next
		s.Typed = typed[:min(len(typed), maxCode)]
	}
	s.wrong("code", s.Prove(strings.TrimPrefix(why, "prove.")))
	v.showProve(http.StatusUnprocessableEntity, s)
}

// digits takes out what people put between the digits of a code.
func digits(typed string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '-' || r == '.' || r == '\u2011' {
			return -1
		}
		return r
	}, typed)
}

// resend sends another code.
func (v *visit) resend() {
	id, session, ok := v.own()
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), performTime)
	defer cancel()
	err := v.site.cfg.Proofs.Resend(ctx, v.req.Env, id, session)
	switch {
	case errors.Is(err, recovery.ErrTooSoon), errors.Is(err, recovery.ErrTooMany):
		v.notYet()
	case err != nil && !errors.Is(err, recovery.ErrStep):
		v.fail(err)
	default:
		v.see("/r/"+id, url.Values{"sent": {"1"}})
	}
}

// notYet says that another code cannot be sent.
func (v *visit) notYet() {
	view, err := v.view()
	if err != nil {
		v.fail(err)
		return
	}
	if view.Step != flow.StepProve {
		v.toRecovery()
		return
	}
	s := v.screen(view)
	s.wrong("no-mail", s.T("prove.error.soon"))
	v.showProve(http.StatusTooManyRequests, s)
}

// own returns the recovery of the address and this browser's session for it, or answers.
func (v *visit) own() (id, session string, ok bool) {
	id = v.id()
	if id != "" {
		session = v.session(id)
	}
	if session == "" {
		v.fail(recovery.ErrNotFound)
		return "", "", false
	}
	return id, session, true
}
