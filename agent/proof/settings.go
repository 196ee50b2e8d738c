package proof

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol/evidence"
)

// Settings is the table [evidence] of the agent's file: what this agent believes,
// and what it asks for. The zero value believes nothing and asks for nothing.
type Settings struct {
	// Origins are the recovery sites, "https://host[:port]". Every ceremony must have
	// been held at one of them (T2).
	Origins []string `toml:"origins" json:"origins"`
	// Trust are files (PEM) with the roots of issuers of documents.
	Trust []string `toml:"trust" json:"trust"`
	// VICAL are lists of such roots, each with the root of whoever signed it.
	VICAL []VICAL `toml:"vical" json:"vical"`
	// DocTypes and VCTs are the kinds of documents that count; empty: driving licences
	// (org.iso.18013.5.1.mDL) and the EU's person identification data.
	DocTypes []string `toml:"doc_types" json:"doc_types"`
	VCTs     []string `toml:"vcts" json:"vcts"`
	// Status says what the status list of a document's issuer decides, one of the words of
	// package evidence; "" is evidence.StatusIgnore. Lists are read from StatusHosts alone,
	// "host" or "host:port"; StatusCAFile holds further certificates.
	Status       string   `toml:"status" json:"status"`
	StatusHosts  []string `toml:"status_hosts" json:"status_hosts"`
	StatusCAFile string   `toml:"status_ca_file" json:"-"`
	// Providers are outside identity providers, each with its pinned keys.
	Providers []Provider `toml:"provider" json:"provider"`
	// WaitAtStart says that what stands in the directory when the agent first looks
	// counts after 72 hours, as every later value does (T16), instead of at once.
	WaitAtStart bool `toml:"wait_at_start" json:"wait_at_start"`
	// NewAccounts says what holds for an account with which nobody has signed in yet, where
	// the directory can tell: NewAccountsWait (default), or NewAccountsCount, so that the
	// addresses, name and birth date of somebody who begins today count at once (T16).
	NewAccounts string `toml:"new_accounts" json:"new_accounts"`
	// VetoURL is asked, with the context, right before an operation of a strict
	// account (T23); VetoCAFile holds further certificates, VetoTokenFile a bearer token.
	VetoURL       string `toml:"veto_url" json:"veto_url"`
	VetoCAFile    string `toml:"veto_ca_file" json:"-"`
	VetoTokenFile string `toml:"veto_token_file" json:"-"`
	// Groups are the rules. The first whose group the account is in applies.
	Groups []Rule `toml:"group" json:"group"`
}

// A VICAL is a signed list of issuers' roots (ISO/IEC 18013-5 annex C).
type VICAL struct {
	File string `toml:"file" json:"file"`
	Root string `toml:"root" json:"root"` // PEM of the list's provider
}

// A Provider is an outside identity provider.
type Provider struct {
	Issuer   string `toml:"issuer" json:"issuer"`
	ClientID string `toml:"client_id" json:"client_id"`
	KeysFile string `toml:"keys_file" json:"keys_file"` // JWKS
	// ACR are the accepted acr values, AMR the amr values that must all be there; empty: any.
	ACR []string `toml:"acr" json:"acr"`
	AMR []string `toml:"amr" json:"amr"`
	// VerifiedClaims says that name and birth date count only from verified_claims (OpenID
	// Connect for Identity Assurance): the provider has checked them, and says so.
	VerifiedClaims bool `toml:"verified_claims" json:"verified_claims"`
	// Names says what this provider calls given_name, family_name or birthdate, where it
	// has other names for them.
	Names map[string]string `toml:"names" json:"names"`
}

// providerNames are the claims that Provider.Names can rename.
var providerNames = []string{"given_name", "family_name", "birthdate"}

