package request

import (
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/evidence"
)

// A claimRow is one claim of the public API.
type claimRow struct {
	name   string
	scopes []string                                   // older names of it
	value  func(c evidence.Claims, now time.Time) any // nil result: the proof does not say; nil: no method proves it
	legacy func(p *Properties, value any)             // where it stands in a Request

	document bool // only a document says it
	matched  bool // the directory says it of the account that a proof is of
}

// GovtID is the wire type GovtidValue.
type GovtID struct {
	Type       string `json:"type"`
	Issuer     string `json:"issuer,omitempty"`
	Number     string `json:"document_number,omitempty"`
	Expiration string `json:"expiration,omitempty"`
}

// govtidType is the type of every document that wallets present: a licence or another
// document of a card's form. Passports are read by people alone, who say so.
const (
	govtidType = "driver_license"
	passport   = "passport"
)

// byPerson are the claims that a person says, see Give; Email only where no directory does.
var byPerson = []string{Phone, Email, PreferredName}

// given reports whether a person says it.
func (r claimRow) given() bool { return slices.Contains(byPerson, r.name) }

// seen reports whether it is seen of whoever opens the link.
func (r claimRow) seen() bool { return r.name == IPLocation }

// Address is the claim of where somebody lives, as their document says.
const Address = "address"

// Claims that a directory says of the account that a proof is of, to an exchange whose
// client belongs to the directory. A request of the API asks the person for Email, and
// Account is there the one that is bound to them, see bound.
const (
	Account = "account"
	Email   = "email"
)

// claims is the vocabulary.
var claims = []claimRow{
	{"name", []string{"nt:name", "nt:legal_name"}, func(c evidence.Claims, _ time.Time) any { return text(c.Given + " " + c.Family) },
		func(p *Properties, v any) { p.Name, p.LegalName = asText(v), asText(v) }, false, false},
	{"given_name", []string{"nt:first_name", "nt:legal_first_name"}, func(c evidence.Claims, _ time.Time) any { return text(c.Given) },
		func(p *Properties, v any) { p.FirstName, p.LegalFirstName = asText(v), asText(v) }, false, false},
	{"family_name", []string{"nt:last_name", "nt:legal_last_name"}, func(c evidence.Claims, _ time.Time) any { return text(c.Family) },
		func(p *Properties, v any) { p.LastName, p.LegalLastName = asText(v), asText(v) }, false, false},
	{"birth_date", []string{"nt:birth_date"}, func(c evidence.Claims, _ time.Time) any { return text(c.BirthDate) },
		func(p *Properties, v any) { p.BirthDate = asText(v) }, false, false},
	{"govtid", []string{"nt:govtid_details"}, func(c evidence.Claims, _ time.Time) any { return govtid(c) },
		func(p *Properties, v any) { p.GovtID = v }, true, false},
	{"govtid_expired", nil, expired, func(p *Properties, v any) { p.GovtIDExpired = asFlag(v) }, true, false},
	{"age_over_18", []string{"nt:age_over_18"}, older(18), func(p *Properties, v any) { p.Over18 = asFlag(v) }, false, false},
	{"age_over_21", []string{"nt:age_over_21"}, older(21), func(p *Properties, v any) { p.Over21 = asFlag(v) }, false, false},
	{store.PictureClaim, []string{"nt:profile_picture"}, unsaid, func(p *Properties, v any) { p.ProfilePicture = asText(v) }, true, false},
	{Address, []string{"nt:address"}, func(c evidence.Claims, _ time.Time) any { return text(c.Address) },
		func(p *Properties, v any) { p.Address = asText(v) }, true, false},
	{name: Account, matched: true, legacy: func(p *Properties, v any) { p.Account = v }},
	{name: Email, scopes: []string{"nt:email", "nt:email:unverified"}, matched: true, legacy: func(p *Properties, v any) { p.Email, p.UnverifiedEmail = asText(v), asText(v) }},
	{name: "gps_location", scopes: []string{"nt:location:gps"}}, {name: IPLocation, scopes: []string{"nt:location:ip"}},
	{name: Phone, scopes: []string{"nt:phone"}, legacy: func(p *Properties, v any) { p.Phone = asText(v) }}, {name: PreferredName},
}

// unsaid is the value of a picture: no document says it, but whoever compares a document
// with a face has one, see pictured.
func unsaid(evidence.Claims, time.Time) any { return nil }

// scopes without a claim of their own.
var otherScopes = []string{"openid"}

func text(s string) any {
	if s = strings.TrimSpace(s); s == "" {
		return nil
	}
	return s
}

func asText(v any) string {
	s, _ := v.(string)
	return s
}

