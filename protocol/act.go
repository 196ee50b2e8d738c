package protocol

import "slices"

// Account operations: what administrators ask of an account beside recovery. No person
// proves anything for them, so an agent does only those that its own file switches on,
// and each only after the audit log has it.
const (
	Enable          Operation = "enable"
	Disable         Operation = "disable"
	SetMustChange   Operation = "set_must_change"
	AddToGroup      Operation = "add_to_group"
	RemoveFromGroup Operation = "remove_from_group"
	SetAttribute    Operation = "set_attribute"
	DeleteAccount   Operation = "delete_account"
)

// Parameters. ParamGroup names the group of AddToGroup and RemoveFromGroup: its immutable
// id, or a name that no other group has. ParamAttribute names what SetAttribute sets, as
// the directory calls it, and ParamValues is the salted hash of AttributeValues.
const (
	ParamGroup     = "group"
	ParamAttribute = "attribute"
	ParamValues    = "values"
)

// An ActRow says what is true of one account operation, wherever it is named.
type ActRow struct {
	Operation Operation
	Param     string // the one parameter that people give it; "": none
	Valued    bool   // AttributeValues come with it, and their hash is its parameter too
	Final     bool   // nothing takes it back
	can       func(*Traits) *bool
}

// Acts is the vocabulary of account operations, in the order in which pages offer them.
// Each stands in the list guard.acts of the agent's file under the same name.
var Acts = []ActRow{
	{Operation: Enable, can: func(t *Traits) *bool { return &t.CanEnable }},
	{Operation: Disable, can: func(t *Traits) *bool { return &t.CanDisable }},
	{Operation: SetMustChange, can: func(t *Traits) *bool { return &t.CanSetMustChange }},
	{Operation: AddToGroup, Param: ParamGroup, can: func(t *Traits) *bool { return &t.CanAddToGroup }},
	{Operation: RemoveFromGroup, Param: ParamGroup, can: func(t *Traits) *bool { return &t.CanRemoveFromGroup }},
	{Operation: SetAttribute, Param: ParamAttribute, Valued: true, can: func(t *Traits) *bool { return &t.CanSetAttribute }},
	{Operation: DeleteAccount, Final: true, can: func(t *Traits) *bool { return &t.CanDeleteAccount }},
}

// ActByName returns the row of an account operation, and whether there is one.
func ActByName(o Operation) (ActRow, bool) {
	i := slices.IndexFunc(Acts, func(r ActRow) bool { return r.Operation == o })
	if i < 0 {
		return ActRow{}, false
	}
	return Acts[i], true
}

// Act reports whether the operation is one that administrators ask for.
func (o Operation) Act() bool {
	_, is := ActByName(o)
	return is
}

// Has is the member of traits that advertises the operation of the row.
func (r ActRow) Has(t *Traits) *bool { return r.can(t) }

// Task returns the operation of the row with its parameter, and whether value fits: it is
// there where the operation needs one, and nowhere else. The hash of values is not in it:
// see With.
func (r ActRow) Task(value string) (Task, bool) {
	t := Task{Operation: r.Operation}
	if r.Param != "" {
		t.Params = map[string]string{r.Param: value}
	}
	return t, (value != "") == (r.Param != "")
}

// With returns the task with the hash of the values that come with it.
func (t Task) With(v AttributeValues) Task {
	t.Params = map[string]string{ParamAttribute: t.Params[ParamAttribute], ParamValues: v.Hash(t.Params[ParamAttribute])}
	return t
}

// A Difference is what an account operation would change: one property of the account,
// as it is and as it would be. It never holds a secret, and of an attribute no value.
type Difference struct {
	What   What   `json:"what"`
	Name   string `json:"name,omitempty"` // of the attribute
	Before string `json:"before"`
	After  string `json:"after"`
}

// A What names a property of an account in a Difference.
type What string

// The properties. Group is the group's name on the side on which the account is in it.
const (
	WhatEnabled    What = "enabled"     // "true" or "false"
	WhatMustChange What = "must_change" // the same
	WhatGroup      What = "group"
	WhatAttribute  What = "attribute" // how many values it has
	WhatAccount    What = "account"   // its place in the directory; After is empty
)
