package console

import (
	"context"
	"encoding/csv"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/evaluation"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Evaluations says who of a directory could recover today.
type Evaluations interface {
	Start(ctx context.Context, tx *store.Tx, env, directory string, s evaluation.Scope, by string) (evaluation.Run, error)
	Cancel(ctx context.Context, tx *store.Tx, env, id string) error
	List(ctx context.Context, tx *store.Tx, env, directory string) ([]evaluation.Run, error)
	Accounts(ctx context.Context, tx *store.Tx, env, id string, f store.EvaluationFilter) ([]evaluation.Account, error)
	Wake()
}

// evaluationPath is the page of one directory: "?env=…&directory=…".
const evaluationPath = root + "/evaluation"

// evaluated is what the page shows.
type evaluated struct {
	Env       string
	Directory store.Directory
	Name      string
	Run       *evaluation.Run // the latest; nil: there was none
	Reasons   []counted       // by number, those that stop somebody first
	Actions   []counted
	Groups    []grouped
	Accounts  []evaluation.Account
	Reason    string // filter
	More      string // where the next accounts begin
	Wrong     string // key of what was wrong with the form
}

type counted struct {
	Key string
	N   int
}

type grouped struct {
	Name          string
	Accounts, All int
}

// Counted returns how many accounts the report is about: those of a group that only the
// agent knows are fewer than were looked at.
func (e evaluated) Counted() int {
	if e.Run == nil {
		return 0
	}
	return e.Run.Totals.All + e.Run.Totals.Some + e.Run.Totals.None
}

// Share returns how many of a hundred accounts could have everything.
func (e evaluated) Share() int {
	n := e.Counted()
	if n == 0 {
		return 0
	}
	return 100 * e.Run.Totals.All / n
}

// at returns the address of the page with other parameters, in the page's language.
func (e evaluated) at(v *visit, path string, more ...string) string {
	q := url.Values{"env": {e.Env}, "directory": {e.Directory.ID}}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] != "" {
			q.Set(more[i], more[i+1])
		}
	}
	if v.lang != "" {
		q.Set("lang", v.lang)
	}
	return path + "?" + q.Encode()
}

// pageOfAccounts is how many accounts a page lists.
const pageOfAccounts = 50

// evaluation shows the page.
func (v *visit) evaluation() {
	q := v.r.URL.Query()
	v.showEvaluation(http.StatusOK, q.Get("env"), q.Get("directory"), q.Get("reason"), q.Get("after"), "")
}

func (v *visit) showEvaluation(status int, env, directory, reason, after, wrong string) {
	ctx, cancel := v.context()
	defer cancel()
	e, err := v.readEvaluation(ctx, env, directory, store.EvaluationFilter{Reason: known(reason), After: after, Count: pageOfAccounts})
	if err != nil {
		v.fail(err)
		return
	}
	e.Wrong = wrong
	s := v.screen()
	s.Title, s.Evaluated, s.SignedIn = s.T("console.evaluation.title", "directory", e.Name), e, true
	v.show(status, "evaluation", s)
}

// known drops a reason that is none: what stands in an address is never looked up.
func known(reason string) string {
	if !slices.Contains(evaluation.Reasons(), protocol.Reason(reason)) {
		return ""
	}
	return reason
}

