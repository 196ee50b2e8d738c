package protocol

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// An Operation is one thing that an agent can do to an account, in the spelling
// of the public agent protocol.
type Operation string

// The operations of the public agent protocol. Verify is the operation of a plain
// verification: it never reaches an agent.
const (
	GetTemporaryPassword   Operation = "get_temporary_password"
	GetPasswordLink        Operation = "get_password_link"
	GetMFALink             Operation = "get_mfa_link"
	RemoveAllMFA           Operation = "remove_all_mfa"
	GetMFABypassCode       Operation = "get_mfa_bypass_code"
	Unlock                 Operation = "unlock"
	GetTemporaryAccessPass Operation = "get_temporary_access_pass"
	Verify                 Operation = "verify"
)

// An Action is what an employee asks for, in the spelling of the microsite's
// parameter "op". One action may be served by several operations.
type Action string

// The actions of the recovery microsite.
const (
	ActionPassword   Action = "password"
	ActionMFA        Action = "mfa"
	ActionUnlock     Action = "unlock"
	ActionAccessPass Action = "temporary-access-pass"
)

// ActionRow holds every spelling of one action, so that no other table repeats
// them. Operations are in order of preference.
type ActionRow struct {
	Action         Action
	Operations     []Operation
	Policy         string // member of Directory in REST: password_policy …
	RecoveryKind   string // member "action" of the recover webhook
	ProviderAction string // member "action" of the directory_provider_err webhook
}

// Actions is the vocabulary of actions, in the order in which pages offer them.
var Actions = []ActionRow{
	{ActionPassword, []Operation{GetTemporaryPassword, GetPasswordLink}, "password_policy", "password-reset", "user_reset_password"},
	{ActionUnlock, []Operation{Unlock}, "unlock_policy", "unlock", "user_unlock"},
	{ActionMFA, []Operation{RemoveAllMFA, GetMFABypassCode, GetMFALink}, "mfa_policy", "mfa-reset", "user_reset_mfa"},
	{ActionAccessPass, []Operation{GetTemporaryAccessPass}, "temporary_access_pass_policy", "temporary-access-pass", "user_temporary_access_pass"},
}

// ActionByName returns the row of an action, and whether there is one.
func ActionByName(a Action) (ActionRow, bool) {
	i := slices.IndexFunc(Actions, func(r ActionRow) bool { return r.Action == a })
	if i < 0 {
		return ActionRow{}, false
	}
	return Actions[i], true
}

// operationRow says what is true of an operation wherever it is named.
type operationRow struct {
	trait  string   // member of Traits that advertises it
	secret bool     // its result is a secret, so a recipient is needed
	params []string // parameters that it takes
}

var operations = map[Operation]operationRow{
	GetTemporaryPassword:   {"can_get_temporary_password", true, []string{"must_change"}},
	GetPasswordLink:        {"can_get_password_link", true, nil},
	GetMFALink:             {"can_get_mfa_link", true, nil},
	RemoveAllMFA:           {"can_remove_all_mfa", false, nil},
	GetMFABypassCode:       {"can_get_mfa_bypass_code", true, nil},
	Unlock:                 {"can_unlock", false, nil},
	GetTemporaryAccessPass: {"can_get_temporary_access_pass", true, []string{"lifetime_minutes", "reusable"}},
}

// Trait returns the trait that advertises the operation, or "" for an unknown one.
func (o Operation) Trait() string { return operations[o].trait }

// Secret reports whether the result of the operation is a secret that must be
// sealed to a recipient.
func (o Operation) Secret() bool { return operations[o].secret }

// A Task is an operation with every parameter: what a person's evidence is for
// and what an agent executes, exactly and once.
type Task struct {
	Operation Operation
	Params    map[string]string
}

// String returns the canonical form, "name?k=v&k=v" with sorted keys.
func (t Task) String() string {
	if len(t.Params) == 0 {
		return string(t.Operation)
	}
	v := url.Values{}
	for k, s := range t.Params {
		v.Set(k, s)
	}
	return string(t.Operation) + "?" + v.Encode()
}

// CanonicalTasks joins tasks in their order, as the evidence context holds them.
func CanonicalTasks(tasks []Task) string {
	s := make([]string, len(tasks))
	for i, t := range tasks {
		s[i] = t.String()
	}
	return strings.Join(s, ",")
}

// Limits of the canonical text.
const (
	maxTasks     = 4
	maxTasksText = 512
)

// ParseTasks reads a canonical text. It refuses unknown operations and
// parameters and every text that is not in canonical form, so that two texts
// never mean the same.
func ParseTasks(text string) ([]Task, error) {
	if text == "" || len(text) > maxTasksText {
		return nil, fmt.Errorf("protocol: operation text of %d bytes; want 1 to %d", len(text), maxTasksText)
	}
	parts := strings.Split(text, ",")
	if len(parts) > maxTasks {
		return nil, fmt.Errorf("protocol: %d operations; at most %d", len(parts), maxTasks)
	}
	tasks := make([]Task, 0, len(parts))
	for _, p := range parts {
		t, err := parseTask(p)
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, t)
	}
	if CanonicalTasks(tasks) != text {
		return nil, fmt.Errorf("protocol: operation %q is not in canonical form", text)
	}
	return tasks, nil
}

func parseTask(text string) (Task, error) {
	name, query, _ := strings.Cut(text, "?")
	t := Task{Operation: Operation(name)}
	row, ok := operations[t.Operation]
	if !ok {
		return Task{}, fmt.Errorf("protocol: unknown operation %q", name)
	}
	v, err := url.ParseQuery(query)
	if err != nil {
		return Task{}, fmt.Errorf("protocol: operation %s: %w", name, err)
	}
	for k, s := range v {
		if len(s) != 1 || !slices.Contains(row.params, k) {
			return Task{}, fmt.Errorf("protocol: operation %s has no single parameter %q", name, k)
		}
		if t.Params == nil {
			t.Params = map[string]string{}
		}
		t.Params[k] = s[0]
	}
	return t, nil
}
