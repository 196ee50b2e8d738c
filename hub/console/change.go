package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Acts carries out what administrators ask of an account beside recovery.
type Acts interface {
	// ForeseeAct says what an order would change, and changes nothing.
	ForeseeAct(ctx context.Context, q operation.ActOrder) (operation.ActResult, error)
	// Act carries an order out, once.
	Act(ctx context.Context, q operation.ActOrder) (operation.ActResult, error)
}

// changePath is the page on which an account is changed in its directory.
const changePath = root + "/change/{env}/{id}"

// A changePage is the page of one account's operations.
type changePage struct {
	Env, Here string // Here: where its forms go, below root
	Account   store.Account
	Place     string // name of the directory
	Offered   []protocol.ActRow
	Past      []pastChange
	Order     changeOrder
	Seen      *operation.ActResult // of a dry run, or of what was carried out
	Wrong     string               // what cannot be taken
}

// A pastChange is one operation that was carried out or tried, or waits.
type pastChange struct {
	operation.PastOrder
	What string // its name in the words of the page
}

// A changeOrder is what the form says.
type changeOrder struct {
	Operation protocol.Operation `json:"operation"`
	Group     string             `json:"group"`
	Attribute string             `json:"attribute"`
	Values    string             `json:"values"` // one on each line
}

func (v *visit) changeOrder() changeOrder {
	var values []string
	for line := range strings.Lines(v.r.PostForm.Get("values")) { // without what a form adds
		if line = strings.TrimSpace(line); line != "" {
			values = append(values, line)
		}
	}
	return changeOrder{protocol.Operation(v.field("operation")), v.field("group"), v.field("attribute"), strings.Join(values, "\n")}
}

// lines are the values.
func (o changeOrder) lines() []string {
	return strings.FieldsFunc(o.Values, func(c rune) bool { return c == '\n' })
}

// task is the order as agents know it; ok is false where it cannot be one.
func (o changeOrder) task() (t protocol.Task, values *protocol.AttributeValues, ok bool) {
	row, known := protocol.ActByName(o.Operation)
	value := map[string]string{protocol.ParamGroup: o.Group, protocol.ParamAttribute: o.Attribute}[row.Param]
	t, fits := row.Task(value)
	if !known || !fits || row.Valued && !protocol.AttributeName(value) {
		return t, nil, false
	}
	if row.Valued {
		v := protocol.NewAttributeValues(o.lines())
		if v.Check() != nil {
			return t, nil, false
		}
		t, values = t.With(v), &v
	}
	_, err := protocol.ParseTasks(t.String())
	return t, values, err == nil
}

// mayChange reports whether whoever is signed in may change accounts: with a passkey, and
// after the time in which somebody new decides nothing. It says so if not.
func (v *visit) mayChange() bool {
	switch {
	case v.member.ID == "":
		v.message(http.StatusForbidden, "change.title", "change.nokey")
	case !v.member.Decides(v.console.cfg.Store.Now()):
		v.message(http.StatusForbidden, "change.title", "change.new")
	default:
		return true
	}
	return false
}

// changing reads the account that the page is about.
func (v *visit) changing(ctx context.Context) (*changePage, error) {
	env, id, err := v.named(ctx)
	if err != nil {
		return nil, err
	}
	return store.Get(ctx, v.console.cfg.Store, func(tx *store.Tx) (*changePage, error) {
		p := &changePage{Env: env, Here: "change/" + env + "/" + id, Order: v.changeOrder()}
		if p.Account, err = tx.Account(ctx, env, id); err != nil {
			return nil, err
		}
		d, err := tx.Directory(ctx, env, p.Account.Directory)
		if err != nil {
			return nil, err
		}
		p.Place = nameOf(d)
		for _, row := range protocol.Acts {
			if *row.Has(&d.Traits) && (!row.Final || v.role == staff.Owner) {
				p.Offered = append(p.Offered, row)
			}
		}
		acts, err := operation.Past(ctx, tx, env, p.Account.ID)
		for _, a := range acts {
			p.Past = append(p.Past, pastChange{a, v.words.T("change.op." + name(a.Operation))})
		}
		return p, err
	})
}