// A Rule says what is asked of the members of one group.
type Rule struct {
	// Group is a name or id; "*" is everybody.
	Group string `toml:"group" json:"group"`
	// RequireAgentVerifiable asks for evidence that this agent checks itself.
	RequireAgentVerifiable bool `toml:"require_agent_verifiable" json:"require_agent_verifiable"`
	// Methods are the accepted combinations of such evidence; empty: any one of them.
	Methods [][]string `toml:"methods" json:"methods"`
	// Confirm "agent" demands the agent's own code besides, in a message that names
	// account and operation (T1).
	Confirm string `toml:"confirm" json:"confirm"`
	// Delay is how long the agent holds an operation after its evidence was checked (T23).
	Delay settings.Duration `toml:"delay" json:"delay"`
	// Approvals is how many persons "approval" needs; 0: one (T7).
	Approvals int `toml:"approvals" json:"approvals"`
	// NoNotice replaces guard.no_notice for the group: "refuse", "manager" or "allow" (T34).
	NoNotice string `toml:"no_notice" json:"no_notice"`
}

// The methods that an agent can check itself, in the spelling of policies.
const (
	MethodAgentCode         = "agent_code"
	MethodPasskey           = "passkey"
	MethodDigitalCredential = "digital_credential"
	MethodIdentityProvider  = "identity_provider"
	MethodApproval          = "approval"
)

var methods = []string{MethodAgentCode, MethodPasskey, MethodDigitalCredential, MethodIdentityProvider, MethodApproval}

// Values of Rule.Confirm and Rule.NoNotice.
const (
	ConfirmAgent = "agent"

	NoticeRefuse  = "refuse"
	NoticeManager = "manager"
	NoticeAllow   = "allow"
)

// Values of Settings.NewAccounts.
const (
	NewAccountsWait  = "wait"
	NewAccountsCount = "count"
)

// Everybody is the group of all accounts.
const Everybody = "*"

// Bounds of a rule. A recovery lives 24 hours; the owner must come back within it.
const (
	maxDelay     = 23 * time.Hour
	maxApprovals = 10
)

// Locate makes the paths in the settings absolute.
func (s *Settings) Locate(path func(string) string) {
	files := []*string{&s.VetoCAFile, &s.VetoTokenFile, &s.StatusCAFile}
	for i := range s.Trust {
		files = append(files, &s.Trust[i])
	}
	for i := range s.VICAL {
		files = append(files, &s.VICAL[i].File, &s.VICAL[i].Root)
	}
	for i := range s.Providers {
		files = append(files, &s.Providers[i].KeysFile)
	}
	for _, f := range files {
		*f = path(*f)
	}
}

// On reports whether the file says anything about evidence.
func (s Settings) On() bool { return len(s.Groups) > 0 || len(s.Origins) > 0 }

// Check refuses settings that cannot be kept. codes says that the agent has a route of
// its own for codes.
func (s Settings) Check(codes bool) error {
	for _, o := range s.Origins {
		if err := checkOrigin(o); err != nil {
			return err
		}
	}
	for _, p := range s.Providers {
		if p.Issuer == "" || p.ClientID == "" || p.KeysFile == "" {
			return fmt.Errorf("evidence.provider: issuer, client_id and keys_file go together")
		}
		for name, other := range p.Names {
			if !slices.Contains(providerNames, name) || other == "" {
				return fmt.Errorf("evidence.provider %s: names: %q = %q; want names of %s", p.Issuer, name, other, strings.Join(providerNames, ", "))
			}
		}
	}
	if s.NewAccounts != "" && s.NewAccounts != NewAccountsWait && s.NewAccounts != NewAccountsCount {
		return fmt.Errorf("evidence.new_accounts: %q; want %q or %q", s.NewAccounts, NewAccountsWait, NewAccountsCount)
	}
	switch {
	case s.Status == "" || s.Status == evidence.StatusIgnore:
	case s.Status != evidence.StatusPrefer && s.Status != evidence.StatusRequire:
		return fmt.Errorf("evidence.status: %q; want %q, %q or %q", s.Status, evidence.StatusIgnore, evidence.StatusPrefer, evidence.StatusRequire)
	case len(s.StatusHosts) == 0:
		return fmt.Errorf("evidence.status_hosts: name the hosts from which status lists may be read")
	}
	if s.VetoURL != "" {
		if u, err := url.Parse(s.VetoURL); err != nil || u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("evidence.veto_url: want an https:// address")
		}
	}
	for i, r := range s.Groups {
		if err := s.checkRule(r, codes); err != nil {
			return fmt.Errorf("evidence.group %d (%q): %w", i+1, r.Group, err)
		}
		if r.Group == Everybody && i < len(s.Groups)-1 {
			return fmt.Errorf("evidence.group %d: %q is everybody, so the groups after it never apply", i+1, Everybody)
		}
	}
	return nil
}

