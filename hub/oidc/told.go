package oidc

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/match"
)

// Accounts finds the account that a proof is of.
type Accounts interface {
	Bind(ctx context.Context, b Binding) (Bound, error)
}

// A Binding is a proof that is to be that of an account.
type Binding struct {
	Env, Directory string
	Identifier     string // that the account must bear; "": any
	Origin         string // recovery domain of the proof
	Strength       match.Strength
	Document       match.Document
	Case           string // that has the person's selfie; "": none has
}

// A Bound is what came of it.
type Bound struct {
	Account store.Account // zero: none
	Reason  string        // why there is none; one of the reasons below
	Strict  bool          // its agent asks for evidence that it checks itself (T11)
}

// Reasons why there is no account, in account_status.failure_reason.
const (
	NoAccount        = "account_not_found"
	SeveralAccounts  = "multiple_accounts_found"
	PhotoNotCompared = "photo_not_compared"
	PhotoDiffers     = "photo_not_matched"
	NoPhoto          = "photo_not_found"
	NotPermitted     = "account_not_permitted"
	NotNow           = "temporarily_unavailable"
)

// accountValue is the wire type AccountValue.
type accountValue struct {
	ImmutableID string   `json:"immutable_external_id,omitempty"`
	IDs         []string `json:"ids,omitempty"`
	Strength    string   `json:"binding_strength,omitempty"`
}

// accountStatus stands in place of account where there is none.
type accountStatus struct {
	Reason string `json:"failure_reason"`
}

// address is the claim of OpenID Connect Core 5.1.1, whose members are all optional: a
// document says where somebody lives in one text or in parts that do not tell a street from
// a town everywhere. The public API has the text itself.
type address struct {
	Formatted string `json:"formatted"`
}

// A told is what an application is told of a person.
type told struct {
	Subject  string         `json:"subject"`
	Person   string         `json:"person"`
	Claims   map[string]any `json:"claims"`
	Account  string         `json:"account,omitempty"`  // row id, for the log
	Strength string         `json:"strength,omitempty"` // in which the account is theirs
	Strict   bool           `json:"strict,omitempty"`
	Failure  string         `json:"failure,omitempty"`
	proof    request.Proof
	refused  bool // somebody else was asked for
}

// names lists the claims, as the public API's text.
func (t *told) names() string { return strings.Join(slices.Sorted(maps.Keys(t.Claims)), " ") }

// of reports whether it is of this proof.
func (t *told) of(p request.Proof) bool {
	s := t.proof
	return s.Person == p.Person && s.Given == p.Given && s.Family == p.Family && s.BirthDate == p.BirthDate && s.Method == p.Method
}

// answer turns it into the answer of an exchange.
func (t *told) answer() answer {
	kept := *t
	kept.proof = request.Proof{} // it ends with the proof
	a := answer{Told: &kept, Person: t.Account, Strict: t.Strict, ACR: t.Strength, AMR: references[t.proof.Method]}
	if t.refused {
		return answer{Error: "access_denied"}
	}
	return a
}

// tell makes out what an application would be told of whoever proved something in a
// session: before the transaction that ends it, because an agent is asked. nil where the
// one who waits is no application.
func (p *Provider) tell(ctx context.Context, env, use, session string) (*told, error) {
	id, proof, err := p.cfg.People.ProofFor(ctx, env, use, session)
	if err != nil {
		return nil, err
	}
	var x exchange
	var c party.Party
	site, err := store.Glance(ctx, p.cfg.Store, func(tx *store.Tx) (_ string, err error) {
		if x, c, err = p.named(ctx, tx, env, id, stateProving); err != nil || x.Plain == nil || !x.Plain.matches() {
			return "", err
		}
		return p.site(ctx, tx, c)
	})
	if errors.Is(err, errGone) {
		err = ErrTicket
	}
	if err != nil || x.Plain == nil {
		return nil, err
	}
	t := &told{Subject: request.Subject(env, proof.Person), Person: proof.Person, Claims: map[string]any{}, proof: proof}
	for _, n := range x.Plain.Claims {
		if v, ok := proof.Values[n]; ok {
			t.say(x.Plain, n, v)
		}
	}
	t.refused = x.Plain.Who != "" && x.Plain.Who != t.Subject
	if x.Plain.matches() && !t.refused {
		p.bind(ctx, c, x, site, t)
	}
	return t, nil
}

