package savedcode

import (
	"strings"
	"testing"
)

func TestCodesAreReadAsPeopleTypeThem(t *testing.T) {
	code := New()
	plain := strings.ReplaceAll(code, "-", "")
	for _, typed := range []string{code, plain, strings.ToLower(code), strings.ReplaceAll(code, "-", " "), " " + code + " "} {
		if Clean(typed) != plain {
			t.Errorf("%q is read as %q", typed, Clean(typed))
		}
	}
	for _, typed := range []string{"", plain[1:], plain + "0", strings.Repeat(" ", 200) + plain, plain[:23] + "U", plain[:23] + "é"} {
		if got := Clean(typed); got != "" {
			t.Errorf("%q is read as %q", typed, got)
		}
	}
	if Clean(strings.Repeat("oil0", 6)) != strings.Repeat("0110", 6) {
		t.Error("O, I and L are not read as what they look like")
	}
}

func TestAHashIsOfOneCodeAndSaltedEachTime(t *testing.T) {
	a, b := New(), New()
	first, second := Hash(a), Hash(a)
	if first == second || !matches(first, Clean(a)) || matches(Hash(a), Clean(b)) || matches(Hash(""), "") || matches("x", Clean(a)) {
		t.Error("hashes")
	}
	if strings.Contains(Hash(a), Clean(a)) {
		t.Error("the code stands in its hash")
	}
}

func FuzzClean(f *testing.F) {
	f.Add(New())
	f.Add("oil0-oil0")
	f.Fuzz(func(t *testing.T, typed string) {
		if c := Clean(typed); c != "" && (len(c) != length || Clean(c) != c) {
			t.Fatalf("%q is %q", typed, c)
		}
	})
}