func govtid(c evidence.Claims) any {
	if c.Subject != "" { // an account at a provider is no document
		return nil
	}
	g := GovtID{Type: govtidType, Issuer: country(c.Country), Number: c.Document}
	if c.DocType == passport {
		g.Type = passport
	}
	if !c.Expires.IsZero() {
		g.Expiration = c.Expires.Add(-time.Nanosecond).UTC().Format(time.DateOnly) // the last day, not the moment after it
	}
	return g
}

// expired says of documents alone whether they are over.
func expired(c evidence.Claims, now time.Time) any {
	if c.Subject != "" {
		return nil
	}
	return ended(c.Expires, now)
}

// older says whether somebody has had a birthday. What is shared is this alone, and not
// when they were born.
func older(years int) func(evidence.Claims, time.Time) any {
	return func(c evidence.Claims, now time.Time) any {
		born, err := time.Parse(time.DateOnly, c.BirthDate)
		if err != nil {
			return nil
		}
		return !born.AddDate(years, 0, 0).After(now)
	}
}

func asFlag(v any) *bool {
	b, ok := v.(bool)
	if !ok {
		return nil
	}
	return &b
}

// scopeOnly are what a scope asks for and no claim of the public API.
var scopeOnly = []string{"age_over_18", "age_over_21"}

// Public returns those names that are claims of the public API.
func Public(names []string) []string {
	return slices.DeleteFunc(append([]string{}, names...), func(n string) bool { return slices.Contains(scopeOnly, n) })
}

// Unprovable returns what no method of this product proves, in the words in which it was
// asked for.
func Unprovable(scopes, names []string) (all []string) {
	for _, n := range names {
		if r, ok := claimByName(n); ok && !r.answerable() {
			all = append(all, n)
		}
	}
	for _, s := range scopes {
		if r, ok := claimByName(scopeClaim(s)); ok && !r.answerable() {
			all = append(all, s)
		}
	}
	return all
}

// answerable reports whether somebody who answers a request can say it: by a method, by
// themselves, by coming, or by whom a proof shows that they are.
func (r claimRow) answerable() bool {
	return r.value != nil || r.given() || r.seen() || r.name == Account
}

// Answerable returns those claims that somebody who answers a request can say.
func Answerable(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		r, ok := claimByName(n)
		return !ok || !r.answerable()
	})
}

// PhoneAlias is how the public text spells the claim Phone in one example.
const PhoneAlias = "phone"

// Canonical returns claims as they are kept and answered.
func Canonical(names []string) []string {
	out := slices.Clone(names)
	for i, n := range out {
		if n == PhoneAlias {
			out[i] = Phone
		}
	}
	return out
}

// claimByName returns a row of the vocabulary.
func claimByName(name string) (claimRow, bool) {
	if name == PhoneAlias {
		name = Phone
	}
	i := slices.IndexFunc(claims, func(r claimRow) bool { return r.name == name })
	if i < 0 {
		return claimRow{}, false
	}
	return claims[i], true
}

// KnownClaim reports whether the public API has a claim of this name.
func KnownClaim(name string) bool {
	_, ok := claimByName(name)
	return ok && !slices.Contains(scopeOnly, name)
}

// KnownScope reports whether the public API has a scope of this name.
func KnownScope(name string) bool {
	return slices.Contains(otherScopes, name) || scopeClaim(name) != ""
}

// Scopes lists the scopes of the public API.
func Scopes() []string {
	all := slices.Clone(otherScopes)
	for _, r := range claims {
		all = append(all, r.scopes...)
	}
	slices.Sort(all)
	return all
}

// scopeClaim returns the claim that a scope stands for, "" if it has none.
func scopeClaim(scope string) string {
	for _, r := range claims {
		if slices.Contains(r.scopes, scope) {
			return r.name
		}
	}
	return ""
}

// Asked returns the claims of a request: those named and those that scopes stand for.
func Asked(scopes, names []string) []string {
	all := Canonical(names)
	for _, s := range scopes {
		if c := scopeClaim(s); c != "" {
			all = append(all, c)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Provable returns those claims that a method of this hub can prove.
func Provable(names []string) []string {
	var out []string
	for _, n := range names {
		if r, ok := claimByName(n); ok && r.value != nil {
			out = append(out, n)
		}
	}
	return out
}

// Matched reports whether a directory says a claim, of the account that a proof is of.
func Matched(name string) bool {
	r, _ := claimByName(name)
	return r.matched
}

// shown lists what a person is asked for and would share.
func shown(r store.Request) []string {
	return slices.DeleteFunc(slices.Clone(r.Claims), func(n string) bool {
		row, _ := claimByName(n)
		return !row.answerable() && (r.Exchange == "" || !row.matched)
	})
}

// values returns what a proof says of the claims that it says something of.
func values(names []string, c evidence.Claims, now time.Time) map[string]any {
	out := map[string]any{}
	for _, n := range Provable(names) {
		r, _ := claimByName(n)
		if v := r.value(c, now); v != nil {
			out[n] = v
		}
	}
	return out
}
