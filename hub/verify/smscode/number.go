package smscode

import (
	"errors"
	"slices"

	"github.com/nyaruka/phonenumbers"
)

// Errors of numbers.
var (
	ErrNumber  = errors.New("smscode: not a phone number that text messages reach")
	ErrCountry = errors.New("smscode: text messages to this country are not allowed here")
)

// A Number is a phone that text messages reach.
type Number struct {
	E164    string // +491701234567
	Country string // ISO 3166-1 alpha-2
}

// maxNumber bounds a number as people write it, in bytes.
const maxNumber = 40

// reached are the kinds of number that take text messages at no more than the usual
// price: no premium-rate or shared-cost numbers, and no landlines, which would read the
// code to whoever is near.
var reached = []phonenumbers.PhoneNumberType{phonenumbers.MOBILE, phonenumbers.FIXED_LINE_OR_MOBILE, phonenumbers.VOIP}

// ParseNumber reads a number as people and directories write it. home is the country of
// those without one, "" if they are refused.
func ParseNumber(text, home string) (Number, error) {
	if len(text) > maxNumber {
		return Number{}, ErrNumber
	}
	n, err := phonenumbers.Parse(text, home)
	if err != nil || n.GetExtension() != "" || !phonenumbers.IsValidNumber(n) || !slices.Contains(reached, phonenumbers.GetNumberType(n)) {
		return Number{}, ErrNumber
	}
	return Number{phonenumbers.Format(n, phonenumbers.E164), phonenumbers.GetRegionCodeForNumber(n)}, nil
}

// knownCountry reports whether there are phone numbers of a country.
func knownCountry(code string) bool { return phonenumbers.GetCountryCodeForRegion(code) != 0 }

// block is the range of a thousand numbers that n is in: who is paid by the message owns
// whole ranges.
func (n Number) block() string { return n.E164[:len(n.E164)-3] }

// Mask shortens the number so that its owner knows it and nobody else learns it.
func (n Number) Mask() string { return "•••" + n.E164[len(n.E164)-2:] }
