package capture

import (
	"time"

	"github.com/postern-id/postern/protocol/match"
)

// A Hint says whether two things that nobody signed fit together. It is for the people
// who look; it never proves anything.
type Hint struct {
	Check  Check  `json:"check"`
	Result Result `json:"result"`
}

// A Check names what was compared.
type Check string

// The checks.
const (
	MRZDigits      Check = "mrz_check_digits"  // the zone's own digits
	MRZBarcode     Check = "mrz_barcode"       // both name one person
	MRZAccount     Check = "mrz_account"       // the zone's name and the directory's
	BarcodeAccount Check = "barcode_account"   // the bar code's name and the directory's
	NotExpired     Check = "not_expired"       // today is before the printed date
	BirthDates     Check = "birth_dates_agree" // zone and bar code
)

// A Result is how a check went.
type Result string

// The results.
const (
	Pass   Result = "pass"
	Fail   Result = "fail"
	Unsure Result = "unsure"
)

var results = map[match.Grade]Result{match.No: Fail, match.Review: Unsure, match.Match: Pass}

// Compare gives the hints that zone and bar code allow; either may be nil. account is the
// name in the directory.
func Compare(zone, code *Printed, account string, now time.Time) []Hint {
	var all []Hint
	add := func(c Check, ok bool) { all = append(all, Hint{c, map[bool]Result{true: Pass, false: Fail}[ok]}) }
	name := func(p *Printed) match.Name { return match.Name{Given: p.Given, Family: p.Family} }
	if zone != nil {
		add(MRZDigits, zone.Sound)
		all = append(all, Hint{MRZAccount, results[match.Names(name(zone), match.Name{Full: account})]})
	}
	if code != nil {
		all = append(all, Hint{BarcodeAccount, results[match.Names(name(code), match.Name{Full: account})]})
	}
	if zone != nil && code != nil {
		all = append(all, Hint{MRZBarcode, results[match.Names(name(zone), name(code))]})
		add(BirthDates, zone.Birth != "" && zone.Birth == code.Birth)
	}
	for _, p := range []*Printed{zone, code} {
		if p != nil && p.Expiry != "" {
			add(NotExpired, p.Expiry >= now.UTC().Format(time.DateOnly))
			break
		}
	}
	return all
}
