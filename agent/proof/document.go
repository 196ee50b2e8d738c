package proof

import (
	"errors"
	"time"

	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// A kind is how one type of evidence that bears a person's name is read. number tells
// the document, or the account at a provider, from every other one of its issuer.
type kind struct {
	method string
	check  func(raw []byte, c protocol.Context, a evidence.Anchors, now time.Time) (evidence.Claims, error)
	number func(evidence.Claims) string
}

var documents = map[string]kind{
	evidence.TypeMDoc:    {MethodDigitalCredential, evidence.CheckMDoc, numberOf},
	evidence.TypeSDJWT:   {MethodDigitalCredential, evidence.CheckSDJWT, numberOf},
	evidence.TypeIDToken: {MethodIdentityProvider, evidence.CheckIDToken, func(c evidence.Claims) string { return c.Subject }},
}

func numberOf(c evidence.Claims) string { return c.Document }

// document checks a document or a sign-in at a provider, and that it is this person's.
func (c *Checker) document(p Piece, of kind, k Case, raw []byte, a evidence.Anchors) (Piece, error) {
	p.Method = of.method
	claims, err := of.check(raw, k.Context, a, k.Now)
	if err != nil {
		return p, err
	}
	p.Issuer, p.Number = claims.Issuer, of.number(claims)
	if p.Number == "" {
		return p, errNoNumber
	}
	owner := k.Owner(p.Issuer, p.Number)
	switch {
	case owner != "" && owner != k.Account:
		return p, errOther
	case k.Person.BirthDate == "" || k.Person.Name == "" && k.Person.Family == "":
		return p, errNoPerson
	case claims.BirthDate != k.Person.BirthDate || !matches(claims, k.Person):
		return p, errMismatch
	}
	p.tied = owner == k.Account
	return p, c.standing(claims, k, a)
}

// standing refuses a document that its issuer revoked, as the file says. It comes last: a
// list is read for a document that would count.
func (c *Checker) standing(claims evidence.Claims, k Case, a evidence.Anchors) error {
	require := c.status == evidence.StatusRequire
	switch {
	case claims.Type == evidence.TypeIDToken || !require && c.status != evidence.StatusPrefer:
		return nil
	case claims.Status == nil && require:
		return errNoStatus
	case claims.Status == nil:
		return nil
	}
	token, err := k.Status(claims.Status.URI)
	if err == nil {
		_, err = claims.CheckStatus(token, a, k.Now)
	}
	if require || errors.Is(err, evidence.ErrRevoked) {
		return err
	}
	return nil
}
