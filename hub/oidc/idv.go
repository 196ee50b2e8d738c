package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/match"
)

// People are proofs of who somebody is, by methods that bear a name.
type People interface {
	// OpenFor begins a proof for an exchange on a recovery domain.
	OpenFor(ctx context.Context, o request.Opening) (session string, err error)
	// FinishFor ends the proof of a session, once: with what was proven, or with nil. then
	// does the caller's part in the same transaction.
	FinishFor(ctx context.Context, env, use, session string, give bool, then func(tx *store.Tx, exchange string, proven *request.Proof) error) error
	// StopFor ends a proof that nobody waits for any more; request.ErrStep says that it went
	// on meanwhile.
	StopFor(ctx context.Context, tx *store.Tx, env, use string) error
	// WaitsFor reports whether people look at what was handed in.
	WaitsFor(ctx context.Context, tx *store.Tx, env, use string) (bool, error)
	// ProofFor returns what the session has proven, and for which exchange.
	ProofFor(ctx context.Context, env, use, session string) (exchange string, p request.Proof, err error)
	// CodeIssued and TokenIssued tell the organisation what an application was given.
	CodeIssued(ctx context.Context, tx *store.Tx, env, use string) error
	TokenIssued(ctx context.Context, tx *store.Tx, env, use string) error
}

// Words of the contract. Okta spells the framework in two ways; the hyphen is sent.
const (
	frameworkDelegated = "IDV-DELEGATED"
	levelVerified      = "VERIFIED"
	levelFailed        = "FAILED"
	matched            = "MATCHED" // in place of a value: what was asked for is not repeated
)

// comparable are the claims that can be compared.
var comparable = []string{"given_name", "family_name", "birthdate"}

// spellings are other names of them that Okta's texts use.
var spellings = map[string]string{"bithdate": "birthdate", "birth_date": "birthdate"}

// wanted is what a client says of a person, to be compared with a proof.
type wanted struct {
	Framework string            `json:"framework"` // as the client spells it
	Claims    map[string]string `json:"claims"`
	Names     map[string]string `json:"names,omitempty"` // how the client spells a claim
	Fuzzy     map[string]bool   `json:"fuzzy,omitempty"`
}

// verified is one member of verified_claims (OpenID Identity Assurance), as Okta reads it.
type verified struct {
	Verification verification            `json:"verification"`
	Claims       map[string]verifiedName `json:"claims"`
}

type verification struct {
	Framework string `json:"trust_framework"`
	Level     string `json:"assurance_level"`
	Time      string `json:"time"`
	Process   string `json:"verification_process"`
}

type verifiedName struct {
	Value string `json:"value"`
	Fuzzy bool   `json:"fuzzy"`
}

// wantedClaim is one claim of a request: {value, fuzzy}.
type wantedClaim struct {
	Value string `json:"value"`
	Fuzzy bool   `json:"fuzzy"`
}

// parseWanted reads verified_claims: one set, of the framework that delegates, with names
// to compare, and nothing that cannot be compared: an answer without it would fail there.
func parseWanted(c askedClaims) (*wanted, error) {
	if len(c.IDToken.Verified) != 1 {
		return nil, errors.New("oidc: verified_claims: want one set")
	}
	var set struct {
		Verification struct {
			Framework askedValues `json:"trust_framework"`
			Level     askedValues `json:"assurance_level"`
		} `json:"verification"`
		Claims map[string]json.RawMessage `json:"claims"`
	}
	if err := json.Unmarshal(c.IDToken.Verified[0], &set); err != nil {
		return nil, errors.New("oidc: verified_claims: cannot be read")
	}
	framework := set.Verification.Framework.Value
	if !strings.EqualFold(strings.ReplaceAll(framework, "_", "-"), frameworkDelegated) {
		return nil, errors.New("oidc: verified_claims: trust_framework: want " + frameworkDelegated)
	}
	if level := set.Verification.Level.Value; level != "" && level != levelVerified {
		return nil, errors.New("oidc: verified_claims: assurance_level: want " + levelVerified)
	}
	w := &wanted{Framework: framework, Claims: map[string]string{}, Names: map[string]string{}, Fuzzy: map[string]bool{}}
	for name, raw := range set.Claims {
		if err := w.add(name, raw); err != nil {
			return nil, err
		}
	}
	if w.Claims["given_name"] == "" || w.Claims["family_name"] == "" {
		return nil, errors.New("oidc: verified_claims: given_name and family_name are compared always, and need a value")
	}
	return w, nil
}

// maxWanted bounds a value, in bytes.
const maxWanted = 256

