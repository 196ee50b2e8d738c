package site

import (
	"context"
	"errors"
	"net/http"

	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/recovery"
)

// PhonePath is the page that a phone opens with the ticket as its fragment.
const PhonePath = "/phone"

// phoneScreen are the pages on which a recovery goes from one browser to another.
type phoneScreen struct {
	Rotate int    // seconds until the page asks for another ticket
	Ticket string // one that was read too soon, for the form that sends it again
	Begun  flow.Begun
	Device string
	Ended  string // how it ended in the other browser, "" while it goes on
}

// Digits is the code of the phone in groups, as people read it.
func (s *screen) Digits() string {
	c := s.Begun.Code
	return c[:len(c)/2] + " " + c[len(c)/2:]
}

// HostName is the name of the site, for people to compare.
func (s *screen) HostName() string { return s.visit.host.Name() }

// rotate is how long a ticket stands on the screen, in seconds. It works longer, for
// phones that have just read it.
const rotate = 30

// handOver shows a ticket that a phone can read. It is made by a POST: reading pages
// changes nothing.
func (v *visit) handOver() {
	id, session, ok := v.own()
	if !ok {
		return
	}
	view, err := v.view()
	if err != nil {
		v.fail(err)
		return
	}
	if view.Claimed { // a phone waits for its code
		v.toRecovery()
		return
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	h, err := v.site.cfg.Handovers.HandOver(ctx, v.req.Env, id, session)
	switch {
	case errors.Is(err, recovery.ErrStep), errors.Is(err, recovery.ErrNotFound): // it goes on elsewhere already
		v.toRecovery()
		return
	case err != nil:
		v.fail(err)
		return
	}
	s := v.screen(view)
	if s.QR, s.QRSize, err = factor.QR(v.host.Origin + PhonePath + "#" + h.Ticket.Reveal()); err != nil {
		v.fail(err)
		return
	}
	s.Logo = v.look.logo(logoOfCodes)
	s.Title, s.Step, s.Rotate, s.Mark = s.T("handover.title"), 3, rotate, at(view)
	v.show(http.StatusOK, "handover", s)
}

// phone is what a phone opens. The ticket is in the fragment of the address, which only
// the page's script sees, and which nothing that merely looks behind links sends on.
func (v *visit) phone() {
	s := v.screen(flow.View{})
	s.Title = s.T("phone.title")
	v.show(http.StatusOK, "phone", s)
}

// maxHandover bounds a ticket as it is sent.
const maxHandover = 64

// claim asks to take a recovery over, and the person at once whether they began it.
func (v *visit) claim() {
	ticket := v.field("ticket")
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	id, session, err := v.site.cfg.Handovers.Claim(ctx, v.req.Env, ticket[:min(len(ticket), maxHandover)], v.client())
	switch {
	case errors.Is(err, recovery.ErrNotFound):
		v.message(http.StatusGone, "phone.gone.title", []string{"phone.gone.text"}, nil)
	case errors.Is(err, recovery.ErrTooSoon):
		v.claimAgain(ticket)
	case err != nil:
		v.fail(err)
	default:
		v.remember(id, session)
		v.see("/r/"+id+"/phone", nil)
	}
}

// claimAgain asks to press the button once more: the address of the page has lost the
// ticket, and the picture may have given way to another one.
func (v *visit) claimAgain(ticket string) {
	s := v.screen(flow.View{})
	s.Title, s.Ticket = s.T("ask.opening.title"), ticket
	v.show(http.StatusConflict, "phone", s)
}

// begunBy asks whoever has read a picture whether they began it.
func (v *visit) begunBy() { v.reading("begunby", "begunby.title") }

// phoneCode shows the code that is to be typed on the other screen.
func (v *visit) phoneCode() { v.reading("phonecode", "phonecode.title") }

// reading shows a page of the browser that has read a picture and waits.
func (v *visit) reading(page, title string) {
	id, session, ok := v.own()
	if !ok {
		return
	}
	view, err := v.view()
	if err != nil {
		v.fail(err)
		return
	}
	if view.Step != flow.StepReading {
		v.toRecovery()
		return
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	s := v.screen(view)
	if s.Begun, err = v.site.cfg.Handovers.BegunBy(ctx, v.req.Env, id, session); err != nil {
		v.fail(err)
		return
	}
	s.Title, s.Device, s.Mark = s.T(title), s.Language.Device(s.Begun.UserAgent), at(view)
	v.show(http.StatusOK, page, s)
}

func (v *visit) toPhone() { v.see("/r/"+v.id()+"/phone", nil) }

// showConfirm asks for the code that the phone shows. The phone has nothing before it.
func (v *visit) showConfirm(status int, s *screen) {
	s.Title, s.Step, s.Mark = s.T("confirm.title"), 3, at(s.View)
	v.show(status, "confirm", s)
}

// confirm takes the code that the phone shows.
func (v *visit) confirm() {
	id, session, ok := v.own()
	if !ok {
		return
	}
	typed := v.field("code")
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	err := v.site.cfg.Handovers.Confirm(ctx, v.req.Env, id, session, typed[:min(len(typed), maxCode)])
	switch {
	case errors.Is(err, recovery.ErrWrongCode):
		v.wrongPhone()
	case errors.Is(err, recovery.ErrTooMany):
		v.message(http.StatusConflict, "confirm.refused.title", []string{"confirm.refused.text"}, func(s *screen) { s.Reload = v.address("/r/"+id, nil) })
	case err != nil && !errors.Is(err, recovery.ErrStep) && !errors.Is(err, recovery.ErrTooSoon):
		v.fail(err)
	default:
		v.toRecovery()
	}
}

func (v *visit) wrongPhone() {
	view, err := v.view()
	if err != nil {
		v.fail(err)
		return
	}
	if !view.Claimed {
		v.toRecovery()
		return
	}
	s := v.screen(view)
	s.wrong("code", s.T("confirm.error"))
	v.showConfirm(http.StatusUnprocessableEntity, s)
}

// refuseClaim keeps the recovery here: the phone is somebody else's.
func (v *visit) refuseClaim() { v.end(v.site.cfg.Handovers.RefuseClaim) }

// disown ends what somebody else began, and raises the alarm.
func (v *visit) disown() { v.end(v.site.cfg.Handovers.Disown) }

// showElsewhere is what the browser sees that gave a recovery away.
func (v *visit) showElsewhere(status int, s *screen) {
	s.Title, s.Step, s.Mark = s.T("elsewhere.title"), 3, at(s.View)
	if e := s.View.Elsewhere; e != "" {
		s.Step, s.Ended = steps, s.T("elsewhere."+string(e))
	} else {
		s.Refresh = patientReload
	}
	v.show(status, "elsewhere", s)
}
