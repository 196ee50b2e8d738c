package recovery

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// A Client is the browser, as the edge saw it.
type Client struct {
	Address   string // IP
	UserAgent string
	Origin    string // the recovery domain, from the stored record
	Languages string `json:",omitempty"` // Accept-Language of the browser
}

// Languages returns which languages a person reads, in the form of Accept-Language: that of
// the pages first, which they may have chosen, then what their browser says.
func Languages(rec *store.Recovery, p Private) string {
	said := p.Client.Languages
	first, _, _ := strings.Cut(said, ",")
	first, _, _ = strings.Cut(first, ";")
	if tag, _, _ := strings.Cut(strings.TrimSpace(first), "-"); said != "" && (rec.Language == "" || strings.EqualFold(tag, rec.Language)) {
		return said
	}
	return strings.Trim(rec.Language+","+said, ",")
}

// An Intent is what a row keeps of hints, of a presigned link and of whoever asks.
type Intent struct {
	Flow        string                              `json:"flow,omitempty"`
	Directories []string                            `json:"directories,omitempty"`
	Actions     []protocol.Action                   `json:"actions,omitempty"`
	Restricted  bool                                `json:"restricted,omitempty"` // by a link: nothing else is ever offered
	Wishes      map[protocol.Action]policy.Strength `json:"wishes,omitempty"`
	Key         string                              `json:"key,omitempty"`        // enroll-key: hash of the credential, in hex
	Factor      string                              `json:"factor,omitempty"`     // enroll-key: whose credential it is
	Credential  []byte                              `json:"credential,omitempty"` // enroll-key: JSON of evidence.Credential
	SignIn      *SignIn                             `json:"sign_in,omitempty"`    // sign-in: what is asked, and by whom
}

// A SignIn is what a row keeps of the question of another identity provider.
type SignIn struct {
	Account  string          `json:"account"`
	Methods  []policy.Method `json:"methods"`
	Strict   bool            `json:"strict,omitempty"`
	Exchange string          `json:"exchange"`
}

// A Private is what a row keeps sealed, and only as long as it is needed.
type Private struct {
	Address  string             `json:"address"` // normal form
	Client   Client             `json:"client"`
	Contacts *protocol.Contacts `json:"contacts,omitempty"` // read live at begin
	// What a code proves that went to addresses of the person's own, too (T17); nil: its method.
	OwnMail  *Reached `json:"own_mail,omitempty"`
	OwnPhone *Reached `json:"own_phone,omitempty"`

	Masked  []string        `json:"masked,omitempty"`  // where the last code went
	Terms   *protocol.Terms `json:"terms,omitempty"`   // what the agent asks for besides the policy
	Groups  []string        `json:"groups,omitempty"`  // names and ids, as the agent gave them at begin
	Paced   bool            `json:"paced,omitempty"`   // of a decoy: it was kept waiting once, as an account is
	Counted bool            `json:"counted,omitempty"` // the code that is asked for now counts for the account
}

// A Reached is what a code proves that went to addresses of the person's own, too.
type Reached struct {
	Roots   policy.Roots `json:"roots"`
	Factors []string     `json:"factors"`
}

// IntentOf returns what a row keeps of how its recovery began.
func IntentOf(rec *store.Recovery) (in Intent, err error) {
	return in, parse(rec.Intent, &in)
}

// PrivateOf returns what a row keeps sealed; nothing once it has ended.
func PrivateOf(rec *store.Recovery) (p Private, err error) {
	return p, parse(string(rec.Private), &p)
}

func parse(text string, v any) error {
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return fmt.Errorf("recovery: a row cannot be read: %w", err)
	}
	return nil
}

// Event is an audit event of a recovery.
func Event(rec *store.Recovery, p Private, kind audit.Kind, detail any) audit.Event {
	if members, ok := detail.(map[string]any); ok && rec.Trial {
		members = maps.Clone(members)
		members["evaluation"] = true
		detail = members
	}
	return audit.Event{Env: rec.Env, Kind: kind, Account: rec.Person, Trace: rec.ID, RemoteAddr: p.Client.Address, UserAgent: p.Client.UserAgent, Detail: detail}
}