func (w *wanted) add(name string, raw json.RawMessage) error {
	plain := name
	if other := spellings[name]; other != "" {
		plain = other
	}
	var v wantedClaim
	d := json.NewDecoder(bytes.NewReader(raw))
	switch {
	case !slices.Contains(comparable, plain):
		return fmt.Errorf("oidc: verified_claims: %.40q cannot be compared here", name)
	case w.Names[plain] != "":
		return fmt.Errorf("oidc: verified_claims: %s stands twice", plain)
	case d.Decode(&v) != nil || strings.TrimSpace(v.Value) == "" || len(v.Value) > maxWanted:
		return fmt.Errorf("oidc: verified_claims: %s: want a value", plain)
	}
	if _, err := time.Parse(time.DateOnly, v.Value); plain == "birthdate" && err != nil {
		return errors.New("oidc: verified_claims: birthdate: want YYYY-MM-DD")
	}
	w.Claims[plain], w.Names[plain], w.Fuzzy[plain] = v.Value, name, v.Fuzzy
	return nil
}

// proof lists what has to be proven, in the names of the public API.
func (w *wanted) proof() []string {
	list := []string{"given_name", "family_name"}
	if w.Claims["birthdate"] != "" {
		list = append(list, "birth_date")
	}
	return list
}

// compare says whether a proof is of the person whom the client describes: by the rules
// of package match, where only an agreement beyond doubt counts, whatever "fuzzy" says.
func (w *wanted) compare(c *request.Proof) bool {
	if c == nil {
		return false
	}
	said := match.Name{Given: w.Claims["given_name"], Family: w.Claims["family_name"]}
	if match.Names(match.Name{Given: c.Given, Family: c.Family}, said) != match.Match {
		return false
	}
	born := w.Claims["birthdate"]
	return born == "" || born == c.BirthDate
}

// result writes the answer. What agreed is said to agree, and not repeated.
func (w *wanted) result(agrees bool, at time.Time, process string) *verified {
	v := &verified{verification{frameworkDelegated, levelFailed, at.UTC().Format(time.RFC3339), process}, map[string]verifiedName{}}
	if agrees {
		v.Verification.Level = levelVerified
		for plain, name := range w.Names {
			v.Claims[name] = verifiedName{matched, w.Fuzzy[plain]}
		}
	}
	return v
}

// openPeople begins the proof of who somebody is.
func (p *Provider) openPeople(ctx context.Context, c party.Party, x exchange, lang string, by recovery.Client) (Opened, error) {
	if p.cfg.People == nil || x.Wanted == nil && x.Plain == nil {
		return p.giveUp(ctx, x, "temporarily_unavailable")
	}
	o := request.Opening{Env: c.Env, Use: x.Use, Exchange: x.ID, Origin: by.Origin, Label: c.Settings.Name, Language: lang, By: request.Client{Address: by.Address, UserAgent: by.UserAgent}}
	if x.Plain != nil {
		x.Plain.open(&o, x.ExpiresAt)
		o.Account = p.meant(ctx, c, x.Plain)
	} else {
		o.Claims = x.Wanted.proof()
	}
	session, err := p.cfg.People.OpenFor(ctx, o)
	if err == nil {
		return Opened{Use: x.Use, Session: session}, nil
	}
	p.cfg.Log.WarnContext(ctx, "a proof of identity cannot begin", "client", c.ID, "error", err)
	return p.giveUp(ctx, x, "temporarily_unavailable")
}

// FinishPerson ends a proof of who somebody is, whatever came of it, and returns the
// address to go back to.
func (p *Provider) FinishPerson(ctx context.Context, env, use, session string, give bool) (to string, err error) {
	if p.cfg.People == nil {
		return "", ErrTicket
	}
	var seen *told
	if give {
		if seen, err = p.tell(ctx, env, use, session); err != nil {
			return "", err
		}
	}
	err = p.cfg.People.FinishFor(ctx, env, use, session, give, func(tx *store.Tx, id string, proven *request.Proof) error {
		x, c, err := p.named(ctx, tx, env, id, stateProving)
		if err != nil {
			return err
		}
		a := answer{Error: "access_denied"}
		switch {
		case proven == nil:
		case x.Wanted != nil:
			a = answer{Verified: x.Wanted.result(x.Wanted.compare(proven), p.cfg.Now(), x.ID)}
		case x.Plain != nil && seen != nil:
			if !seen.of(*proven) {
				return errGone // another proof was made meanwhile
			}
			a = seen.answer()
		}
		to, err = p.answered(ctx, tx, c, &x, a)
		return err
	})
	if errors.Is(err, errGone) {
		err = ErrTicket
	}
	return to, err
}
