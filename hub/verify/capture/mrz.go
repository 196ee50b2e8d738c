package capture

import (
	"errors"
	"strings"
	"time"
)

// A Printed is what one place of a document says. Dates are YYYY-MM-DD, empty if unknown.
type Printed struct {
	Kind          string // "TD1", "TD2", "TD3", "AAMVA"
	Family, Given string
	Birth, Expiry string
	Number        string
	Issuer        string // as printed: ISO 3166 alpha-3 of the MRZ, IIN of a driving licence
	Cut           bool   // a name may be cut off
	Sound         bool   // every check digit agrees; AAMVA has none
}

// Errors of the parsers.
var (
	ErrMRZ   = errors.New("capture: not a machine-readable zone")
	ErrAAMVA = errors.New("capture: not the bar code of a driving licence")
)

// maxMRZ bounds what is read as a machine-readable zone: 90 characters, and what people
// and programs put between them.
const maxMRZ = 256

// An mrzLayout is where a size of document has its fields: line and columns (ICAO 9303-4
// to -6, section 4.2).
type mrzLayout struct {
	kind                          string
	lines, width                  int
	names, number, birth, expiry  span
	issuer                        span
	overflow                      span   // where a longer number continues
	composite                     []span // what the last check digit covers
	compositeDigit, personalDigit span
}

// A span is a part of a line.
type span struct{ line, from, to int }

var mrzLayouts = []mrzLayout{
	{
		kind: "TD1", lines: 3, width: 30, issuer: span{0, 2, 5}, names: span{2, 0, 30},
		number: span{0, 5, 14}, birth: span{1, 0, 6}, expiry: span{1, 8, 14}, overflow: span{0, 15, 30},
		composite: []span{{0, 5, 30}, {1, 0, 7}, {1, 8, 15}, {1, 18, 29}}, compositeDigit: span{1, 29, 30},
	},
	{
		kind: "TD2", lines: 2, width: 36, issuer: span{0, 2, 5}, names: span{0, 5, 36},
		number: span{1, 0, 9}, birth: span{1, 13, 19}, expiry: span{1, 21, 27}, overflow: span{1, 28, 35},
		composite: []span{{1, 0, 10}, {1, 13, 20}, {1, 21, 35}}, compositeDigit: span{1, 35, 36},
	},
	{
		kind: "TD3", lines: 2, width: 44, issuer: span{0, 2, 5}, names: span{0, 5, 44},
		number: span{1, 0, 9}, birth: span{1, 13, 19}, expiry: span{1, 21, 27},
		composite: []span{{1, 0, 10}, {1, 13, 20}, {1, 21, 43}}, compositeDigit: span{1, 43, 44}, personalDigit: span{1, 42, 43},
	},
}

// ParseMRZ reads a machine-readable zone as a person or a program typed it, line by line
// or in one. A zone whose check digits do not agree is read too, and not Sound. now
// decides the century of a birth.
func ParseMRZ(text string, now time.Time) (Printed, error) {
	if len(text) > maxMRZ {
		return Printed{}, ErrMRZ
	}
	zone := strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '\n' || r == '\r' || r == '\t':
			return -1
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '<':
			return r
		}
		return '!'
	}, text)
	if strings.Contains(zone, "!") {
		return Printed{}, ErrMRZ
	}
	for _, l := range mrzLayouts {
		if len(zone) == l.lines*l.width {
			return l.parse(zone, now)
		}
	}
	return Printed{}, ErrMRZ
}

func (l mrzLayout) parse(zone string, now time.Time) (Printed, error) {
	at := func(s span) string { return zone[s.line*l.width+s.from : s.line*l.width+s.to] }
	p := Printed{Kind: l.kind, Issuer: trim(at(l.issuer))}
	if zone[0] < 'A' || zone[0] > 'Z' || l.kind == "TD3" && zone[0] != 'P' {
		return p, ErrMRZ
	}
	p.Family, p.Given, p.Cut = mrzNames(at(l.names))
	if p.Family == "" {
		return p, ErrMRZ
	}
	p.Birth = mrzDate(at(l.birth), now.Year())
	p.Expiry = mrzDate(at(l.expiry), now.Year()+50)
	number, sound := l.numberOf(at)
	p.Number = number
	composite := ""
	for _, s := range l.composite {
		composite += at(s)
	}
	p.Sound = sound && checked(at(l.birth), at(after(l.birth))) && checked(at(l.expiry), at(after(l.expiry))) && checked(composite, at(l.compositeDigit))
	if l.personalDigit.to > 0 {
		personal, digit := at(span{1, 28, 42}), at(l.personalDigit)
		p.Sound = p.Sound && (checked(personal, digit) || digit == "<" && trim(personal) == "")
	}
	return p, nil
}

// numberOf reads the number of the document. One of more than nine characters continues
// in the field for optional data, behind "<" in place of the check digit.
func (l mrzLayout) numberOf(at func(span) string) (number string, sound bool) {
	digit := at(after(l.number))
	if digit != "<" || l.overflow.to == 0 {
		return trim(at(l.number)), checked(at(l.number), digit)
	}
	rest, _, _ := strings.Cut(at(l.overflow), "<")
	if len(rest) < 2 {
		return trim(at(l.number)), false
	}
	number = at(l.number) + rest[:len(rest)-1]
	return trim(number), checked(number, rest[len(rest)-1:])
}

// after is the one character behind s.
func after(s span) span { return span{s.line, s.to, s.to + 1} }

// trim takes the filler off.
func trim(s string) string { return strings.Trim(s, "<") }

// mrzNames parts the name field: "FAMILY<NAME<<GIVEN<NAMES". A field that is full to the
// last character may have been cut off (ICAO 9303-3 section 4.6).
func mrzNames(field string) (family, given string, cut bool) {
	family, given, _ = strings.Cut(strings.TrimRight(field, "<"), "<<")
	words := func(s string) string {
		return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '<' }), " ")
	}
	return words(family), words(given), field[len(field)-1] != '<'
}

// mrzDate reads YYMMDD as the latest such date whose year is not after latest. Dates that
// are not wholly known give "".
func mrzDate(s string, latest int) string {
	t, err := time.Parse("20060102", "20"+s)
	if err != nil {
		if t, err = time.Parse("20060102", "19"+s); err != nil { // 29 February
			return ""
		}
	}
	year := t.Year() % 100
	year += latest / 100 * 100
	if year > latest {
		year -= 100
	}
	t = time.Date(year, t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	return t.Format(time.DateOnly)
}

// checked reports whether digit is the check digit of s (ICAO 9303-3 section 4.9).
func checked(s, digit string) bool {
	sum := 0
	for i := range len(s) {
		v := 0
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			v = int(c - '0')
		case c >= 'A' && c <= 'Z':
			v = int(c-'A') + 10
		}
		sum += v * [3]int{7, 3, 1}[i%3]
	}
	return digit == string(rune('0'+sum%10))
}