func (v *visit) readEvaluation(ctx context.Context, env, directory string, f store.EvaluationFilter) (*evaluated, error) {
	if err := v.owns(ctx, env); err != nil {
		return nil, err
	}
	e := &evaluated{Env: env, Reason: f.Reason}
	err := v.console.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if e.Directory, err = tx.Directory(ctx, env, directory); err != nil {
			return err
		}
		runs, err := v.console.cfg.Evaluations.List(ctx, tx, env, directory)
		if err != nil || len(runs) == 0 {
			return err
		}
		e.Run = &runs[0]
		e.Accounts, err = v.console.cfg.Evaluations.Accounts(ctx, tx, env, e.Run.ID, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	e.Name = nameOf(e.Directory)
	if len(e.Accounts) == f.Count {
		e.More = e.Accounts[len(e.Accounts)-1].ID
	}
	if e.Run != nil {
		e.sum(e.Run.Totals)
	}
	return e, nil
}

// sum puts totals into the order in which people read them.
func (e *evaluated) sum(t evaluation.Totals) {
	for _, r := range evaluation.Reasons() {
		if n := t.Reasons[r]; n > 0 {
			e.Reasons = append(e.Reasons, counted{string(r), n})
		}
	}
	slices.SortStableFunc(e.Reasons, func(a, b counted) int {
		if x, y := protocol.Reason(a.Key).Note(), protocol.Reason(b.Key).Note(); x != y {
			return map[bool]int{false: -1, true: 1}[x]
		}
		return b.N - a.N
	})
	for _, row := range protocol.Actions {
		if n, offered := t.Actions[row.Action]; offered {
			e.Actions = append(e.Actions, counted{string(row.Action), n})
		}
	}
	for name, g := range t.Groups {
		e.Groups = append(e.Groups, grouped{name, g.Accounts, g.All})
	}
	slices.SortFunc(e.Groups, func(a, b grouped) int { return strings.Compare(a.Name, b.Name) })
}

// evaluate begins a run.
func (v *visit) evaluate() {
	ctx, cancel := v.context()
	defer cancel()
	env, directory := v.field("env"), v.field("directory")
	if err := v.owns(ctx, env); err != nil {
		v.fail(err)
		return
	}
	scope := evaluation.Scope{Group: strings.TrimSpace(v.field("group")), Accounts: strings.Fields(v.field("accounts"))}
	err := v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		if err = scope.Check(); err != nil {
			return errScope
		}
		run, err := v.console.cfg.Evaluations.Start(ctx, tx, env, directory, scope, v.member.ID)
		if err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{Env: env, Kind: audit.EvaluationStarted, Actor: v.actor(),
			Detail: map[string]any{"evaluation": run.ID, "directory": directory, "accounts": len(scope.Accounts), "group": scope.Group}})
	})
	switch {
	case errors.Is(err, errScope), errors.Is(err, evaluation.ErrGroup):
		v.showEvaluation(http.StatusUnprocessableEntity, env, directory, "", "", "console.evaluation.wrong")
	case errors.Is(err, evaluation.ErrRunning), errors.Is(err, evaluation.ErrOff):
		v.toEvaluation(env, directory) // the page says how it stands
	case err != nil:
		v.fail(err)
	default:
		v.console.cfg.Evaluations.Wake()
		v.toEvaluation(env, directory)
	}
}

// errScope says that the form names nobody who could be looked at.
var errScope = errors.New("console: not a group or a list of accounts")

func (v *visit) toEvaluation(env, directory string) {
	v.w.Header().Set("Location", evaluated{Env: env, Directory: store.Directory{ID: directory}}.at(v, evaluationPath))
	v.w.WriteHeader(http.StatusSeeOther)
}

// cancelEvaluation ends the run that the form names.
func (v *visit) cancelEvaluation() {
	ctx, cancel := v.context()
	defer cancel()
	env, directory, run := v.field("env"), v.field("directory"), v.field("run")
	err := v.owns(ctx, env)
	if err == nil {
		err = v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
			return errors.Join(v.console.cfg.Evaluations.Cancel(ctx, tx, env, run), audit.Append(ctx, tx, audit.Event{Env: env, Kind: audit.EvaluationEnded, Actor: v.actor(),
				Detail: map[string]any{"evaluation": run, "directory": directory}}))
		})
	}
	if err != nil && !errors.Is(err, store.ErrConflict) { // it went on meanwhile: the page shows how it stands
		v.fail(err)
		return
	}
	v.toEvaluation(env, directory)
}

// csvTime bounds the writing of a report of a large directory.
const csvTime = time.Minute

// evaluationCSV gives the latest run as a file for spreadsheets.
func (v *visit) evaluationCSV() {
	ctx, cancel := context.WithTimeout(v.r.Context(), csvTime)
	defer cancel()
	q := v.r.URL.Query()
	f := store.EvaluationFilter{Reason: known(q.Get("reason")), Count: store.MaxAccounts}
	e, err := v.readEvaluation(ctx, q.Get("env"), q.Get("directory"), f)
	if err == nil && e.Run == nil {
		err = errNoPage
	}
	if err != nil {
		v.fail(err)
		return
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="evaluation.csv"`)
	h.Set("Cache-Control", "no-store")
	out := csv.NewWriter(v.w)
	defer out.Flush()
	_ = out.Write([]string{"account", "ids", "name", "could", "reasons", "notes", "groups"}) // a reader that is gone reads no more
	for {
		for _, a := range e.Accounts {
			_ = out.Write(cells(a))
		}
		if e.More == "" {
			return
		}
		f.After = e.More
		if e, err = v.readEvaluation(ctx, q.Get("env"), q.Get("directory"), f); err != nil {
			v.console.cfg.Log.Error("a report broke off", "error", err)
			return
		}
	}
}

// cells is one line of the file. What a directory holds must not become a formula.
func cells(a evaluation.Account) []string {
	line := []string{a.ImmutableID, strings.Join(a.Identifiers, " "), a.Name, []string{"nothing", "some", "all"}[a.Could], words(a.Reasons), words(a.Notes), strings.Join(a.Groups, "; ")}
	for i, cell := range line {
		line[i] = evaluation.Cell(cell)
	}
	return line
}

func words(list []protocol.Reason) string {
	all := make([]string, len(list))
	for i, r := range list {
		all[i] = string(r)
	}
	return strings.Join(all, " ")
}