// name is that of a canonical operation.
func name(operation string) string {
	before, _, _ := strings.Cut(operation, "?")
	return before
}

// change shows the page.
func (v *visit) change() {
	ctx, cancel := v.context()
	defer cancel()
	p, err := v.changing(ctx)
	if err != nil {
		v.fail(err)
		return
	}
	v.showChange(http.StatusOK, p)
}

func (v *visit) showChange(status int, p *changePage) {
	s := v.screen()
	s.Title, s.SignedIn, s.Change = s.T("change.title"), true, p
	v.show(status, "change", s)
}

// order asks the agent about what the form says, and writes down that somebody did.
func (v *visit) order(ctx context.Context, p *changePage, dry bool) (operation.ActResult, error) {
	task, values, ok := p.Order.task()
	if !ok {
		return operation.ActResult{}, errOrder
	}
	err := audit.Write(ctx, v.console.cfg.Store, audit.Event{Env: p.Env, Kind: audit.OperationOrdered, Account: p.Account.ID, Actor: v.actor(), RemoteAddr: v.client(), UserAgent: v.r.UserAgent(),
		Detail: map[string]any{"operation": task.String(), "directory": p.Account.Directory, "dry_run": dry}})
	if err != nil {
		return operation.ActResult{}, err
	}
	do := v.console.cfg.Acts.Act
	if dry {
		do = v.console.cfg.Acts.ForeseeAct
	}
	return do(ctx, operation.ActOrder{Account: p.Account, Task: task, Values: values, Origin: v.host.Origin, Actor: v.actor(), People: []string{v.member.ID}})
}

var errOrder = errors.New("console: the form asks for nothing that can be done")

// changeable is the form of somebody who may order what it says; false: the answer was given.
func (v *visit) changeable(ctx context.Context) (*changePage, bool) {
	p, err := v.changing(ctx)
	if err != nil {
		v.fail(err)
		return nil, false
	}
	return p, v.mayChange()
}

// foresee takes the form: it shows what the agent says would happen, and asks for the
// passkey over it.
func (v *visit) foresee() {
	ctx, cancel := v.context()
	defer cancel()
	p, may := v.changeable(ctx)
	if !may {
		return
	}
	r, err := v.order(ctx, p, true)
	if err != nil {
		v.notChanged(p, err)
		return
	}
	if p.Seen = &r; r.Refusal != nil {
		v.showChange(http.StatusConflict, p)
		return
	}
	v.askChange(ctx, http.StatusOK, p, false)
}

// notChanged says on the page why nothing was asked of the agent.
func (v *visit) notChanged(p *changePage, err error) {
	words, status, known := whyNotChanged(err)
	if !known {
		v.fail(err)
		return
	}
	p.Wrong = words
	v.showChange(status, p)
}

// whyNotChanged are the words for an error of the way to the agent.
func whyNotChanged(err error) (words string, status int, known bool) {
	switch code := protocol.CodeOf(err); {
	case errors.Is(err, errOrder):
		return "change.error.form", http.StatusUnprocessableEntity, true
	case errors.Is(err, operation.ErrOwner):
		return "change.error.owner", http.StatusForbidden, true
	case code == protocol.CodeInternal:
		return "", 0, false
	case code == protocol.CodeAccountNotFound:
		return "change.error.gone", http.StatusConflict, true
	case code == protocol.CodeUnsupported || code == protocol.CodeBadRequest:
		return "change.error.unsupported", http.StatusConflict, true
	}
	return "change.error.away", http.StatusServiceUnavailable, true
}

// aboutChange is what a passkey signs: exactly what is ordered, of whom.
func aboutChange(p *changePage) []byte {
	b, _ := json.Marshal(map[string]any{"kind": "change", "env": p.Env, "account": p.Account.ID, "order": p.Order}) // strings only
	return b
}

