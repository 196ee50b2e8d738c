package capture

import (
	"fmt"
	"strings"
	"testing"
)

// licence makes the text of a bar code: header, one designator, one subfile.
func licence(version int, kind, body string) string {
	jurisdiction, start := "00", 31
	if version == 1 {
		jurisdiction, start = "", 29
	}
	body = kind + body + "\r"
	return fmt.Sprintf("@\n\x1e\rANSI 636055%02d%s01%s%04d%04d%s", version, jurisdiction, kind, start, len(body), body)
}

const modern = "DAQD1234567\nDCSWEBER\nDDEN\nDACANNA\nDDFN\nDADMARIA\nDDGN\nDBA08082033\nDBB03091985\nDCGUSA\nDAJZZ"

func TestBarCodesOfDrivingLicences(t *testing.T) {
	anna := Printed{Kind: "AAMVA", Family: "WEBER", Given: "ANNA MARIA", Birth: "1985-03-09", Expiry: "2033-08-08", Number: "D1234567", Issuer: "636055"}
	cut := anna
	cut.Cut = true
	plain := anna
	plain.Given = "ANNA"
	for _, c := range []struct {
		why, text string
		want      Printed
	}{
		{"version 10", licence(10, "DL", modern), anna},
		{"an identity card", licence(8, "ID", modern), anna},
		{"a name that is cut off", licence(9, "DL", strings.Replace(modern, "DDFN", "DDFT", 1)), cut},
		{"no middle name", licence(9, "DL", strings.Replace(modern, "DADMARIA", "DADNONE", 1)), plain},
		{"version 3", licence(3, "DL", "DCTANNA,MARIA\nDCSWEBER\nDAQD1234567\nDBA20330808\nDBB19850309\nDCGCAN"), anna},
		{"version 1", licence(1, "DL", "DAAWEBER,ANNA,MARIA\nDAQD1234567\nDBA20330808\nDBB19850309"), anna},
		{"a wrong offset", strings.Replace(licence(10, "DL", modern), "0031", "0040", 1), anna},
		{"letters beyond ASCII", licence(10, "DL", strings.Replace(modern, "DCSWEBER", "DCSMÜLLER", 1)),
			Printed{Kind: "AAMVA", Family: "MÜLLER", Given: "ANNA MARIA", Birth: "1985-03-09", Expiry: "2033-08-08", Number: "D1234567", Issuer: "636055"}},
	} {
		if got, err := ParseAAMVA(c.text); err != nil || got != c.want {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", c.why, got, err, c.want)
		}
	}
	for _, text := range []string{
		"", "@", "ANSI 636055100001DL00310010", licence(10, "XX", modern), licence(10, "DL", "DAQ1"), strings.Repeat("@", 5000),
		strings.Replace(licence(10, "DL", modern), "636055", "63605X", 1), "@\n\x1e\rANSI 6360551000",
	} {
		if p, err := ParseAAMVA(text); err == nil {
			t.Errorf("%.30q is read as %+v", text, p)
		}
	}
}

func FuzzAAMVA(f *testing.F) {
	f.Add(licence(10, "DL", modern))
	f.Add(licence(1, "DL", "DAAWEBER,ANNA,MARIA\nDAQ1"))
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := ParseAAMVA(text); err == nil && (p.Family == "" || p.Given == "") {
			t.Fatalf("%q gives %+v", text, p)
		}
	})
}

func TestHintsSayWhatDoesNotFit(t *testing.T) {
	zone, err := ParseMRZ(zones[4].text, today)
	if err != nil {
		t.Fatal(err)
	}
	code, err := ParseAAMVA(licence(10, "DL", modern))
	if err != nil {
		t.Fatal(err)
	}
	is := func(hints []Hint) string {
		var b strings.Builder
		for _, h := range hints {
			fmt.Fprintf(&b, "%s=%s ", h.Check, h.Result)
		}
		return strings.TrimSpace(b.String())
	}
	if got, want := is(Compare(&zone, &code, "Weber, Anna", today)),
		"mrz_check_digits=pass mrz_account=pass barcode_account=pass mrz_barcode=pass birth_dates_agree=pass not_expired=pass"; got != want {
		t.Errorf("got %s", got)
	}
	zone.Sound, zone.Family, zone.Birth, zone.Expiry = false, "WEBERN", "1985-03-10", "2026-11-20"
	if got, want := is(Compare(&zone, &code, "Otto Kern", today)),
		"mrz_check_digits=fail mrz_account=fail barcode_account=fail mrz_barcode=fail birth_dates_agree=fail not_expired=fail"; got != want {
		t.Errorf("got %s", got)
	}
	if got := is(Compare(nil, nil, "Anna Weber", today)); got != "" {
		t.Errorf("of nothing: %s", got)
	}
}
