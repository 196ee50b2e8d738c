package evaluation

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Reasons that the hub finds itself; those of agents are in protocol.
const (
	ReasonNotPermitted  protocol.Reason = "not_permitted"   // the policy grants it to nobody of this person's groups
	ReasonNoMethods     protocol.Reason = "no_methods"      // no combination of methods is accepted
	ReasonMethodOff     protocol.Reason = "method_off"      // the method is not set up in this environment
	ReasonNoApp         protocol.Reason = "no_app"          // no authenticator app
	ReasonNoSavedCodes  protocol.Reason = "no_saved_codes"  // no sheet of codes
	ReasonCommonName    protocol.Reason = "common_name"     // somebody else bears the name, or it is on the list
	ReasonUnmatchable   protocol.Reason = "unmatchable"     // the name has no letters that documents are compared by
	ReasonNoPhoto       protocol.Reason = "no_photo"        // the policy asks for a photo, and there is none
	ReasonNoDomain      protocol.Reason = "no_domain"       // the environment has no proven recovery domain
	ReasonMethodUnknown protocol.Reason = "method_unusable" // the method cannot be used, for another reason
)

// Reasons lists every reason that a report can give, those of accounts first.
func Reasons() []protocol.Reason {
	return []protocol.Reason{
		protocol.ReasonAdministrator, protocol.ReasonAgentAccount, protocol.ReasonDisabled, protocol.ReasonExpired, protocol.ReasonOutside,
		protocol.ReasonOperationOff, protocol.ReasonRefusedGroup, protocol.ReasonNoNotice, protocol.ReasonNoEvidence, protocol.ReasonRights,
		protocol.ReasonSmartcard, protocol.ReasonCannotChange, protocol.ReasonAdminLock, protocol.ReasonPasswordPolicy, protocol.ReasonState,
		protocol.ReasonUnsupported, protocol.ReasonGone, protocol.ReasonLimit, protocol.ReasonUnreadable,
		protocol.ReasonNeverExpires, protocol.ReasonNotLocked, protocol.ReasonNothing,
		ReasonNotPermitted, ReasonNoMethods, ReasonNoDomain,
		protocol.ReasonNoMail, protocol.ReasonNoPhone, protocol.ReasonYoung, protocol.ReasonNoMailRoute, protocol.ReasonNoPasskey, protocol.ReasonNoName,
		protocol.ReasonNoBirthDate, protocol.ReasonNoIssuer, protocol.ReasonFewApprovers,
		ReasonMethodOff, ReasonNoApp, ReasonNoSavedCodes, ReasonCommonName, ReasonUnmatchable, ReasonNoPhoto, ReasonMethodUnknown,
	}
}

// A Scope says whom a run looks at; the zero value is everybody.
type Scope struct {
	Group    string   `json:"group,omitempty"`    // name or immutable id
	Accounts []string `json:"accounts,omitempty"` // identifiers
	// Live says that the hub does not know who is in the group: the agent says it of each
	// account, and the others are left out.
	Live bool `json:"live,omitempty"`
}

// maxListed bounds the accounts that a scope names.
const maxListed = 1000

// maxScopeWord bounds a group or an identifier, in bytes.
const maxScopeWord = 1024

// Check reports what an administrator must mend.
func (s Scope) Check() error {
	switch {
	case s.Group != "" && len(s.Accounts) > 0:
		return fmt.Errorf("evaluation: give a group or accounts, not both")
	case len(s.Accounts) > maxListed:
		return fmt.Errorf("evaluation: at most %d accounts", maxListed)
	case slices.ContainsFunc(append([]string{s.Group}, s.Accounts...), func(w string) bool { return len(w) > maxScopeWord || strings.ContainsRune(w, 0) }):
		return fmt.Errorf("evaluation: a group or account has at most %d bytes", maxScopeWord)
	case slices.Contains(s.Accounts, ""):
		return fmt.Errorf("evaluation: an empty account")
	}
	return nil
}

// stored is the group that the store knows the members of, "" for none.
func (s Scope) stored() string {
	if s.Live {
		return ""
	}
	return s.Group
}

// everybody reports whether the scope leaves nobody out.
func (s Scope) everybody() bool { return s.Group == "" && len(s.Accounts) == 0 }

