package site

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// A scene is one page in one state, and how it is reached: walked up to a step by
// forms, then changed behind the page's back.
type scene struct {
	name   string
	open   string // an address, where no recovery is needed
	action protocol.Action
	step   flow.Step // walked up to it
	edit   func(*walked)
	rig    func(*rig)
	then   func(b *testenv.Browser) // what is done on the page
}

// scenes are all pages and states that the site can show.
func scenes() []scene {
	problem := func(s flow.Step, p recovery.Problem) func(*walked) {
		return func(r *walked) { r.Step, r.Problem, r.Proven = s, p, true }
	}
	ended := func(e recovery.Ending) func(*walked) {
		return func(r *walked) { r.Step, r.Ended = flow.StepEnded, e }
	}
	show := func(b *testenv.Browser) {
		b.Wait(`!document.querySelector('[data-do=show]').hidden`)
		b.Click("[data-do=show]")
		b.Click("[data-do=spellOut]")
	}
	wrong := func(b *testenv.Browser, selector, text string) {
		if text != "" {
			b.Type(selector, text)
		}
		b.Click("main form button")
		b.Wait(`document.querySelector('.errors')`)
	}
	outage := func(g *rig) { g.walk.offer.Unavailable = true }
	const password, unlock, mfa = protocol.ActionPassword, protocol.ActionUnlock, protocol.ActionMFA
	return []scene{
		{name: "start", open: "/"},
		{name: "start-enroll", open: "/?flow=enroll&email=ada@acme.example"},
		{name: "start-outage", open: "/", rig: outage},
		{name: "start-wrong", open: "/", then: func(b *testenv.Browser) { wrong(b, "#email", "no address") }},
		{name: "choose", step: flow.StepChoose},
		{name: "choose-wrong", step: flow.StepChoose, then: func(b *testenv.Browser) { wrong(b, "", "") }},
		{name: "choose-directory", step: flow.StepChoose, rig: twoDirectories, then: func(b *testenv.Browser) {
			b.Click("label:has([value=unlock])")
			b.Click("main form button")
			b.Wait(`document.querySelector('#directory')`)
		}},
		{name: "choose-nothing", step: flow.StepChoose, rig: func(g *rig) { g.walk.offer.Actions = nil }},
		{name: "prove", step: flow.StepProve, action: password},
		{name: "prove-wrong", step: flow.StepProve, action: password, then: func(b *testenv.Browser) { wrong(b, "#code", "1234 5678") }},
		{name: "prove-nosends", step: flow.StepProve, action: password, edit: func(r *walked) { r.Code.SendsLeft, r.Code.ResendAt = 0, time.Now().Add(50*time.Minute) }},
		{name: "prove-outage", step: flow.StepProve, action: password, rig: outage},
		{name: "prove-second", step: flow.StepProve, action: password, edit: func(r *walked) { r.Proven, r.Masked = true, "a•••@mail.example" }},
		{name: "method", step: flow.StepProve, action: password, edit: offer("")},
		{name: "method-more", step: flow.StepProve, action: password, edit: func(r *walked) { offer("")(r); r.Proven = true }},
		{name: "method-wrong", step: flow.StepProve, action: password, edit: offer(""), then: func(b *testenv.Browser) { wrong(b, "", "") }},
		{name: "ask-totp", step: flow.StepProve, action: password, edit: offer(policy.TOTP)},
		{name: "ask-saved", step: flow.StepProve, action: password, edit: offer(policy.SavedCode)},
		{name: "ask-passkey", step: flow.StepProve, action: password, edit: offer(policy.Passkey)},
		{name: "ask-opening", step: flow.StepProve, action: password, edit: func(r *walked) { offer(policy.Passkey)(r); r.Ask.Open = false }},
		{name: "ask-failed", step: flow.StepProve, action: password, edit: func(r *walked) { offer(policy.Passkey)(r); r.Ask.Open, r.Ask.Failed = false, true }},
		{name: "ask-away", step: flow.StepProve, action: password, edit: func(r *walked) {
			offer(policy.IdentityProvider)(r)
			r.Ask.Request = json.RawMessage(`{"exchange":"x","nonce":"n","providers":[{"id":"p1","name":"Acme ID"},{"id":"p2","name":"Bank ID"}]}`)
		}},
		{name: "ask-approval", step: flow.StepProve, action: password, edit: func(r *walked) {
			offer(policy.Approval)(r)
			r.Ask.Waiting, r.Ask.Request, r.Proven = true, json.RawMessage(`{"number":"42"}`), true
		}},
		{name: "handover", step: flow.StepProve, action: password, edit: func(r *walked) { r.HandOver = true }, then: func(b *testenv.Browser) {
			b.Click("form[action*='/phone'] button")
			b.Wait(`document.querySelector('svg.qr')`)
		}},
		{name: "phone", open: "/phone"},
		{name: "begunby", step: flow.StepProve, action: password, edit: func(r *walked) { r.Step = flow.StepReading }},
		{name: "phonecode", step: flow.StepProve, action: password, edit: func(r *walked) { r.Step = flow.StepReading }, then: func(b *testenv.Browser) {
			b.Click("main a.button")
			b.Wait(`document.querySelector('.number')`)
		}},
		{name: "confirm", step: flow.StepProve, action: password, edit: func(r *walked) { r.Claimed = true }},
		{name: "confirm-wrong", step: flow.StepProve, action: password, edit: func(r *walked) { r.Claimed = true }, then: func(b *testenv.Browser) { wrong(b, "#code", "000000") }},
		{name: "ready-handover", step: flow.StepReady, action: password, edit: func(r *walked) { r.HandOver = true }},
		{name: "disowned", step: flow.StepReady, action: password, edit: ended(recovery.EndDisowned)},
		{name: "not-given", step: flow.StepReady, action: password, edit: ended(recovery.EndRefused)},
		{name: "elsewhere", step: flow.StepProve, action: password, edit: func(r *walked) { r.Step = flow.StepElsewhere }},
		{name: "elsewhere-done", step: flow.StepProve, action: password, edit: func(r *walked) { r.Step, r.Elsewhere = flow.StepElsewhere, flow.StepDone }},
		{name: "locked", step: flow.StepProve, action: password, edit: func(r *walked) { r.Code.LockedTill = time.Now().Add(time.Hour) }},
		{name: "ready", step: flow.StepReady, action: password},
		{name: "ready-mfa", step: flow.StepReady, action: mfa},
		{name: "ready-again", step: flow.StepReady, action: unlock, edit: func(r *walked) {
			r.Problem, r.RetryAt = recovery.ProblemUnavailable, time.Now().Add(time.Minute)
		}},
		{name: "performing", step: flow.StepPerforming, action: password, edit: func(r *walked) { r.Since = time.Now() }},
		{name: "performing-long", step: flow.StepPerforming, action: unlock, edit: func(r *walked) { r.Since = time.Now().Add(-40 * time.Second) }},
		{name: "done", step: flow.StepDone, action: password},
		{name: "done-shown", step: flow.StepDone, action: password, then: show},
		{name: "done-lost", step: flow.StepDone, action: password, edit: func(r *walked) { r.Sealed[80] ^= 1 }},
		{name: "done-late", step: flow.StepDone, action: password, edit: func(r *walked) { r.Sealed = nil }},
		{name: "done-clear", step: flow.StepDone, action: password, edit: func(r *walked) { r.Clear = true }},
		{name: "done-unlock", step: flow.StepDone, action: unlock},
		{name: "done-mfa", step: flow.StepDone, action: mfa},
		{name: "refused", step: flow.StepReady, action: password, edit: problem(flow.StepRefused, recovery.ProblemNotAllowed)},
		{name: "refused-notlocked", step: flow.StepReady, action: unlock, edit: problem(flow.StepRefused, recovery.ProblemNotLocked)},
		{name: "refused-vetoed", step: flow.StepReady, action: unlock, edit: func(r *walked) {
			r.Step, r.Problem, r.Message = flow.StepRefused, recovery.ProblemVetoed, "You are on leave until Monday. Please call +49 30 1234567."
		}},
		{name: "failed", step: flow.StepReady, action: password, edit: problem(flow.StepFailed, recovery.ProblemPolicy)},
		{name: "unknown", step: flow.StepReady, action: password, edit: problem(flow.StepUnknown, "")},
		{name: "acknowledged", step: flow.StepReady, action: password, edit: ended(recovery.EndAcknowledged)},
		{name: "cancelled", step: flow.StepReady, action: password, edit: ended(recovery.EndCancelled)},
		{name: "expired", step: flow.StepReady, action: password, edit: ended(recovery.EndExpired)},
		{name: "voided", step: flow.StepReady, action: password, edit: ended(recovery.EndVoided)},
		{name: "other-browser", open: "/r/AAAAAAAAAAAAAAAAAAAAAA"},
		{name: "link-needed", open: "/", rig: func(g *rig) { g.settings(func(e *store.Environment) { e.Microsite.RequirePresigned = true }) }},
		{name: "link-bad", open: "/?id_token=x"},
		{name: "not-me", open: "/not-me?token=tok", rig: objection(false)},
		{name: "not-me-done", open: "/not-me?token=tok", rig: objection(true)},
		{name: "not-me-gone", open: "/not-me?token=other"},
		{name: "no-page", open: "/nothing"},
		{name: "store-away", open: "/not-me?token=tok", rig: func(g *rig) { objection(false)(g); g.walk.fail = recovery.ErrUnavailable }},
		{name: "malformed", open: "/?op=nothing"},
	}
}

