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

// Operations of our own, which change nothing in a directory. RecoveryOptions is what
// evidence is for that opens "my recovery options", SignIn what it is for that answers
// another identity provider who somebody is: an agent begins them, and never performs
// them (T1). EnrollKey adds a passkey to the agent's keyring; its parameter key
// is the hash of the credential in hex (T3).
const (
	RecoveryOptions Operation = "recovery_options"
	EnrollKey       Operation = "enroll_key"
	SignIn          Operation = "sign_in"
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

// Actions by which people look after what they recover with. The first page does not
// offer them; they have an entrance of their own.
const (
	ActionOptions   Action = "options"
	ActionEnrollKey Action = "enroll-key"
)

// ActionSignIn proves who somebody is to another identity provider, whose request leads
// to it. No page offers it.
const ActionSignIn Action = "sign-in"

// ActionBinding binds an account to a person. Administrators do it at the hub; no page
// offers it, and no agent hears of it.
const ActionBinding Action = "account-binding"

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

// ActionByName returns the row of an action that the first page offers, and whether
// there is one.
func ActionByName(a Action) (ActionRow, bool) { return rowOf(Actions, a) }

// bindingRow has no operation, no policy and no agent that could fail: only the recover
// webhook has a word for it.
var bindingRow = ActionRow{Action: ActionBinding, RecoveryKind: "account-binding"}

// RecoveryKind returns the member "action" of the recover webhook for an action.
func RecoveryKind(a Action) string {
	if a == bindingRow.Action {
		return bindingRow.RecoveryKind
	}
	row, _ := ActionByName(a)
	return row.RecoveryKind
}

// ProviderAction returns the member "action" of the directory_provider_err webhook for an
// action and what an agent was asked to do for it, if that is known already.
func ProviderAction(a Action, tasks []Task) string {
	for _, t := range tasks {
		if own := operations[t.Operation].providerAction; own != "" {
			return own
		}
	}
	row, _ := ActionByName(a)
	return row.ProviderAction
}

// ownActions have no policy, no webhook and no spelling of the public protocol.
var ownActions = []ActionRow{
	{Action: ActionOptions, Operations: []Operation{RecoveryOptions}, RecoveryKind: "recovery-options"},
	{Action: ActionEnrollKey, Operations: []Operation{EnrollKey}, RecoveryKind: "enroll-key"},
	{Action: ActionSignIn, Operations: []Operation{SignIn}, RecoveryKind: "sign-in"},
}

// OwnAction returns the row of an action that changes no account: by which people look
// after what they recover with, or prove who they are.
func OwnAction(a Action) (ActionRow, bool) { return rowOf(ownActions, a) }

func rowOf(rows []ActionRow, a Action) (ActionRow, bool) {
	i := slices.IndexFunc(rows, func(r ActionRow) bool { return r.Action == a })
	if i < 0 {
		return ActionRow{}, false
	}
	return rows[i], true
}

// operationRow says what is true of an operation wherever it is named.
type operationRow struct {
	trait  string   // member of Traits that advertises it
	secret bool     // its result is a secret, so a recipient is needed
	params []string // parameters that it takes
	own    bool     // it changes nothing in a directory

	providerAction string // in place of ActionRow.ProviderAction, where the public documents have a word for it alone
}

var operations = map[Operation]operationRow{
	GetTemporaryPassword:   {trait: "can_get_temporary_password", secret: true, params: []string{"must_change"}},
	GetPasswordLink:        {trait: "can_get_password_link", secret: true},
	GetMFALink:             {trait: "can_get_mfa_link", secret: true},
	RemoveAllMFA:           {trait: "can_remove_all_mfa"},
	GetMFABypassCode:       {trait: "can_get_mfa_bypass_code", secret: true, providerAction: "user_create_bypass_code"},
	Unlock:                 {trait: "can_unlock"},
	GetTemporaryAccessPass: {trait: "can_get_temporary_access_pass", secret: true, params: []string{"lifetime_minutes", "reusable"}},
	RecoveryOptions:        {trait: "can_begin", own: true},
	SignIn:                 {trait: "can_begin", own: true},
	EnrollKey:              {trait: "can_enroll_key", params: []string{"key"}, own: true},
	Enable:                 {trait: "can_enable"},
	Disable:                {trait: "can_disable"},
	SetMustChange:          {trait: "can_set_must_change"},
	AddToGroup:             {trait: "can_add_to_group", params: []string{ParamGroup}},
	RemoveFromGroup:        {trait: "can_remove_from_group", params: []string{ParamGroup}},
	SetAttribute:           {trait: "can_set_attribute", params: []string{ParamAttribute, ParamValues}},
	DeleteAccount:          {trait: "can_delete_account"},
}

// Trait returns the trait that advertises the operation, or "" for an unknown one.
func (o Operation) Trait() string { return operations[o].trait }

// Own reports whether the operation is one of ours that changes nothing in a directory,
// so that no directory has to be able to do it.
func (o Operation) Own() bool { return operations[o].own }

// BegunOnly reports whether the operation is there for its evidence alone: an agent
// begins it and refuses to perform it (T1).
func (o Operation) BegunOnly() bool { return o == RecoveryOptions || o == SignIn }

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
