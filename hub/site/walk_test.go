package site

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"slices"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/seal"
)

// A walk walks recoveries through their real steps in memory, so that pages can be seen
// in every state without agents and mail. The product's own machine is tested elsewhere.
type walk struct {
	mu       sync.Mutex
	offer    flow.Offer
	secret   protocol.Secret
	outcome  func(*walked)     // what an operation ends in; nil: done
	hold     chan struct{}     // an operation waits for it; nil: none does
	fail     error             // every call fails with it
	known    map[string]string // address → name
	all      map[string]*walked
	performs int
	methods  []flow.MethodChoice // offered after the choice; nil: a code by mail at once
	notMe    map[string]*operation.Objection
	admit    func(flow.Start) error
}

type walked struct {
	flow.View
	session, address string
	known            bool
	language         string
}

const rightCode = "27182818"

func newWalk() *walk {
	w := &walk{}
	w.reset()
	return w
}

// reset forgets everything.
func (w *walk) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := []protocol.Action{protocol.ActionPassword, protocol.ActionUnlock, protocol.ActionMFA}
	w.offer = flow.Offer{Actions: all, Directories: []flow.DirectoryChoice{{ID: "11111111-1111-4111-8111-111111111111", Name: "Office", Actions: all}}}
	w.secret = protocol.NewSecret("Moos-Falke-47!Tuch")
	w.known = map[string]string{"ada@acme.example": "Ada Lovelace"}
	w.all, w.notMe, w.fail = map[string]*walked{}, map[string]*operation.Objection{}, nil
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

func (w *walk) Start(_ context.Context, s flow.Start) (string, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return "", "", w.fail
	}
	if w.admit != nil {
		if err := w.admit(s); err != nil {
			return "", "", err
		}
	}
	name, known := w.known[s.Address]
	if s.Address == "no address" {
		return "", "", recovery.ErrAddress
	}
	r := &walked{session: random(32), address: s.Address, known: known, language: s.Language}
	r.View = flow.View{
		ID: random(16), Step: flow.StepChoose, Flow: s.Intent.Flow, Language: s.Language, ExpiresAt: time.Now().Add(15 * time.Minute),
		Directories: w.offer.Directories, Actions: w.offer.Actions, Account: name,
		Code: flow.CodeView{TriesLeft: 5, SendsLeft: 2, ResendAt: time.Now().Add(30 * time.Second)},
	}
	if w.offer.Unavailable {
		r.Problem = recovery.ProblemUnavailable
	}
	w.all[r.ID] = r
	return r.ID, r.session, nil
}

// of returns the recovery of the session, locked until free is called.
func (w *walk) of(_, id, session string, step ...flow.Step) (r *walked, free func(), err error) {
	w.mu.Lock()
	if w.fail != nil {
		err = w.fail
	} else if r = w.all[id]; r == nil || r.session != session {
		err = recovery.ErrNotFound
	} else if len(step) > 0 && r.Step != step[0] {
		err = recovery.ErrStep
	}
	if err != nil {
		w.mu.Unlock()
		return nil, nil, err
	}
	return r, w.mu.Unlock, nil
}

func (w *walk) View(_ context.Context, env, id, session string) (flow.View, error) {
	r, free, err := w.of(env, id, session)
	if err != nil {
		return flow.View{}, err
	}
	defer free()
	v := r.View
	if !v.Proven {
		v.Account = ""
	}
	return v, nil
}

func (w *walk) Choose(_ context.Context, env, id, session, _ string, a protocol.Action) error {
	r, free, err := w.of(env, id, session, flow.StepChoose)
	if err != nil {
		return err
	}
	defer free()
	r.Action, r.Step, r.Secret = a, flow.StepProve, a == protocol.ActionPassword
	r.Ask = flow.Ask{Method: policy.MailCode, Form: policy.FormCode, Open: true, Since: time.Now()}
	r.Methods = []flow.MethodChoice{{Method: policy.MailCode, Form: policy.FormCode, Asked: true}}
	if len(w.methods) > 0 {
		r.Step, r.Ask, r.Methods = flow.StepMethod, flow.Ask{}, slices.Clone(w.methods)
	}
	return nil
}

func (w *walk) Answer(_ context.Context, env, id, session, code string) error {
	r, free, err := w.of(env, id, session, flow.StepProve)
	if err != nil {
		return err
	}
	defer free()
	if r.Code.TriesLeft == 0 {
		return recovery.ErrTooMany
	}
	if !r.known || code != rightCode {
		if r.Code.TriesLeft--; r.Code.TriesLeft == 0 {
			r.Code.LockedTill = time.Now().Add(time.Hour)
			return recovery.ErrTooMany
		}
		return recovery.ErrWrongCode
	}
	r.Step, r.Proven = flow.StepReady, true
	return nil
}

func (w *walk) ChooseMethod(_ context.Context, env, id, session, method string, recipient []byte) error {
	r, free, err := w.of(env, id, session)
	if err != nil {
		return err
	}
	defer free()
	for i := range r.Methods {
		m := &r.Methods[i]
		if m.Asked = string(m.Method) == method; !m.Asked {
			continue
		}
		if _, err := seal.ParseRecipient(recipient); m.Bound && err != nil {
			return recovery.ErrRecipient
		}
		r.Step, r.Ask = flow.StepProve, flow.Ask{Method: m.Method, Form: m.Form, Open: true, Since: time.Now()}
	}
	return nil
}