// offer offers every method and asks for one of them, or for none.
func offer(asked policy.Method) func(*walked) {
	return func(r *walked) {
		r.Methods, r.Step, r.Ask = nil, flow.StepMethod, flow.Ask{}
		for _, row := range policy.MethodTable {
			r.Methods = append(r.Methods, flow.MethodChoice{Method: row.Method, Form: row.Form, Bound: row.Bound, Asked: row.Method == asked})
			if row.Method == asked {
				r.Step, r.Ask = flow.StepProve, flow.Ask{Method: row.Method, Form: row.Form, Open: true, Since: time.Now(), Request: json.RawMessage(`{"challenge":"x"}`)}
			}
		}
	}
}

func twoDirectories(g *rig) {
	g.walk.offer.Directories = append(g.walk.offer.Directories, flow.DirectoryChoice{ID: "22222222-2222-4222-8222-222222222222", Name: "Werk Süd, Maschinensteuerung", Actions: g.walk.offer.Actions})
}

func objection(used bool) func(*rig) {
	return func(g *rig) {
		g.walk.notMe["tok"] = &operation.Objection{Account: "Ada Lovelace", Action: protocol.ActionPassword, At: time.Now().Add(-26 * time.Hour), Used: used, BlockedUntil: time.Now().Add(23 * time.Hour)}
	}
}

