package command

import (
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// Bounds of what a worker says of one account, in bytes and in number. They are those
// that the core and the hub take, and far above what people have.
const (
	maxText        = 1024
	maxIdentifiers = 64
	maxGroups      = 5000
)

// An account is what a worker says of one. The members below Groups, and those that no
// public worker has, are optional.
type account struct {
	ImmutableID string           `json:"immutable_id"`
	IDs         []string         `json:"ids"`
	Name        string           `json:"name"`
	Groups      []protocol.Group `json:"groups"`
	BirthDate   string           `json:"birth_date"`
	UpdatedAt   moment           `json:"updated_at"`

	// Ours. Mail, Phone, Manager and Language are given for one recovery and never listed.
	Enabled           *bool    `json:"enabled"` // absent: it is
	Locked            *bool    `json:"locked"`  // absent: nobody knows
	Privileged        string   `json:"privileged"`
	Path              string   `json:"path"` // a DN, for guard.base_dns
	Mail              []string `json:"mail"`
	Phone             []string `json:"phone"`
	Manager           string   `json:"manager"`
	Language          string   `json:"language"`
	GivenName         string   `json:"given_name"`
	FamilyName        string   `json:"family_name"`
	MinPasswordLength int      `json:"min_password_length"`
	NeverSignedIn     bool     `json:"never_signed_in"`
}

// guid is the one form in which ids are compared without regard to case.
var guid = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// canonical is the id by which the hub knows an account.
func canonical(id string) string {
	if guid.MatchString(id) {
		return strings.ToLower(id)
	}
	return id
}

// clean reports whether text may stand in an account or be asked for.
func clean(text string) bool {
	return text != "" && len(text) <= maxText && utf8.ValidString(text) && strings.IndexFunc(text, unicode.IsControl) < 0
}

// checked refuses an id or identifier that no directory has.
func checked(text string) error {
	if !clean(text) {
		return protocol.Err(protocol.CodeBadRequest, fmt.Sprintf("want 1 to %d bytes of UTF-8 without control characters", maxText))
	}
	return nil
}

func (a account) id() string     { return canonical(a.ImmutableID) }
func (a account) disabled() bool { return a.Enabled != nil && !*a.Enabled }

// has reports whether text is one of the account's identifiers.
func (a account) has(text string) bool {
	return slices.ContainsFunc(a.IDs, func(s string) bool { return strings.EqualFold(s, text) })
}

// listed is the account for the hub: no address that is not an identifier, and a birth
// date only as the hash under key.
func (a account) listed(key []byte) protocol.Account {
	out := protocol.Account{ID: a.id(), Name: shown(a.Name), Disabled: a.disabled(), UpdatedAt: a.UpdatedAt.Time}
	for _, id := range a.IDs {
		if id = strings.TrimSpace(id); clean(id) && !slices.Contains(out.Identifiers, id) && len(out.Identifiers) < maxIdentifiers {
			out.Identifiers = append(out.Identifiers, id)
		}
	}
	for _, g := range a.Groups {
		if clean(g.ID) && clean(g.Name) && len(out.Groups) < maxGroups {
			out.Groups = append(out.Groups, protocol.Group{ID: canonical(g.ID), Name: g.Name, Kind: shown(g.Kind)})
		}
	}
	if date := a.born(); date != "" && key != nil {
		out.BirthDate = protocol.BirthDateHash(key, out.ID, date)
	}
	return out
}

// born is the birth date, YYYY-MM-DD, or "" where the worker gives none in clear.
func (a account) born() string {
	if _, err := time.Parse(time.DateOnly, a.BirthDate); err != nil {
		return ""
	}
	return a.BirthDate
}

// shown is text without what no page may show, cut to the bound at a whole character.
func shown(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, text)
	for len(text) > maxText {
		_, n := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-n]
	}
	return strings.TrimSpace(text)
}

// contacts are the addresses of the account. Those that are identifiers are primary.
func (a account) contacts() protocol.Contacts {
	c := protocol.Contacts{Manager: a.Manager, Language: a.Language}
	for _, id := range a.IDs {
		if isMail(id) && !slices.Contains(c.Primary, id) {
			c.Primary = append(c.Primary, id)
		}
	}
	for _, m := range a.Mail {
		if isMail(m) && !a.has(m) && len(c.Mail) < maxIdentifiers {
			c.Mail = append(c.Mail, m)
		}
	}
	for _, p := range a.Phone {
		if clean(p) && len(c.Phone) < maxIdentifiers {
			c.Phone = append(c.Phone, p)
		}
	}
	if !clean(c.Manager) {
		c.Manager = ""
	}
	if !clean(c.Language) {
		c.Language = ""
	}
	return c
}

func isMail(text string) bool {
	if !clean(text) {
		return false
	}
	a, err := mail.ParseAddress(text)
	return err == nil && a.Address == text
}

// facts are what the guard decides on.
func (a account) facts(cfg Config, t traits) directory.Facts {
	f := directory.Facts{
		ID: a.id(), DN: a.Path, Disabled: a.disabled(), Locked: a.Locked != nil && *a.Locked, NeverSignedIn: a.NeverSignedIn,
		Policy: directory.PasswordPolicy{MinLength: max(a.MinPasswordLength, 0)}, MakesPassword: !t.CanSetPassword,
		Words: slices.Concat(a.IDs, a.Mail, []string{a.Name, a.GivenName, a.FamilyName}),
	}
	for _, g := range a.Groups {
		f.Groups = append(f.Groups, g.Name, g.ID)
	}
	f.Privileged = a.privileged(cfg)
	return f
}

// privileged says why the account is a built-in administrator, by the worker's word or
// by the agent's file; "" if it is none.
func (a account) privileged(cfg Config) string {
	named := func(list []string, text string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, text) })
	}
	if text := shown(a.Privileged); text != "" {
		return text
	}
	for _, g := range a.Groups {
		if named(cfg.PrivilegedGroups, g.Name) || named(cfg.PrivilegedGroups, g.ID) {
			return "member of " + shown(g.Name)
		}
	}
	if named(cfg.PrivilegedAccounts, a.ImmutableID) || slices.ContainsFunc(a.IDs, func(id string) bool { return named(cfg.PrivilegedAccounts, id) }) {
		return "named in directory.privileged_accounts"
	}
	return ""
}
