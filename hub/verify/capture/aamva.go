package capture

import (
	"strconv"
	"strings"
	"time"
)

// maxAAMVA bounds the text of a bar code: PDF417 holds at most 1,850 characters.
const maxAAMVA = 4096

// ParseAAMVA reads the text of the PDF417 bar code on a North American driving licence or
// identity card (AAMVA DL/ID card design standard, annex D, versions 1 to 10 and after).
func ParseAAMVA(text string) (Printed, error) {
	start := strings.Index(text, "ANSI ")
	if len(text) > maxAAMVA || start < 0 || start > 16 || !strings.HasPrefix(text, "@") {
		return Printed{}, ErrAAMVA
	}
	header := text[start+len("ANSI "):]
	if len(header) < 12 || !digits(header[:8]) {
		return Printed{}, ErrAAMVA
	}
	p := Printed{Kind: "AAMVA", Issuer: header[:6]}
	elements, err := aamvaElements(text, header)
	if err != nil {
		return p, err
	}
	p.names(elements)
	if p.Family == "" || p.Given == "" {
		return p, ErrAAMVA
	}
	p.Number = elements["DAQ"]
	canada := elements["DCG"] == "CAN"
	p.Birth, p.Expiry = aamvaDate(elements["DBB"], canada), aamvaDate(elements["DBA"], canada)
	for _, flag := range []string{"DDE", "DDF", "DDG"} {
		p.Cut = p.Cut || elements[flag] == "T"
	}
	return p, nil
}

// aamvaElements finds the subfile "DL" or "ID" through its designator and returns its
// elements. Issuers get offsets wrong; the subfile's own beginning is looked for then.
func aamvaElements(text, header string) (map[string]string, error) {
	version, _ := strconv.Atoi(header[6:8])
	designators := header[8:]
	if version > 1 && len(designators) > 2 { // version of the jurisdiction
		designators = designators[2:]
	}
	entries, err := strconv.Atoi(designators[:2])
	if err != nil || entries < 1 || entries > 32 {
		return nil, ErrAAMVA
	}
	designators = designators[2:]
	for range entries {
		if len(designators) < 10 {
			break
		}
		kind, offset, length := designators[:2], designators[2:6], designators[6:10]
		designators = designators[10:]
		if kind == "DL" || kind == "ID" {
			return split(subfile(text, kind, offset, length)), nil
		}
	}
	return nil, ErrAAMVA
}

// subfile returns the body of a subfile without its type.
func subfile(text, kind, offset, length string) string {
	from, err1 := strconv.Atoi(offset)
	n, err2 := strconv.Atoi(length)
	if err1 == nil && err2 == nil && from >= 0 && n >= 2 && from+n <= len(text) && strings.HasPrefix(text[from:], kind) {
		return text[from+2 : from+n]
	}
	for _, id := range []string{"DAQ", "DCS", "DAA", "DCA"} {
		if i := strings.Index(text, kind+id); i >= 0 {
			return text[i+2:]
		}
	}
	return ""
}

// split returns the data elements of a subfile: three letters and a value on each line.
func split(body string) map[string]string {
	body, _, _ = strings.Cut(body, "\r")
	all := map[string]string{}
	for line := range strings.SplitSeq(body, "\n") {
		if len(line) < 3 || all[line[:3]] != "" {
			continue
		}
		switch v := strings.TrimSpace(line[3:]); strings.ToUpper(v) {
		case "", "NONE", "UNAVL", "UNAVAIL", "UNK":
		default:
			all[line[:3]] = v
		}
	}
	return all
}

// names reads the names in the ways of the versions: DCS with DAC and DAD, DCT before
// version 4, DAB or DAA in version 1.
func (p *Printed) names(e map[string]string) {
	p.Family, p.Given = first(e["DCS"], e["DAB"]), strings.TrimSpace(first(e["DAC"], strings.ReplaceAll(e["DCT"], ",", " "))+" "+e["DAD"])
	if full := strings.Split(e["DAA"], ","); p.Family == "" && len(full) > 1 {
		p.Family, p.Given = strings.TrimSpace(full[0]), strings.TrimSpace(strings.Join(full[1:], " "))
	}
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// aamvaDate reads MMDDCCYY of the United States, or CCYYMMDD of Canada. Where the country
// is missing the one that is a date counts.
func aamvaDate(s string, canada bool) string {
	layouts := []string{"01022006", "20060102"}
	if canada {
		layouts = []string{"20060102"}
	}
	for _, l := range layouts {
		if t, err := time.Parse(l, s); err == nil && t.Year() > 1880 && t.Year() < 2200 {
			return t.Format(time.DateOnly)
		}
	}
	return ""
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