// checkOrigin wants an origin as browsers write it. http is one at localhost and below
// alone, which browsers call secure.
func checkOrigin(text string) error {
	if evidence.RPID(text) == "" || strings.ToLower(text) != text {
		return fmt.Errorf("evidence.origins: %q; want an origin such as https://recover.example.com", text)
	}
	return nil
}

func (s Settings) checkRule(r Rule, codes bool) error {
	switch {
	case strings.TrimSpace(r.Group) == "":
		return fmt.Errorf("name a group, or %q for everybody", Everybody)
	case r.Confirm != "" && r.Confirm != ConfirmAgent:
		return fmt.Errorf("confirm: %q; want %q", r.Confirm, ConfirmAgent)
	case r.NoNotice != "" && !slices.Contains([]string{NoticeRefuse, NoticeManager, NoticeAllow}, r.NoNotice):
		return fmt.Errorf("no_notice: %q; want %q, %q or %q", r.NoNotice, NoticeRefuse, NoticeManager, NoticeAllow)
	case r.Delay.Duration > maxDelay:
		return fmt.Errorf("delay: %v; at most %v, because a recovery lives a day", r.Delay.Duration, maxDelay)
	case r.Approvals < 0 || r.Approvals > maxApprovals:
		return fmt.Errorf("approvals: %d; want 1 to %d", r.Approvals, maxApprovals)
	case len(r.Methods) > 0 && !r.RequireAgentVerifiable:
		return fmt.Errorf("methods needs require_agent_verifiable = true; what the hub asks for is the hub's policy")
	case r.Confirm != "" && !codes:
		return fmt.Errorf("confirm: the agent needs a route of its own for codes: add a table [smtp] or [sms]")
	}
	return s.checkMethods(r, codes)
}

// checkMethods refuses a combination that nobody could ever prove.
func (s Settings) checkMethods(r Rule, codes bool) error {
	for _, combination := range r.Methods {
		if len(combination) == 0 {
			return fmt.Errorf("methods: an empty combination would accept nothing as proof")
		}
		for _, m := range combination {
			if why := s.lacks(m, codes); why != "" {
				return fmt.Errorf("methods: %q: %s", m, why)
			}
		}
	}
	if r.Approvals > 0 && len(r.Methods) > 0 && !slices.ContainsFunc(r.Methods, func(c []string) bool { return slices.Contains(c, MethodApproval) }) {
		return fmt.Errorf("approvals: no combination of methods has %q", MethodApproval)
	}
	if len(r.Methods) > 0 && !slices.ContainsFunc(r.Methods, func(c []string) bool { return !slices.Contains(c, MethodPasskey) }) {
		return fmt.Errorf("methods: every combination has %q, so that none could ever come in: add one without, such as [%q]", MethodPasskey, MethodApproval)
	}
	return nil
}

// lacks says what a method needs that the file does not have, or "".
func (s Settings) lacks(method string, codes bool) string {
	switch {
	case !slices.Contains(methods, method):
		return "the agent cannot check this itself; want one of " + strings.Join(methods, ", ")
	case method == MethodAgentCode && !codes:
		return "the agent needs a route of its own for codes: add a table [smtp] or [sms]"
	case method != MethodAgentCode && len(s.Origins) == 0:
		return "evidence.origins names no recovery site"
	case method == MethodDigitalCredential && len(s.Trust) == 0 && len(s.VICAL) == 0:
		return "evidence.trust and evidence.vical name no issuer"
	case method == MethodIdentityProvider && len(s.Providers) == 0:
		return "evidence.provider names none"
	}
	return ""
}