// stage brings the browser to the scene.
func (sc scene) stage(g *rig, b *testenv.Browser, lang string) {
	g.t.Helper()
	g.walk.reset()
	g.settings(func(e *store.Environment) { e.Microsite.RequirePresigned = false })
	if sc.rig != nil {
		sc.rig(g)
	}
	with := func(path string) string {
		if strings.Contains(path, "?") {
			return g.url + path + "&lang=" + lang
		}
		return g.url + path + "?lang=" + lang
	}
	ready := `document.documentElement.dataset.ready && document.readyState === 'complete'`
	if sc.open != "" {
		b.Open(with(sc.open))
	} else {
		b.Open(with("/"))
		b.Type("#email", "ada@acme.example")
		b.Press("\r")
		b.Wait(`location.pathname.startsWith('/r/')`)
		b.Wait(ready)
		g.walk.jump(sc, func() {
			b.Reload()
			b.Wait(`document.querySelector('#perform') && ` + ready)
			b.Click("#perform")
			b.Wait(`!document.querySelector('#perform')`)
		})
		b.Reload()
	}
	b.Wait(ready)
	if sc.then != nil {
		sc.then(b)
		b.Wait(ready)
	}
}

// jump takes the one recovery to the step of the scene; press presses the button for
// results that need the browser's key.
func (w *walk) jump(sc scene, press func()) {
	id := w.only()
	w.edit(id, func(r *walked) {
		r.Action, r.Secret, r.Step = sc.action, sc.action == protocol.ActionPassword, sc.step
		r.Proven = sc.step != flow.StepChoose && sc.step != flow.StepProve
		r.Ask = flow.Ask{Method: policy.MailCode, Form: policy.FormCode, Open: true}
		if sc.step == flow.StepDone {
			r.Step = flow.StepReady
		}
	})
	if sc.step == flow.StepDone {
		press()
	}
	if sc.edit != nil {
		w.edit(id, sc.edit)
	}
}

