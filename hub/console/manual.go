package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/manual"
)

// Manuals takes what staff say of people whom they know. Errors are those of package manual.
type Manuals interface {
	Sheet(ctx context.Context, env, account string, by manual.Actor) (manual.Sheet, error)
	Verify(ctx context.Context, env, account string, w manual.Word, by manual.Actor) error
	Revoke(ctx context.Context, env, id, reason string, by manual.Actor) error
	Desk
}

// Desk is where recoveries wait for staff.
type Desk interface {
	Waiting(ctx context.Context, env string, by manual.Actor) ([]manual.Request, error)
	Request(ctx context.Context, env, id string, by manual.Actor) (manual.Request, error)
	Decide(ctx context.Context, env, id string, w manual.Word, by manual.Actor) error
	Deny(ctx context.Context, env, id, reason string, by manual.Actor) error
}

// Addresses of the pages: an account, and a recovery that waits, each by environment and id.
const (
	verifyPath  = root + "/verify/{env}/{id}"
	waitingPath = root + "/waiting"
	requestPath = waitingPath + "/{env}/{id}"
)

// byHand is a page of a verification by hand.
type byHand struct {
	Env, Here string // Here: where its forms go, below root
	Sheet     *manual.Sheet
	Request   *manual.Request
	Queues    []waits
	Word      manual.Word
	Ticked    map[string]bool
	Wrong     string // what cannot be taken
	Name      string // of the account, while a passkey is asked for
}

// waits is what waits in one environment.
type waits struct {
	Env, Name string
	Requests  []manual.Request
}

// Checklist is what staff tick.
func (*byHand) Checklist() []string { return manual.Checklist }

// decider is who acts.
func (v *visit) decider() manual.Actor {
	return manual.Actor{ID: v.member.ID, Name: v.member.Name, Role: v.role, Address: v.client(), Device: v.r.UserAgent()}
}

// word is what the form says.
func (v *visit) word() manual.Word {
	return manual.Word{Choice: v.field("choice"), Number: v.field("number"), Seen: v.r.PostForm["seen"], Reason: v.field("reason")}
}

// waiting lists what waits in every environment.
func (v *visit) waiting() {
	ctx, cancel := v.context()
	defer cancel()
	envs, err := store.Get(ctx, v.console.cfg.Store, func(tx *store.Tx) ([]store.Environment, error) { return v.environments(ctx, tx) })
	h := &byHand{}
	for _, e := range envs {
		list, listErr := v.console.cfg.Manuals.Waiting(ctx, e.ID, v.decider())
		err = errors.Join(err, listErr)
		if len(list) > 0 {
			h.Queues = append(h.Queues, waits{e.ID, e.Name, list})
		}
	}
	if err != nil {
		v.fail(err)
		return
	}
	v.showByHand(http.StatusOK, "manual.waiting", h)
}

func (v *visit) showByHand(status int, title string, h *byHand) {
	s := v.screen()
	s.Title, s.SignedIn, s.ByHand = s.T(title), true, h
	h.Ticked = map[string]bool{}
	for _, seen := range h.Word.Seen {
		h.Ticked[seen] = true
	}
	v.show(status, "manual", s)
}

// decides reads, with read, what the address of a page names for whoever is to decide about
// it.
func decides[T any](ctx context.Context, v *visit, read func(ctx context.Context, env, id string, by manual.Actor) (T, error)) (env, id string, about T, err error) {
	if env, id, err = v.named(ctx); err == nil {
		about, err = read(ctx, env, id, v.decider())
	}
	return env, id, about, err
}

func (v *visit) sheet() { v.showSheet(http.StatusOK, "") }

func (v *visit) showSheet(status int, wrong string) {
	ctx, cancel := v.context()
	defer cancel()
	env, id, s, err := decides(ctx, v, v.console.cfg.Manuals.Sheet)
	if err != nil {
		v.fail(err)
		return
	}
	v.showByHand(status, "manual.title", &byHand{Env: env, Here: "verify/" + env + "/" + id, Sheet: &s, Word: v.word(), Wrong: wrong})
}

func (v *visit) request() { v.showRequest(http.StatusOK, "") }

func (v *visit) showRequest(status int, wrong string) {
	ctx, cancel := v.context()
	defer cancel()
	env, id, r, err := decides(ctx, v, v.console.cfg.Manuals.Request)
	if err != nil {
		v.fail(err)
		return
	}
	v.showByHand(status, "manual.request", &byHand{Env: env, Here: "waiting/" + env + "/" + id, Request: &r, Word: v.word(), Wrong: wrong})
}

// about is what a passkey signs: exactly what is decided, about what.
func about(kind, env, id string, w manual.Word) []byte {
	b, _ := json.Marshal(map[string]any{"kind": kind, "env": env, "id": id, "word": w}) // strings only
	return b
}

// A pair is a hidden field.
type pair struct{ Name, Value string }

