package tunnel

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/match"
)

// A legacyRequestBody is a request of the public agent protocol. Exactly one member is set.
type legacyRequestBody struct {
	Configure        *struct{}         `json:"configure,omitempty"`
	ListAccounts     *legacyList       `json:"list_accounts,omitempty"`
	GetAccount       *legacyGet        `json:"get_account,omitempty"`
	ListGroups       *legacyListGroups `json:"list_groups,omitempty"`
	PerformOperation *legacyPerform    `json:"perform_operation,omitempty"`
}

type legacyList struct {
	UpdatedAfter string `json:"updated_after,omitempty"` // RFC 3339 in UTC with Z: shipped agents print it without converting
	Cursor       string `json:"cursor,omitempty"`
}

type legacyGet struct {
	Ref legacyRef `json:"ref"`
}

type legacyRef struct {
	ImmutableID string `json:"immutable_id,omitempty"`
	ID          string `json:"id,omitempty"`
}

type legacyListGroups struct {
	NamePrefix string `json:"name_prefix,omitempty"`
	MaxCount   int    `json:"max_count,omitempty"`
	Cursor     string `json:"cursor,omitempty"`
}

type legacyPerform struct {
	Operation protocol.Operation `json:"operation"`
	Account   string             `json:"account_immutable_id"`
	DryRun    bool               `json:"dry_run,omitempty"`
}

// A legacyReplyBody is a reply. Members that are absent or null stay empty.
type legacyReplyBody struct {
	Error     *legacyError `json:"error"`
	Configure *struct {
		ImmutableID string          `json:"immutable_id"`
		Traits      protocol.Traits `json:"traits"`
	} `json:"configure"`
	ListAccounts     *legacyAccounts `json:"list_accounts"`
	GetAccount       *legacyAccounts `json:"get_account"`
	ListGroups       *legacyGroups   `json:"list_groups"`
	PerformOperation *legacyResult   `json:"perform_operation"`
}

type legacyError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type legacyAccounts struct {
	Accounts   []legacyAccount `json:"accounts"`
	NextCursor string          `json:"next_cursor"`
}

type legacyAccount struct {
	ImmutableID string        `json:"immutable_id"`
	IDs         []string      `json:"ids"`
	Name        string        `json:"name"`
	Groups      []legacyGroup `json:"groups"`
	BirthDate   string        `json:"birth_date"`
	UpdatedAt   legacyTime    `json:"updated_at"`
}

type legacyGroup struct {
	ImmutableID string `json:"immutable_id"`
	Name        string `json:"name"`
	Kind        string `json:"kind"`
}

type legacyGroups struct {
	Groups     []legacyGroup `json:"groups"`
	NextCursor string        `json:"next_cursor"`
}

// legacyResult holds at most one secret. Its members mask themselves.
type legacyResult struct {
	TemporaryPassword secretText `json:"temporary_password"`
	PasswordLink      secretText `json:"password_link"`
	MFABypassCode     secretText `json:"mfa_bypass_code"`
	MFAResetLink      secretText `json:"mfa_reset_link"`
}

// A secretText is read from JSON and prints as a mask.
type secretText struct{ protocol.Secret }

// UnmarshalJSON takes a string or null.
func (s *secretText) UnmarshalJSON(b []byte) error {
	var text *string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("tunnel: a secret is no string") // the cause could quote it
	}
	if text != nil {
		s.Secret = protocol.NewSecret(*text)
	}
	return nil
}

// A legacyTime is read leniently: what is no time, and the year 1, are unknown.
type legacyTime struct{ time.Time }

// UnmarshalJSON never fails.
func (t *legacyTime) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) != nil {
		return nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err == nil && at.Year() > 1 {
		t.Time = at.UTC()
	}
	return nil
}

// maxLegacyID bounds ids and names that an agent gives; longer ones are no account's.
const maxLegacyID = 512

// decodeReply reads a reply. An error of the agent becomes one of ours.
func decodeReply(b []byte) (*legacyReplyBody, error) {
	var r legacyReplyBody
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, errReply
	}
	if r.Error != nil {
		return nil, r.Error.protocol()
	}
	return &r, nil
}

// errReply is a reply that cannot be read, or lacks what was asked for. It quotes
// nothing: a reply may hold a secret.
var errReply = protocol.Err(protocol.CodeInternal, "the agent's reply cannot be read")

// legacyCodes are the codes of the public agent protocol.
var legacyCodes = map[protocol.Code]bool{
	protocol.CodeServiceAuthentication: true, protocol.CodeConfiguration: true, protocol.CodePermissionDenied: true,
	protocol.CodeAccountNotFound: true, protocol.CodeUnsupportedAccountState: true, protocol.CodeInternal: true,
}

// protocol gives the error's code. Messages of shipped agents can hold the command that
// failed, with the new password in it, so an internal one is not repeated.
func (e *legacyError) protocol() *protocol.Error {
	code := protocol.Code(e.Code)
	if !legacyCodes[code] || code == protocol.CodeInternal {
		return protocol.Err(protocol.CodeInternal, "the agent reports an internal error; its own log says more")
	}
	return protocol.Err(code, "the agent reports: "+e.Code)
}

// account translates an account, or reports that it is none that we can keep.
func (a legacyAccount) account(birthDateKey []byte) (protocol.Account, bool) {
	if a.ImmutableID == "" || len(a.ImmutableID) > maxLegacyID {
		return protocol.Account{}, false
	}
	out := protocol.Account{ID: a.ImmutableID, Identifiers: []string{}, Name: cut(a.Name), UpdatedAt: a.UpdatedAt.Time, BirthDate: hashedBirthDate(a, birthDateKey)}
	for _, id := range a.IDs {
		if id != "" && len(id) <= maxLegacyID {
			out.Identifiers = append(out.Identifiers, id)
		}
	}
	for _, g := range a.Groups {
		out.Groups = append(out.Groups, g.group())
	}
	return out, true
}

func (g legacyGroup) group() protocol.Group {
	return protocol.Group{ID: cut(g.ImmutableID), Name: cut(g.Name), Kind: cut(g.Kind)}
}

func cut(s string) string {
	if len(s) > maxLegacyID {
		s = strings.ToValidUTF8(s[:maxLegacyID], "")
	}
	return s
}

// hashedBirthDate keeps a birth date only as a hash: legacy agents may send it in clear.
// What is neither a hash nor a date that can be hashed is dropped.
func hashedBirthDate(a legacyAccount, key []byte) string {
	switch _, err := time.Parse(time.DateOnly, a.BirthDate); {
	case err != nil && match.ValidBirthDate(a.BirthDate):
		return a.BirthDate
	case err != nil, len(key) == 0:
		return ""
	}
	return protocol.BirthDateHash(key, a.ImmutableID, a.BirthDate)
}
