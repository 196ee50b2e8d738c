package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/operation"
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

// actRequest asks for one account operation.
type actRequest struct {
	Operation protocol.Operation `json:"operation"`           // enable, disable, set_must_change, add_to_group, remove_from_group, set_attribute, delete_account
	Group     string             `json:"group,omitempty"`     // of the two that change groups: immutable id, or a name that no other group has
	Attribute string             `json:"attribute,omitempty"` // of set_attribute: as the directory calls it
	Values    []string           `json:"values,omitempty"`    // of set_attribute: the only ones that it is to have; none clears it
	DryRun    bool               `json:"dry_run,omitempty"`   // say what would change, and change nothing

	values *protocol.AttributeValues // the same with a salt
}

// task is what is asked for, checked.
func (q *actRequest) task() (protocol.Task, error) {
	row, known := protocol.ActByName(q.Operation)
	if !known {
		var names []string
		for _, r := range protocol.Acts {
			names = append(names, string(r.Operation))
		}
		return protocol.Task{}, bad("operation: one of " + strings.Join(names, ", "))
	}
	value := q.Group
	if row.Valued {
		value = q.Attribute
	}
	switch task, fits := row.Task(value); {
	case (q.Group != "") != (row.Param == protocol.ParamGroup):
		return task, bad("group: needed by add_to_group and remove_from_group, and by nothing else")
	case !fits || (q.Attribute != "") != row.Valued:
		return task, bad("attribute: needed by set_attribute, and by nothing else")
	case row.Valued:
		return q.valued(task)
	case len(q.Values) > 0:
		return task, bad("values: taken by set_attribute, and by nothing else")
	default:
		return bounded(task, "group")
	}
}

// valued gives a task the salted hash of the values. No error repeats one of them.
func (q *actRequest) valued(t protocol.Task) (protocol.Task, error) {
	if !protocol.AttributeName(q.Attribute) {
		return t, bad("attribute: letters, digits and hyphens, as the directory calls it")
	}
	v := protocol.NewAttributeValues(q.Values)
	if err := v.Check(); err != nil {
		return t, bad(err.Error())
	}
	q.values = &v
	return bounded(t.With(v), "attribute")
}

func bounded(t protocol.Task, what string) (protocol.Task, error) {
	if _, err := protocol.ParseTasks(protocol.CanonicalTasks([]protocol.Task{t})); err != nil {
		return t, bad(what + ": too long")
	}
	return t, nil
}

// What became of an order, beside the states of recoveries.
const (
	actForeseen = "foreseen" // of a dry run
	actRefused  = "refused"  // by the agent, before anything was asked of the directory
)

// actOut says what an account operation changed, or would.
type actOut struct {
	ID         string                `json:"id,omitempty"` // absent: nothing was asked of the directory
	Operation  string                `json:"operation"`    // canonical, with its parameter
	State      string                `json:"state"`        // foreseen, refused, waiting (another administrator has to agree, in the console), denied (by that one), expired (nobody agreed in time), cleared (on its way to the agent), sent, done, failed, unknown, evaluated
	Changes    []protocol.Difference `json:"changes"`
	Code       string                `json:"code,omitempty"`       // why it was refused or failed
	Reason     string                `json:"reason,omitempty"`     // the same, where the agent knows one: value_refused, attribute_off, missing_rights …
	Message    string                `json:"message,omitempty"`    // the same in words of the agent
	Second     bool                  `json:"second,omitempty"`     // of a dry run: another administrator would have to agree
	Evaluation bool                  `json:"evaluation,omitempty"` // the agent only evaluates: nothing is ever changed
	CreatedAt  *time.Time            `json:"created_at,omitempty"`
	ExpiresAt  *time.Time            `json:"expires_at,omitempty"` // of what waits or is cleared: when it ends if nothing comes of it
}

// actList is the account operations of one account.
type actList struct {
	Operations []actOut `json:"operations"`
}

// orderAct asks the agent of an account to enable or disable it, ask it for a new password,
// change a group of it, set one of its attributes or delete it, as far as the agent's own file allows that. To delete
// it takes an owner, as does every operation of somebody who holds a role in the console.
func orderAct(ctx context.Context, c *call, tx *store.Tx, q *actRequest) (any, error) {
	task, err := q.task()
	if err != nil {
		return nil, err
	}
	if owner, err := operation.NeedsOwner(ctx, tx, c.account, task); err != nil {
		return nil, err
	} else if owner && !roleReaches(c.key.Role, RoleOwner) {
		return nil, errForbidden
	}
	c.concerns = c.account.ID
	c.detail = map[string]any{"operation": protocol.CanonicalTasks([]protocol.Task{task}), "directory": c.account.Directory, "dry_run": q.DryRun}
	return task, nil
}

// carryOutAct asks the agent, when the record of the order is written.
func carryOutAct(ctx context.Context, c *call, reply any) (any, error) {
	q := operation.ActOrder{Account: c.account, Task: reply.(protocol.Task), Values: c.body.(*actRequest).values, Origin: c.api.Console(), Trace: c.trace,
		Actor: audit.Principal{Role: c.key.Role, APIKey: c.key.ID, Subject: c.holder.Subject}, People: behind(c)}
	order := c.api.Acts.Act
	if c.body.(*actRequest).DryRun {
		order = c.api.Acts.ForeseeAct
	}
	r, err := order(ctx, q)
	if errors.Is(err, operation.ErrOwner) { // they were given a role just now
		return nil, errForbidden
	} else if err != nil {
		return nil, notAsked(err)
	}
	out := actOut{ID: r.ID, Operation: q.Task.String(), State: r.State, Changes: slices.Concat([]protocol.Difference{}, r.Changes), Code: string(r.Code), Reason: string(r.Reason), Evaluation: r.Trial, Second: r.Second}
	switch {
	case r.Refusal != nil:
		out.State, out.Code, out.Reason, out.Message = actRefused, string(r.Refusal.Code), string(r.Refusal.Reason), r.Refusal.Message
	case r.State == "":
		out.State = actForeseen
	}
	return out, nil
}

// behind lists the staff who stand behind a key: whose it is, and who made it.
func behind(c *call) []string {
	return slices.DeleteFunc([]string{c.key.Staff, c.key.CreatedBy}, func(id string) bool { return id == "" })
}

// notAsked turns an error of the way to the agent into an answer.
func notAsked(err error) error {
	switch protocol.CodeOf(err) {
	case protocol.CodeAccountNotFound:
		return refusal{http.StatusConflict, "the directory has this account no more"}
	case protocol.CodeUnsupported, protocol.CodeBadRequest:
		return refusal{http.StatusConflict, "the agent of this directory knows no account operations: " + err.Error()}
	case protocol.CodeInternal:
		return err
	}
	return refusal{http.StatusServiceUnavailable, "no agent of the directory could be asked now, and nothing was changed; try again"}
}

// listActs answers with the account operations of an account that were carried out, tried
// or wait in the last 90 days, the newest first.
func listActs(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	all, err := operation.Past(ctx, tx, c.env.ID, c.account.ID)
	list := actList{Operations: []actOut{}}
	for _, a := range all {
		out := actOut{ID: a.ID, Operation: a.Operation, State: a.State, Code: a.Code, Reason: a.Reason, CreatedAt: at(a.Created), Changes: []protocol.Difference{}}
		if err := json.Unmarshal([]byte(a.Changes), &out.Changes); err != nil {
			return nil, err
		}
		if !a.Ends.IsZero() {
			out.ExpiresAt = at(a.Ends)
		}
		list.Operations = append(list.Operations, out)
	}
	return list, err
}
