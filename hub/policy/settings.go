package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/postern-id/postern/protocol"
)

// AuthenticatePolicy is the name of the one policy that belongs to no action of the
// microsite; the others are ActionRow.Policy.
const AuthenticatePolicy = "authenticate_policy"

// Settings are what an administrator decided about one directory, as the store keeps
// them. Member names are those of the wire's Directory where it has them.
type Settings struct {
	Policies           map[string]Rules `json:"policies"` // by name: password_policy …
	Methods            Methods          `json:"methods"`
	Limit              *RateLimit       `json:"recovery_operation_rate_limit,omitempty"`          // nil: none
	AccessPassMinutes  int              `json:"temporary_access_pass_lifetime_minutes,omitempty"` // 0: the directory's own default
	AccessPassReusable bool             `json:"temporary_access_pass_reusable,omitempty"`
}

// adminGroups are refused by name in a new directory, before anybody has looked up
// their ids. The agent's guard refuses them by what they are, whatever this says.
var adminGroups = []string{
	"Administrators", "Domain Admins", "Enterprise Admins", "Schema Admins",
	"Account Operators", "Backup Operators", "Server Operators", "Print Operators",
}

// Default returns the settings of a new directory: every action on a matching name,
// administrators' groups disabled, and the method written out as [[mail_code]].
func Default() Settings {
	s := Settings{Policies: map[string]Rules{}, Methods: Methods{Default: []Combination{{MailCode}}}}
	for _, name := range PolicyNames() {
		r := Rules{Groups: []GroupRule{}, Default: NameMatch}
		for _, g := range adminGroups {
			r.Groups = append(r.Groups, GroupRule{Group{Name: g}, Disabled})
		}
		s.Policies[name] = r
	}
	return s
}

// PolicyNames lists the policies of a directory in the spelling of the wire.
func PolicyNames() []string {
	names := []string{AuthenticatePolicy}
	for _, row := range protocol.Actions {
		names = append(names, row.Policy)
	}
	return names
}

// maxSettings bounds the stored text: five policies with all their groups.
const maxSettings = 4 << 20

// Lifetime of an access pass, in minutes: what Entra ID takes.
const (
	minAccessPass = 10
	maxAccessPass = 43200
)

// ParseSettings reads what Settings marshals to. Unknown members are refused: a policy
// that is misspelt must not be a policy that is silently absent.
func ParseSettings(text []byte) (Settings, error) {
	var s Settings
	if len(text) > maxSettings {
		return s, fmt.Errorf("policy: settings of %d bytes; at most %d", len(text), maxSettings)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return Settings{}, fmt.Errorf("policy: settings: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Settings{}, fmt.Errorf("policy: settings are one object and nothing after it")
	}
	if err := s.Check(); err != nil {
		return Settings{}, err
	}
	return s, nil
}

// Check reports the first thing about s that an administrator must mend.
func (s Settings) Check() error {
	known := map[string]bool{}
	for _, name := range PolicyNames() {
		known[name] = true
	}
	for name, r := range s.Policies {
		if !known[name] {
			return fmt.Errorf("policy: there is no policy %.40q", name)
		}
		if err := r.Check(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if s.Limit != nil {
		if err := s.Limit.Check(); err != nil {
			return err
		}
	}
	if m := s.AccessPassMinutes; m != 0 && (m < minAccessPass || m > maxAccessPass) {
		return fmt.Errorf("policy: temporary_access_pass_lifetime_minutes is %d to %d", minAccessPass, maxAccessPass)
	}
	return s.Methods.Check()
}
