package recovery

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSpellingsOfOneAddressAreOne(t *testing.T) {
	for typed, want := range map[string]string{
		"ada@example.com":                   "ada@example.com",
		"  Ada@EXAMPLE.com\t":               "ada@example.com",
		"ada@example.com.":                  "ada@example.com",
		"ADA.Lovelace+x@Example.Co":         "ada.lovelace+x@example.co",
		"müller@bücher.example":             "müller@xn--bcher-kva.example",
		"mu\u0308ller@BU\u0308CHER.example": "müller@xn--bcher-kva.example",
		"müller@xn--bcher-kva.example":      "müller@xn--bcher-kva.example",
		"a@b@c.example":                     "a@b@c.example",
	} {
		if got, err := NormalAddress(typed); err != nil || got != want {
			t.Errorf("%q: %q %v, want %q", typed, got, err, want)
		}
	}
}

func TestWhatIsNoAddressIsRefused(t *testing.T) {
	for _, typed := range []string{"", "ada", "@example.com", "ada@", "ada@.", "ada@..", "ada@.example", "a da@example.com", "ada@exam ple.com", "ada@example.com\r\nBcc: x",
		"ada@\x00", "\xff@example.com", strings.Repeat("a", 250) + "@example.com", "ada@-.example", "ada@xn--0.example"} {
		if got, err := NormalAddress(typed); !errors.Is(err, ErrAddress) {
			t.Errorf("%q: %q %v", typed, got, err)
		}
	}
}

func TestDirectoriesAreAskedForBothFormsOfADomain(t *testing.T) {
	if got := spellings("müller@xn--bcher-kva.example"); !slices.Equal(got, []string{"müller@xn--bcher-kva.example", "müller@bücher.example"}) {
		t.Errorf("got %q", got)
	}
	if got := spellings("ada@example.com"); !slices.Equal(got, []string{"ada@example.com"}) {
		t.Errorf("got %q", got)
	}
}

func FuzzNormalAddress(f *testing.F) {
	f.Add("Ada@Example.com")
	f.Add("müller@bücher.example")
	f.Fuzz(func(t *testing.T, typed string) {
		got, err := NormalAddress(typed)
		if err != nil {
			return
		}
		if again, err := NormalAddress(got); err != nil || again != got {
			t.Fatalf("%q is %q, which is %q %v", typed, got, again, err)
		}
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\x00 ") {
			t.Fatalf("%q is %q", typed, got)
		}
	})
}