// An Account is what a run found about one account.
type Account struct {
	ID          string            `json:"id"` // row id
	ImmutableID string            `json:"immutable_id"`
	Name        string            `json:"name"`
	Identifiers []string          `json:"ids"`
	Groups      []string          `json:"groups,omitempty"`
	Could       int               `json:"could"` // store.CouldNothing …
	Operations  []Operation       `json:"operations"`
	Reasons     []protocol.Reason `json:"reasons,omitempty"` // of everything that could not be
	Notes       []protocol.Reason `json:"notes,omitempty"`   // what stops nothing
}

// An Operation is one thing that a directory offers, for one account.
type Operation struct {
	Action  protocol.Action   `json:"operation"`
	Could   bool              `json:"could"`
	Ways    []Way             `json:"ways,omitempty"`    // combinations that are accepted
	Reasons []protocol.Reason `json:"reasons,omitempty"` // of hub and agent, whatever is proven
}

// A Way is one accepted combination of methods.
type Way struct {
	Methods policy.Combination `json:"methods"`
	Lacks   protocol.Lacks     `json:"lacks,omitempty"` // by method; empty: the person can prove it
}

// Totals sum accounts up.
type Totals struct {
	All     int                     `json:"all"`     // could have everything
	Some    int                     `json:"some"`    // could have something
	None    int                     `json:"none"`    // could have nothing
	Reasons map[protocol.Reason]int `json:"reasons"` // accounts by reason, notes included
	Actions map[protocol.Action]int `json:"operations"`
	Groups  map[string]GroupTotal   `json:"groups"`
}

// A GroupTotal sums the members of one group up.
type GroupTotal struct {
	Accounts int `json:"accounts"`
	All      int `json:"all"`
}

// maxGroups bounds the groups of a report: those that are met first.
const maxGroups = 300

func newTotals(text string) (Totals, error) {
	t := Totals{Reasons: map[protocol.Reason]int{}, Actions: map[protocol.Action]int{}, Groups: map[string]GroupTotal{}}
	if text == "" {
		return t, nil
	}
	return t, json.Unmarshal([]byte(text), &t)
}

// add counts one account.
func (t *Totals) add(a Account) {
	switch a.Could {
	case store.CouldAll:
		t.All++
	case store.CouldSome:
		t.Some++
	default:
		t.None++
	}
	for _, r := range slices.Concat(a.Reasons, a.Notes) {
		t.Reasons[r]++
	}
	for _, o := range a.Operations {
		if o.Could {
			t.Actions[o.Action]++
		}
	}
	for _, g := range a.Groups {
		sum, known := t.Groups[g]
		if !known && len(t.Groups) >= maxGroups {
			continue
		}
		sum.Accounts++
		if a.Could == store.CouldAll {
			sum.All++
		}
		t.Groups[g] = sum
	}
}

// A Run is one run as people see it.
type Run struct {
	ID        string    `json:"id"`
	Directory string    `json:"directory"`
	State     string    `json:"state"`
	Problem   string    `json:"problem,omitempty"` // why it failed, or what it waits for
	Scope     Scope     `json:"scope"`
	Total     int       `json:"total"`
	Done      int       `json:"done"`
	Totals    Totals    `json:"totals"`
	CreatedAt time.Time `json:"created_at"`
	Finished  time.Time `json:"finished_at,omitzero"`
	Expires   time.Time `json:"expires_at"`
}

// Percent returns how much is done.
func (r Run) Percent() int {
	if r.Total == 0 {
		return 0
	}
	return min(100, 100*r.Done/r.Total)
}

// Running reports whether the run goes on.
func (r Run) Running() bool { return r.State == store.EvaluationRunning }

func runOf(e store.Evaluation) (Run, error) {
	r := Run{ID: e.ID, Directory: e.Directory, State: e.State, Problem: e.Problem, Total: e.Total, Done: e.Done, CreatedAt: e.Created, Finished: e.Finished, Expires: e.Expires}
	var err error
	if r.Totals, err = newTotals(e.Totals); err != nil {
		return r, err
	}
	if len(e.Scope) > 0 {
		err = json.Unmarshal(e.Scope, &r.Scope)
	}
	return r, err
}

// distinct sorts reasons in the order of the vocabulary, each once.
func distinct(list []protocol.Reason) []protocol.Reason {
	var all []protocol.Reason
	for _, r := range Reasons() {
		if slices.Contains(list, r) {
			all = append(all, r)
		}
	}
	return all
}

// Cell returns a text as a cell of a file for spreadsheets: one that could begin a
// formula is quoted, so that what somebody wrote into a directory is never carried out.
func Cell(text string) string {
	if strings.ContainsAny(text[:min(1, len(text))], "=+-@\t\r\n|%") {
		return "'" + text
	}
	return text
}
