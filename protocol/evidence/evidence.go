package evidence

import (
	"errors"
	"slices"
	"time"
)

// The types of evidence. An agent can check the first six itself; the others are
// words of the hub and never satisfy an agent that asks for verifiable evidence.
const (
	TypeMDoc      = "mdoc"       // Raw is a Presentation
	TypeSDJWT     = "sdjwt"      // Raw is a Presentation
	TypePasskey   = "passkey"    // Raw is an Assertion
	TypeApproval  = "approval"   // Raw is an Assertion with Approver
	TypeIDToken   = "id_token"   // Raw is the compact token
	TypeAgentCode = "agent_code" // Raw is empty: the agent remembers what it checked

	TypeMailCode  = "mail_code"
	TypeSMSCode   = "sms_code"
	TypeTOTP      = "totp"
	TypeSavedCode = "saved_code"
	TypeReview    = "review"
	TypeManual    = "manual"
)

// Verifiable reports whether an agent can check evidence of this type itself.
func Verifiable(kind string) bool {
	return slices.Contains([]string{TypeMDoc, TypeSDJWT, TypePasskey, TypeApproval, TypeIDToken, TypeAgentCode}, kind)
}

// MaxRaw bounds every input of this package, in bytes: a document with a portrait
// needs about a quarter of it.
const MaxRaw = 256 << 10

// DefaultMaxAge is how old a person's signature may be when Anchors do not say.
const DefaultMaxAge = 5 * time.Minute

// leeway is how far two clocks may differ.
const leeway = time.Minute

// Errors of this package. The text behind them is for audit logs, never for the
// person who presented something, and holds nothing of its content.
var (
	ErrFormat    = errors.New("evidence: not in the form of its standard")
	ErrUntrusted = errors.New("evidence: issued by nobody on the trust list")
	ErrSignature = errors.New("evidence: a signature or digest is wrong")
	ErrContext   = errors.New("evidence: made for another context, origin or client")
	ErrExpired   = errors.New("evidence: expired, not yet valid, or too old")
	ErrMissing   = errors.New("evidence: something that was asked for is missing")
	ErrRefused   = errors.New("evidence: of a kind that is not accepted here")
)

// Anchors is all that a check believes. Each end fills it from its own configuration.
type Anchors struct {
	// Origins of the recovery pages, as browsers write them ("https://recover.example.com").
	// The RP id and client id are derived from the host of one.
	Origins []string
	// Trust holds the issuers of documents. Nil trusts nobody.
	Trust *TrustList
	// VCTs and DocTypes are the kinds of document accepted; empty means DefaultVCTs and
	// DefaultDocTypes.
	VCTs, DocTypes []string
	// Providers are the identity providers whose id_tokens count.
	Providers []Provider
	// MaxAge is how old a person's own signature (key binding, sign-in) may be; zero is
	// DefaultMaxAge. An agent gives the time since it began the recovery: there the context
	// already proves freshness, and approvals may have taken hours.
	MaxAge time.Duration
	// MaxIssued is how old an issuer's signature may be; zero is as old as it says itself.
	MaxIssued time.Duration
}

// maxAge returns MaxAge or its default.
func (a Anchors) maxAge() time.Duration {
	if a.MaxAge > 0 {
		return a.MaxAge
	}
	return DefaultMaxAge
}

// A Provider is one outside identity provider as one client knows it.
type Provider struct {
	Issuer   string   // exactly the iss claim
	ClientID string   // exactly aud
	Keys     JWKS     // pinned: never fetched by this package
	ACR, AMR []string // accepted acr values, of which one is needed; amr values, all needed; empty asks for none
	Verified bool     // names count only from verified_claims (OpenID Connect for Identity Assurance)
	// Named says what the provider calls given_name, family_name and birthdate, where it
	// has other names for them.
	Named map[string]string
}

// Claims is what evidence says about a person. Members that were not presented are
// empty. They are personal data: keep them no longer than the decision takes.
type Claims struct {
	Type      string    `json:"type"`
	Issuer    string    `json:"issuer"`  // subject of the trust anchor, or iss: stable over renewals
	Country   string    `json:"country"` // ISO 3166-1 alpha-2 where the document says so
	DocType   string    `json:"doc_type"`
	Family    string    `json:"family"`
	Given     string    `json:"given"`
	BirthDate string    `json:"birth_date"` // YYYY-MM-DD
	Document  string    `json:"document"`   // the document's number
	Address   string    `json:"address"`    // where the holder lives, on one line; only where it was asked for
	Subject   string    `json:"subject"`    // sub of an id_token
	Mail      string    `json:"mail"`       // of an id_token whose provider says that it verified it
	Expires   time.Time `json:"expires"`    // of the document; zero when it does not say
	Portrait  []byte    `json:"portrait"`   // JPEG as presented, not looked at
	ACR       string    `json:"acr"`
	AMR       []string  `json:"amr"`
	Status    *Status   `json:"status"` // where a status list says whether the document was revoked
}

// Status is an entry of a token status list (draft-ietf-oauth-status-list). This
// package reads no network, so whoever wants it looks it up.
type Status struct {
	URI   string `json:"uri"`
	Index uint64 `json:"idx"`
}