const phoneTicket = "AAAAAAAAAAAAAAAAAAAAAA"

func (w *walk) HandOver(_ context.Context, env, id, session string) (flow.Handover, error) {
	_, free, err := w.of(env, id, session)
	if err != nil {
		return flow.Handover{}, err
	}
	defer free()
	return flow.Handover{Ticket: protocol.NewSecret(phoneTicket), Until: time.Now().Add(2 * time.Minute)}, nil
}

func (w *walk) Claim(_ context.Context, _, ticket string, _ recovery.Client) (string, string, error) {
	id := w.only()
	if ticket != phoneTicket || id == "" {
		return "", "", recovery.ErrNotFound
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return id, w.all[id].session, nil
}

func (w *walk) BegunBy(_ context.Context, env, id, session string) (flow.Begun, error) {
	r, free, err := w.of(env, id, session)
	if err != nil {
		return flow.Begun{}, err
	}
	defer free()
	return flow.Begun{Directory: "Office", Action: r.Action, UserAgent: "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0", At: time.Now(), Address: "a•••@acme.example", Code: phoneCode}, nil
}

const phoneCode = "314159"

func (w *walk) Confirm(_ context.Context, env, id, session, code string) error {
	r, free, err := w.of(env, id, session)
	if err != nil {
		return err
	}
	defer free()
	if code != phoneCode {
		return recovery.ErrWrongCode
	}
	r.Claimed, r.Step = false, flow.StepElsewhere
	return nil
}

func (w *walk) RefuseClaim(_ context.Context, env, id, session string) error {
	r, free, err := w.of(env, id, session)
	if err != nil {
		return err
	}
	defer free()
	r.Claimed = false
	return nil
}

func (w *walk) Disown(ctx context.Context, env, id, session string) error {
	return w.Cancel(ctx, env, id, session)
}

func (w *walk) Resend(_ context.Context, env, id, session string) error {
	r, free, err := w.of(env, id, session, flow.StepProve)
	if err != nil {
		return err
	}
	defer free()
	if time.Now().Before(r.Code.ResendAt) {
		return recovery.ErrTooSoon
	}
	r.Code.SendsLeft--
	r.Code.ResendAt = time.Now().Add(30 * time.Second)
	return nil
}

func (w *walk) Perform(_ context.Context, env, id, session string, recipient []byte) error {
	r, free, err := w.of(env, id, session, flow.StepReady)
	if err != nil {
		return err
	}
	if r.Secret {
		if _, err := seal.ParseRecipient(recipient); err != nil {
			free()
			return recovery.ErrRecipient
		}
	}
	r.Step, r.Since = flow.StepPerforming, time.Now()
	w.performs++
	hold := w.hold
	free()
	if hold != nil {
		<-hold
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r.Step, r.MustChange = flow.StepDone, true
	if r.Secret {
		r.Context = protocol.Members{Recovery: id, Recipient: recipient}.Context()
		r.Sealed, err = seal.Seal(recipient, r.Context, w.secret)
	}
	if w.outcome != nil {
		w.outcome(r)
	}
	return err
}

func (w *walk) Acknowledge(_ context.Context, env, id, session string) error {
	r, free, err := w.of(env, id, session, flow.StepDone)
	if err != nil {
		return err
	}
	defer free()
	r.Step, r.Ended, r.Sealed = flow.StepEnded, recovery.EndAcknowledged, nil
	return nil
}

func (w *walk) Cancel(_ context.Context, env, id, session string) error {
	r, free, err := w.of(env, id, session)
	if err != nil {
		return err
	}
	defer free()
	r.Step, r.Ended = flow.StepEnded, recovery.EndCancelled
	return nil
}

func (w *walk) Offered(context.Context, string) (flow.Offer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.offer, w.fail
}

func (w *walk) NotMeView(_ context.Context, _, token string) (operation.Objection, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.notMe[token] == nil {
		return operation.Objection{}, recovery.ErrNotFound
	}
	return *w.notMe[token], w.fail
}

func (w *walk) NotMe(ctx context.Context, env, token string) (operation.Objection, error) {
	w.mu.Lock()
	if o := w.notMe[token]; o != nil {
		o.Used, o.BlockedUntil = true, time.Now().Add(24*time.Hour)
	}
	w.mu.Unlock()
	return w.NotMeView(ctx, env, token)
}

// edit changes a recovery behind the page's back.
func (w *walk) edit(id string, change func(*walked)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w.all[id])
}

// only returns the id of the one recovery there is.
func (w *walk) only() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.all {
		return id
	}
	return ""
}

// The product's machine offers what the site asks for.
var (
	_ Recoveries = (*flow.Recoveries)(nil)
	_ Handovers  = (*flow.Recoveries)(nil)
	_ Proofs     = (*flow.Recoveries)(nil)
	_ Changes    = (*operation.Operations)(nil)
	_ Notices    = (*operation.Operations)(nil)
)