// matches reports whether an account has to be found for what is asked.
func (w *plain) matches() bool { return slices.ContainsFunc(w.Claims, request.Matched) }

// say adds a claim, in the application's spelling as well.
func (t *told) say(w *plain, name string, value any) {
	if text, is := value.(string); is && name == request.Address {
		value = address{text}
	}
	t.Claims[name] = value
	if other := w.Names[name]; other != "" {
		t.Claims[other] = value
	}
}

// bind adds what the directory says of the account that the proof is of.
func (p *Provider) bind(ctx context.Context, c party.Party, x exchange, site string, t *told) {
	b := p.bound(ctx, c, x, site, t)
	if t.Strict = b.Strict; b.Reason != "" {
		t.Failure = b.Reason
		t.Claims["account_status"] = accountStatus{b.Reason}
		return
	}
	t.Account, t.Strength = b.Account.ID, string(x.Plain.Strength)
	if slices.Contains(x.Plain.Claims, request.Account) {
		t.Claims[request.Account] = accountValue{b.Account.ImmutableID, b.Account.Identifiers, t.Strength}
	}
	if mail := mailOf(b.Account, x.Plain.Email, x.Plain.Domains); mail != "" && slices.Contains(x.Plain.Claims, request.Email) {
		t.Claims[request.Email] = mail
	}
}

func (p *Provider) bound(ctx context.Context, c party.Party, x exchange, site string, t *told) Bound {
	if p.cfg.Accounts == nil {
		return Bound{Reason: NotNow}
	}
	strength := x.Plain.Strength
	if !slices.Contains(x.Plain.Claims, request.Account) {
		strength = match.CommonName // the public API's for email
	}
	b, err := p.cfg.Accounts.Bind(ctx, Binding{Env: c.Env, Directory: c.Directory, Identifier: x.Plain.Email, Origin: site, Strength: strength, Case: t.proof.Case,
		Document: match.Document{Given: t.proof.Given, Family: t.proof.Family, BirthDate: t.proof.BirthDate}})
	if err != nil {
		p.cfg.Log.WarnContext(ctx, "whose account a proof is of cannot be said", "client", c.ID, "directory", c.Directory, "error", err)
		return Bound{Reason: NotNow}
	}
	if b.Reason == "" && b.Strict && !c.Settings.AllowStrict {
		b.Reason = NotPermitted
	}
	return b
}

// mailOf returns the mail address of an account, of one of some domains if there are any:
// the one that was hinted at, or its first.
func mailOf(a store.Account, hint string, domains []string) string {
	first := ""
	for _, id := range a.Identifiers {
		if !strings.Contains(id, "@") || !request.InDomains(id, domains) {
			continue
		}
		if hint != "" && strings.EqualFold(strings.TrimSpace(hint), id) {
			return id
		}
		if first == "" {
			first = id
		}
	}
	return first
}

// meant returns the row id of the account that an application hints at, if it has a photo
// with which people could compare whoever comes; "" for none. It stands for no proof.
func (p *Provider) meant(ctx context.Context, c party.Party, w *plain) (id string) {
	if w.Email == "" || !slices.ContainsFunc(w.Claims, request.Matched) {
		return ""
	}
	all, err := store.Get(ctx, p.cfg.Store, func(tx *store.Tx) ([]store.Account, error) { return tx.FindAccounts(ctx, c.Env, w.Email) })
	if err != nil {
		p.cfg.Log.WarnContext(ctx, "whom an application means cannot be looked up", "client", c.ID, "error", err)
		return ""
	}
	all = slices.DeleteFunc(all, func(a store.Account) bool { return a.Disabled || a.Directory != c.Directory || !a.Photo.Given() })
	if len(all) != 1 {
		return ""
	}
	return all[0].ID
}