func (v *visit) askChange(ctx context.Context, status int, p *changePage, failed bool) {
	state, ask, err := v.console.cfg.Members.Ask(ctx, v.place(), v.org, v.member.ID, aboutChange(p))
	if err != nil {
		v.fail(err)
		return
	}
	v.host.SetCookie(v.w, signInCookie, state, ceremonyLife, http.SameSiteStrictMode)
	s := v.screen()
	s.Title, s.SignedIn, s.Change = s.T("change.confirm"), true, p
	s.Keys = &keys{Ask: ask, Fields: []pair{{"operation", string(p.Order.Operation)}, {"group", p.Order.Group}, {"attribute", p.Order.Attribute}, {"values", p.Order.Values}},
		Post: v.address(root + "/" + p.Here + "/confirm"), Button: s.T("change.confirm.button"), Failed: failed, Script: v.console.files.Path("key.js")}
	page.Allow(v.w.Header(), "publickey-credentials-get")
	v.show(status, "changekey", s)
}

// confirmChange takes the passkey's answer and carries the order out.
func (v *visit) confirmChange() {
	ctx, cancel := v.context()
	defer cancel()
	p, may := v.changeable(ctx)
	if !may {
		return
	}
	err := v.console.cfg.Members.Confirm(ctx, v.place(), v.org, v.member.ID, v.host.Cookie(v.r, signInCookie), aboutChange(p), []byte(v.field("answer")))
	if errors.Is(err, staff.ErrKey) || errors.Is(err, staff.ErrGone) {
		v.askChange(ctx, http.StatusForbidden, p, true)
		return
	}
	if err != nil {
		v.fail(err)
		return
	}
	v.host.DropCookie(v.w, signInCookie)
	v.carriedOut(v.order(ctx, p, false))
}

// carriedOut shows what became of an order, and the list with it. The agent may have taken
// all the time that the page had.
func (v *visit) carriedOut(r operation.ActResult, problem error) {
	ctx, cancel := v.context()
	defer cancel()
	p, err := v.changing(ctx)
	switch {
	case err != nil:
		v.fail(err)
	case problem != nil:
		v.notChanged(p, problem)
	default:
		p.Order, p.Seen = changeOrder{}, &r
		v.showChange(http.StatusOK, p)
	}
}

// Lines are the values of the order.
func (p *changePage) Lines() []string { return p.Order.lines() }

// Difference says what changes. Words of the agent stand as they are.
func (s *screen) Difference(d protocol.Difference) string {
	word := func(text string) string {
		switch text {
		case "":
			return s.T("change.nothing")
		case "true":
			return s.T("change.yes")
		case "false":
			return s.T("change.no")
		}
		return text
	}
	if !s.Has("change.what." + string(d.What)) {
		return string(d.What) + ": " + word(d.Before) + " → " + word(d.After)
	}
	return s.T("change.what."+string(d.What), "before", word(d.Before), "after", word(d.After))
}

// Buttons are the offered operations that need nothing else; groups and attributes have a
// form of their own.
func (p *changePage) Buttons() []protocol.ActRow { return p.rows("") }

// Grouped are the offered operations that need a group.
func (p *changePage) Grouped() []protocol.ActRow { return p.rows(protocol.ParamGroup) }

// Valued are those that need an attribute and values.
func (p *changePage) Valued() []protocol.ActRow { return p.rows(protocol.ParamAttribute) }

func (p *changePage) rows(param string) []protocol.ActRow {
	return slices.DeleteFunc(slices.Clone(p.Offered), func(r protocol.ActRow) bool { return r.Param != param })
}

// Outcome is the word for what became of the order; "": it was a dry run.
func (p *changePage) Outcome() string {
	switch {
	case p.Seen == nil:
		return ""
	case p.Seen.Refusal != nil:
		return "refused"
	}
	return p.Seen.State
}

// Why is the reason in words of the agent, or its code.
func (p *changePage) Why() string {
	switch {
	case p.Seen.Refusal != nil && p.Seen.Refusal.Message != "":
		return p.Seen.Refusal.Message
	case p.Seen.Refusal != nil:
		return string(p.Seen.Refusal.Code)
	}
	return string(p.Seen.Code)
}

// Done reports whether it happened.
func (p *changePage) Done() bool {
	return slices.Contains([]string{"done", "evaluated", operation.Waiting}, p.Outcome())
}
