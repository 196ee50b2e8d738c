package verify

import (
	"strings"
	"testing"
)

func TestCodesAreReadAsPeopleTypeThem(t *testing.T) {
	for typed, want := range map[string]string{
		"12345678": "12345678", " 1234 5678 ": "12345678", "1234-5678": "12345678", "1234\u00a05678": "12345678",
		"1234567": "", "123456789": "", "1234567a": "", "": "", "１２３４５６７８": "", strings.Repeat(" ", 99) + "12345678": "",
	} {
		if got := CleanCode(typed); got != want {
			t.Errorf("CleanCode(%q) = %q, want %q", typed, got, want)
		}
	}
}

func TestMasksShowTheDomainAndOneLetter(t *testing.T) {
	for address, want := range map[string]string{
		"karla@gmail.com": "k•••@gmail.com", "k@x.org": "•••@x.org", "ünal@x.org": "ü•••@x.org", "nonsense": "•••", "@x.org": "•••@x.org",
	} {
		if got := Mask(address); got != want {
			t.Errorf("Mask(%q) = %q, want %q", address, got, want)
		}
	}
}

func FuzzCleanCode(f *testing.F) {
	f.Add("1234 5678")
	f.Fuzz(func(t *testing.T, s string) {
		if c := CleanCode(s); c != "" && (len(c) != Digits || strings.Trim(c, "0123456789") != "") {
			t.Fatalf("%q gives %q", s, c)
		}
	})
}
