package command

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/postern-id/postern/protocol"
)

// A request is one document to a worker; exactly one member is set. The names are those
// of the public protocol. GetStamp and Settle are ours and asked only of a worker whose
// traits offer them.
type request struct {
	Ping             bool             `json:"ping,omitempty"`
	Configure        *struct{}        `json:"configure,omitempty"`
	ListAccounts     *listRequest     `json:"list_accounts,omitempty"`
	GetAccount       *getRequest      `json:"get_account,omitempty"`
	ListGroups       *groupsRequest   `json:"list_groups,omitempty"`
	PerformOperation *performRequest  `json:"perform_operation,omitempty"`
	GetStamp         *accountsRequest `json:"get_stamp,omitempty"`
	Settle           *accountsRequest `json:"settle,omitempty"`
}

type listRequest struct {
	UpdatedAfter string `json:"updated_after,omitempty"` // RFC 3339 in UTC
	Cursor       string `json:"cursor,omitempty"`
}

type getRequest struct {
	Ref protocol.Ref `json:"ref"`
}

type groupsRequest struct {
	Prefix string `json:"name_prefix,omitempty"`
	Max    int    `json:"max_count,omitempty"`
	Cursor string `json:"cursor,omitempty"`
}

// A performRequest has the members of the public protocol and, where the worker's traits
// or the hub's settings ask for them, ours.
type performRequest struct {
	Operation protocol.Operation `json:"operation"`
	Account   string             `json:"account_immutable_id"`
	DryRun    bool               `json:"dry_run,omitempty"`

	Password        string `json:"password,omitempty"`         // can_set_password: the one to set, in clear
	MustChange      bool   `json:"must_change,omitempty"`      // can_must_change
	Unlock          bool   `json:"unlock,omitempty"`           // can_unlock_with_password: in the same change
	Stamp           string `json:"stamp,omitempty"`            // can_settle: what get_stamp gave
	LifetimeMinutes int    `json:"lifetime_minutes,omitempty"` // of an access pass, where the hub's settings name one
	Reusable        bool   `json:"reusable,omitempty"`         // likewise
}

// An accountsRequest asks for the stamp before a change, or what became of it.
type accountsRequest struct {
	Account    string `json:"account_immutable_id"`
	Operations string `json:"operations"`      // protocol.CanonicalTasks
	Stamp      string `json:"stamp,omitempty"` // of settle
}

// A reply is one document from a worker. Unknown members are ignored.
type reply struct {
	Configure        *configured   `json:"configure"`
	ListAccounts     *accountsPage `json:"list_accounts"`
	GetAccount       *accountsPage `json:"get_account"`
	ListGroups       *groupsPage   `json:"list_groups"`
	PerformOperation *performed    `json:"perform_operation"`
	GetStamp         *stamped      `json:"get_stamp"`
	Settle           *settled      `json:"settle"`
	Error            *failure      `json:"error"`
}

type configured struct {
	ImmutableID string `json:"immutable_id"`
	Traits      traits `json:"traits"`
}

// traits are what a worker says that it can. Those of the public protocol stand in the
// embedded type, the others are ours; absent is false.
type traits struct {
	protocol.Traits
	CanDryRun             bool `json:"can_dry_run"`              // perform_operation with dry_run changes nothing
	CanSetPassword        bool `json:"can_set_password"`         // takes the temporary password instead of making one
	CanUnlockWithPassword bool `json:"can_unlock_with_password"` // one change does both
	CanSettle             bool `json:"can_settle"`               // answers get_stamp and settle
}

type accountsPage struct {
	Accounts   []account `json:"accounts"`
	Deleted    []string  `json:"deleted_ids"` // ours, of list_accounts with updated_after
	NextCursor string    `json:"next_cursor"`
}

type groupsPage struct {
	Groups     []protocol.Group `json:"groups"`
	NextCursor string           `json:"next_cursor"`
}

type performed struct {
	TemporaryPassword string `json:"temporary_password"`
	PasswordLink      string `json:"password_link"`
	MFABypassCode     string `json:"mfa_bypass_code"`
	MFAResetLink      string `json:"mfa_reset_link"`
	MustChange        bool   `json:"must_change"` // ours: it really took effect
}

type stamped struct {
	Stamp string `json:"stamp"`
}

type settled struct {
	State protocol.State `json:"state"`
}

type failure struct {
	Code    protocol.Code `json:"code"`
	Message string        `json:"message"`
}

// line encodes a request as the one line that a worker reads.
func (r request) line() []byte {
	text, _ := json.Marshal(r) // strings, numbers and booleans always marshal
	return append(text, '\n')
}

// parse reads one document of a worker. An error means that the worker does not speak
// the protocol.
func parse(raw []byte) (reply, error) {
	var r reply
	if first := bytes.TrimLeft(raw, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		return r, errGarbage
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return reply{}, errGarbage
	}
	return r, nil
}

// fits reports whether the reply has no member that answers another request.
func (r reply) fits(q request) bool {
	return (r.Configure == nil || q.Configure != nil) && (r.ListAccounts == nil || q.ListAccounts != nil) &&
		(r.GetAccount == nil || q.GetAccount != nil) && (r.ListGroups == nil || q.ListGroups != nil) &&
		(r.PerformOperation == nil || q.PerformOperation != nil) && (r.GetStamp == nil || q.GetStamp != nil) &&
		(r.Settle == nil || q.Settle != nil)
}

// codes are what a worker may answer: those of the public protocol, and those of ours
// that only a directory can know.
var codes = []protocol.Code{
	protocol.CodeServiceAuthentication, protocol.CodeConfiguration, protocol.CodePermissionDenied, protocol.CodeAccountNotFound,
	protocol.CodeUnsupportedAccountState, protocol.CodeInternal, protocol.CodePasswordPolicy, protocol.CodeUnavailable,
	protocol.CodeBadRequest, protocol.CodeUnsupported,
}

// maxMessage bounds what a worker says to administrators.
const maxMessage = 300

// err is the worker's refusal as a typed error. Unknown codes are internal errors.
func (f failure) err() *protocol.Error {
	code := f.Code
	if !slices.Contains(codes, code) {
		code = protocol.CodeInternal
	}
	message := scrub(f.Message, maxMessage)
	if message == "" {
		message = "the worker gave no reason"
	}
	return protocol.Err(code, message)
}

// A moment is a date-time of a worker. One that cannot be read is no reason to lose an
// account: it is the zero time.
type moment struct{ time.Time }

// UnmarshalJSON reads RFC 3339, whatever its zone.
func (m *moment) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		m.Time, _ = time.Parse(time.RFC3339, text)
		m.Time = m.UTC()
	}
	return nil
}
