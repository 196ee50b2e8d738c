package site

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/protocol"
)

// perform takes the press of the button. The operation goes on when the browser leaves;
// the answer comes when it is done or when there is reason to show that it takes long.
func (v *visit) perform() {
	id, session, ok := v.own()
	if !ok {
		return
	}
	recipient, err := base64.RawURLEncoding.Strict().DecodeString(v.field("recipient"))
	if err != nil {
		recipient = nil // flow says that it is missing
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), performTime)
	v.site.work.Go(func() {
		defer cancel()
		done <- v.site.cfg.Changes.Perform(ctx, v.req.Env, id, session, recipient)
	})
	patience := time.NewTimer(grace)
	defer patience.Stop()
	select {
	case err = <-done:
	case <-patience.C:
		err = nil // the page of the recovery says how it stands
	}
	v.performed(err)
}

func (v *visit) performed(err error) {
	switch {
	case errors.Is(err, recovery.ErrRecipient):
		v.noKey()
	case errors.Is(err, recovery.ErrStep), errors.Is(err, recovery.ErrTooSoon), errors.Is(err, recovery.ErrTooMany), err == nil:
		v.toRecovery() // pressed twice, or on an old page: what there is now says more
	default:
		v.fail(err)
	}
}

// noKey shows the button again with the reason: without scripts, or with a browser that
// cannot make keys, nothing was pressed.
func (v *visit) noKey() {
	view, err := v.view()
	if err != nil {
		v.fail(err)
		return
	}
	if view.Step != flow.StepReady {
		v.toRecovery()
		return
	}
	s := v.screen(view)
	s.NoKey = true
	v.showReady(http.StatusUnprocessableEntity, s)
}

// acknowledge ends a recovery whose result was used; the hub deletes the result.
func (v *visit) acknowledge() { v.end(v.site.cfg.Changes.Acknowledge) }

// cancel ends a recovery that somebody does not want.
func (v *visit) cancel() { v.end(v.site.cfg.Recoveries.Cancel) }

func (v *visit) end(with func(ctx context.Context, env, id, session string) error) {
	id, session, ok := v.own()
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	if err := with(ctx, v.req.Env, id, session); err != nil && !errors.Is(err, recovery.ErrStep) {
		v.fail(err)
		return
	}
	v.toRecovery()
}

// doneScreen is the page with the result.
type doneScreen struct {
	MustChange bool
	Keep       bool
	Next, Help []string
	Platforms  []platform
}

// A platform is how one kind of device takes a new password.
type platform struct {
	Name, Text string
	Open       bool
}

func (v *visit) showDone(status int, s *screen) {
	action := string(s.View.Action)
	s.Title, s.Step = s.T("done.title."+action), steps
	s.MustChange = s.View.MustChange && s.View.Action == protocol.ActionPassword
	switch action {
	case "password":
		s.Keep, s.Platforms = !s.View.MustChange, v.platforms(s)
		s.Help = s.all("help.password.1", "help.password.2", "help.password.3")
	case "unlock":
		s.Next, s.Help = s.all("next.unlock.text", "next.unlock.again"), s.all("help.unlock.1", "help.unlock.2")
	case "mfa":
		s.Next, s.Help = s.all("next.mfa.text"), s.all("help.mfa.1", "help.mfa.2")
		if s.View.Secret {
			s.Next = s.all("next.mfa.code")
		}
	case "enroll-key":
		s.Next, s.Help = s.all("next.enroll-key.text"), s.all("help.enroll-key.1")
	default:
		s.Next, s.Help = s.all("next.pass.text"), s.all("help.temporary-access-pass.1")
	}
	v.show(status, "done", s)
}

func (s *screen) all(keys ...string) []string {
	texts := make([]string, len(keys))
	for i, k := range keys {
		texts[i] = s.T(k)
	}
	return texts
}

// platforms explains each kind of device, the reader's own opened.
func (v *visit) platforms(s *screen) []platform {
	var list []platform
	for _, p := range []struct{ key, sign string }{{"windows", "Windows"}, {"mac", "Macintosh"}, {"phone", "Mobile"}, {"vpn", ""}} {
		list = append(list, platform{s.T("next." + p.key), s.T("next." + p.key + ".text"), p.sign != "" && contains(v.r, p.sign)})
	}
	return list
}

func contains(r *http.Request, sign string) bool { return strings.Contains(r.UserAgent(), sign) }
