package site

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/protocol"
)

// recovery serves the page of a recovery: whichever its step asks for.
func (v *visit) recovery() {
	view, err := v.view()
	if err != nil {
		v.fail(err)
		return
	}
	v.showStep(http.StatusOK, view)
}

// toRecovery leads those who load the address of a form by itself to the page.
func (v *visit) toRecovery() {
	if v.id() == "" {
		v.missing()
		return
	}
	v.see("/r/"+v.id(), nil)
}

// state answers the script of the waiting page.
func (v *visit) state() {
	view, err := v.view()
	if err != nil {
		v.fail(err)
		return
	}
	b, err := json.Marshal(struct {
		Step flow.Step `json:"step"`
		At   string    `json:"at"`
	}{view.Step, at(view)})
	if err != nil {
		v.fail(err)
		return
	}
	v.kept("application/json", false)
	v.body(string(b))
}

// showStep shows the page of the view's step. It is the only place that knows which page
// belongs to which step.
func (v *visit) showStep(status int, view flow.View) {
	s := v.screen(view)
	if view.Claimed {
		v.showConfirm(status, s)
		return
	}
	switch view.Step {
	case flow.StepReading:
		v.toPhone()
	case flow.StepChoose:
		v.showChoose(status, s)
	case flow.StepMethod:
		v.showMethod(status, s)
	case flow.StepProve:
		v.showProve(status, s)
	case flow.StepReady:
		if view.Action == protocol.ActionOptions {
			v.toOptionsList()
			return
		}
		if view.Action == protocol.ActionSignIn {
			v.showSignedIn(status, s)
			return
		}
		v.showReady(status, s)
	case flow.StepElsewhere:
		v.showElsewhere(status, s)
	case flow.StepPerforming:
		v.showPerforming(status, s)
	case flow.StepDone:
		if s.View.Secret && len(s.View.Sealed) == 0 { // kept for some minutes only
			s.View.Ended = recovery.EndExpired
			v.showEnded(status, s)
			return
		}
		v.showDone(status, s)
	case flow.StepEnded:
		v.showEnded(status, s)
	default:
		v.showOutcome(status, s)
	}
}

// readyScreen is the page with the button, and the one that waits.
type readyScreen struct {
	Again   bool   // it did not work before
	Held    bool   // it was accepted, and the agent waits
	Later   bool   // and cannot be tried yet
	Reason  string // why
	NoKey   bool   // the browser's key did not come with the press
	Elapsed int    // seconds since the press
}

func (v *visit) showReady(status int, s *screen) {
	s.Title, s.Step = s.Act("ready", "title"), 4
	if p := s.View.Problem; p != recovery.ProblemNone || !s.View.RetryAt.IsZero() {
		s.Again, s.Later = true, time.Until(s.View.RetryAt) > 0
		s.Held = p == recovery.ProblemHeld
		if p != recovery.ProblemNone {
			s.Reason = s.T("problem." + string(p))
		}
		if p == recovery.ProblemVetoed { // where nobody said no, or there would be no button
			s.Reason = s.T("problem.silent")
		}
	}
	v.keepSession(s.View)
	v.show(status, "ready", s)
}

// reload is how often a browser without scripts asks for the result, in seconds.
const reload = 4

func (v *visit) showPerforming(status int, s *screen) {
	s.Title, s.Step, s.Refresh, s.Mark = s.T("performing.title."+string(s.View.Action)), 4, reload, at(s.View)
	if !s.View.Since.IsZero() {
		s.Elapsed = int(time.Since(s.View.Since) / time.Second)
	}
	v.show(status, "performing", s)
}

// Sealed returns the sealed secret for the page's script.
func (s *screen) Sealed() string { return base64.RawURLEncoding.EncodeToString(s.View.Sealed) }

// outcomeScreen is a page without a result: what happened, and what to do now.
type outcomeScreen struct{ Text, NextText string }

// showOutcome shows what ended without a result: refused, failed, unknown.
func (v *visit) showOutcome(status int, s *screen) {
	s.Step = steps
	problem := s.View.Problem
	if problem == recovery.ProblemNone {
		problem = recovery.ProblemInternal
	}
	s.Text, s.NextText = s.T("problem."+string(problem)), s.T("problem."+string(problem)+".next")
	switch s.View.Step {
	case flow.StepEvaluated:
		v.evaluated(s)
	case flow.StepUnknown:
		s.Title, s.Text, s.NextText = s.T("unknown.title"), s.T("unknown.text"), s.T("unknown.next")
	case flow.StepFailed:
		s.Title, s.Restart = s.T("failed.title"), true
	default:
		s.Title, s.Restart, s.Cancel = s.T("refused.title"), restartHelps[problem], true
	}
	v.show(status, "outcome", s)
}

// evaluated says what would have happened.
func (v *visit) evaluated(s *screen) {
	s.Restart = true
	if s.View.Problem != recovery.ProblemNone {
		s.Title = s.T("trial.not.title")
		return
	}
	action := string(s.View.Action)
	s.Title, s.Text, s.NextText = s.T("trial.done.title."+action), s.T("trial.done.text"), s.T("trial.done.next")
}

// restartHelps lists the refusals after which another choice or a later start may work.
var restartHelps = map[recovery.Problem]bool{
	recovery.ProblemUnavailable: true, recovery.ProblemNotLocked: true, recovery.ProblemNothing: true, recovery.ProblemInternal: true,
}

// endings are the words of each way to end.
var endings = map[recovery.Ending][]string{
	recovery.EndAcknowledged: {"acked.title", "acked.text", "acked.notice"},
	recovery.EndCancelled:    {"cancelled.title", "cancelled.text", "cancelled.stranger"},
	recovery.EndDisowned:     {"disowned.title", "disowned.text", "disowned.told"},
	recovery.EndRefused:      {"notgiven.title", "notgiven.text"},
	recovery.EndReturned:     {"signin.returned.title", "signin.returned.text"},
	recovery.EndExpired:      {"expired.title", "expired.text"},
	recovery.EndVoided:       {"voided.title", "voided.text"},
}

// showEnded says that it is over. The browser forgets what it kept for this site, unless
// another recovery is open in it.
func (v *visit) showEnded(status int, s *screen) {
	words, ok := endings[s.View.Ended]
	if !ok {
		words = []string{"ended.title"}
	}
	s.Title = s.T(words[0])
	for _, key := range words[1:] {
		s.Texts = append(s.Texts, s.T(key))
	}
	if len(v.host.CookiesWith(v.r, sessionCookie)) == 1 {
		v.w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	}
	v.show(status, "ended", s)
}