// askDecision asks for the passkey over what the form says. name is whom it is about.
func (v *visit) askDecision(status int, kind, here, name string, failed bool) {
	ctx, cancel := v.context()
	defer cancel()
	w := v.word()
	state, ask, err := v.console.cfg.Members.Ask(ctx, v.place(), v.org, v.member.ID, about(kind, v.r.PathValue("env"), v.r.PathValue("id"), w))
	if err != nil {
		v.fail(err)
		return
	}
	v.host.SetCookie(v.w, signInCookie, state, ceremonyLife, http.SameSiteStrictMode)
	s := v.screen()
	fields := []pair{{"choice", w.Choice}, {"number", w.Number}, {"reason", w.Reason}}
	for _, seen := range w.Seen {
		fields = append(fields, pair{"seen", seen})
	}
	s.Title, s.SignedIn, s.ByHand = s.T("manual.confirm"), true, &byHand{Name: name, Word: w}
	s.Keys = &keys{Ask: ask, Fields: fields, Post: v.address(root + "/" + here + "/confirm"), Button: s.T("manual.confirm.button"), Failed: failed, Script: v.console.files.Path("key.js")}
	page.Allow(v.w.Header(), "publickey-credentials-get")
	v.show(status, "manualkey", s)
}

// confirmed reports whether the passkey of whoever is signed in signed what the form says.
func (v *visit) confirmed(ctx context.Context, kind, env, id string) error {
	err := v.console.cfg.Members.Confirm(ctx, v.place(), v.org, v.member.ID, v.host.Cookie(v.r, signInCookie), about(kind, env, id, v.word()), []byte(v.field("answer")))
	if err == nil {
		v.host.DropCookie(v.w, signInCookie)
	}
	return err
}

// Kinds of decisions.
const (
	decideAccount = "account"
	decideRequest = "recovery"
)

// verify takes the form of an account's page, and asks for the passkey.
func (v *visit) verify() {
	ctx, cancel := v.context()
	defer cancel()
	env, id, s, err := decides(ctx, v, v.console.cfg.Manuals.Sheet)
	switch {
	case err != nil:
		v.fail(err)
	case !v.says() || v.field("choice") == "":
		v.showSheet(http.StatusUnprocessableEntity, "manual.error")
	default:
		v.askDecision(http.StatusOK, decideAccount, "verify/"+env+"/"+id, s.Account.Name, false)
	}
}

// says reports whether the form has what every decision needs.
func (v *visit) says() bool { return len(v.r.PostForm["seen"]) > 0 && v.field("reason") != "" }

// decideBy has what the form says decided, if the passkey of whoever is signed in signed it.
func (v *visit) decideBy(ctx context.Context, kind string, decide func(ctx context.Context, env, id string, w manual.Word, by manual.Actor) error) (env, id string, err error) {
	if env, id, err = v.named(ctx); err == nil {
		err = v.confirmed(ctx, kind, env, id)
	}
	if err == nil {
		err = decide(ctx, env, id, v.word(), v.decider())
	}
	return env, id, err
}

func (v *visit) confirmVerify() {
	ctx, cancel := v.context()
	defer cancel()
	env, id, err := v.decideBy(ctx, decideAccount, v.console.cfg.Manuals.Verify)
	v.afterDecision(err, decideAccount, "verify/"+env+"/"+id, v.showSheet)
}

// afterDecision goes back to the page, or shows what was wrong.
func (v *visit) afterDecision(err error, kind, here string, form func(status int, wrong string)) {
	switch {
	case errors.Is(err, staff.ErrKey), errors.Is(err, staff.ErrGone):
		v.askDecision(http.StatusForbidden, kind, here, "", true)
	case errors.Is(err, manual.ErrAnswer):
		form(http.StatusUnprocessableEntity, "manual.error")
	case errors.Is(err, manual.ErrNumber):
		form(http.StatusUnprocessableEntity, "manual.error.number")
	case err != nil:
		v.fail(err)
	case kind == decideRequest:
		v.see(waitingPath)
	default:
		v.see(root + "/" + here)
	}
}

// decideRequest takes the form of a recovery that waits, and asks for the passkey.
func (v *visit) decideRequest() {
	ctx, cancel := v.context()
	defer cancel()
	env, id, r, err := decides(ctx, v, v.console.cfg.Manuals.Request)
	switch {
	case err != nil:
		v.fail(err)
	case !v.says() || v.field("number") == "":
		v.showRequest(http.StatusUnprocessableEntity, "manual.error")
	default:
		v.askDecision(http.StatusOK, decideRequest, "waiting/"+env+"/"+id, r.Name, false)
	}
}

func (v *visit) confirmRequest() {
	ctx, cancel := v.context()
	defer cancel()
	env, id, err := v.decideBy(ctx, decideRequest, v.console.cfg.Manuals.Decide)
	v.afterDecision(err, decideRequest, "waiting/"+env+"/"+id, v.showRequest)
}

// denyRequest says that it is somebody else. It needs no passkey: it opens nothing.
func (v *visit) denyRequest() {
	ctx, cancel := v.context()
	defer cancel()
	env, id, err := v.named(ctx)
	if err == nil {
		err = v.console.cfg.Manuals.Deny(ctx, env, id, v.field("reason"), v.decider())
	}
	v.afterDecision(err, decideRequest, "waiting/"+env+"/"+id, v.showRequest)
}

// revokeManual takes a verification back. It needs no passkey either.
func (v *visit) revokeManual() {
	ctx, cancel := v.context()
	defer cancel()
	env, id, err := v.named(ctx)
	if err == nil {
		err = v.console.cfg.Manuals.Revoke(ctx, env, v.field("verification"), v.field("reason"), v.decider())
	}
	if errors.Is(err, manual.ErrGone) { // somebody was faster
		err = nil
	}
	v.afterDecision(err, decideAccount, "verify/"+env+"/"+id, v.showSheet)
}