// Axe is asked about every page and state, in both languages and colour schemes by
// turns, and each is laid out 320 pixels wide. SCREENSHOTS=dir keeps pictures, in German.
func TestEveryPageIsAccessibleAndFitsASmallPhone(t *testing.T) {
	g := newRig(t)
	b := testenv.Chromium(t)
	dir := os.Getenv("SCREENSHOTS")
	for i, sc := range scenes() {
		lang := []string{"de", "en"}[i%2]
		if dir != "" {
			lang = "de"
		}
		sc.stage(g, b, lang)
		if b.Eval("document.documentElement.lang") != lang && sc.open == "" {
			t.Errorf("%s: not in %s", sc.name, lang)
		}
		dark := i/2%2 == 1
		b.Dark(dark)
		for _, v := range b.Axe() {
			t.Errorf("%s (dark %v): %s", sc.name, dark, v)
		}
		checkLayout(t, b, sc.name)
		if dir != "" {
			picture(b, dir, sc.name)
		}
	}
}

// checkLayout measures the page on a small phone, from right to left as well.
func checkLayout(t *testing.T, b *testenv.Browser, name string) {
	t.Helper()
	b.Viewport(320, 640)
	for _, dir := range []string{"rtl", "ltr"} {
		b.Eval(fmt.Sprintf("document.dir = %q", dir))
		if wide := b.Eval("document.documentElement.scrollWidth"); wide != "320" {
			t.Errorf("%s (%s): %s pixels wide on a phone of 320", name, dir, wide)
		}
	}
	small := b.Eval(`[...document.querySelectorAll('a.button, button, input:not([type=hidden]):not([type=radio]), .option, summary, .langs a')]
		.filter(e => e.getClientRects().length && e.getBoundingClientRect().height < 43.5).map(e => e.outerHTML.slice(0, 80)).join('; ')`)
	if small != "" {
		t.Errorf("%s: targets smaller than 44 pixels: %s", name, small)
	}
	if texts := b.Eval("document.body.innerText.match(/\\{[a-z]+\\}|[a-z]+\\.[a-z]+\\.[a-z]+/g)?.filter(x => !x.includes('example')).join()"); texts != "undefined" && texts != "" {
		t.Errorf("%s: placeholders or keys in the text: %s", name, texts)
	}
	b.Viewport(1280, 900)
}

// picture takes the page as people meet it.
func picture(b *testenv.Browser, dir, name string) {
	for _, view := range []struct {
		name          string
		width, height int64
	}{{"phone", 360, 740}, {"desk", 1280, 900}} {
		b.Viewport(view.width, view.height)
		for _, dark := range []bool{false, true} {
			b.Dark(dark)
			scheme := map[bool]string{false: "light", true: "dark"}[dark]
			b.Screenshot(filepath.Join(dir, fmt.Sprintf("%s-%s-%s.png", name, view.name, scheme)))
		}
	}
	b.Dark(false)
	b.Viewport(360, 740)
	b.Eval("document.dir = 'rtl'")
	b.Screenshot(filepath.Join(dir, name+"-phone-rtl.png"))
}
