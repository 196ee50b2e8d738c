package agent

import (
	"math"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

func TestP16_TemporaryPasswordHasSeventyBitsAndNothingToMistake(t *testing.T) {
	// What is left of 52^14 after passwords without one of the classes are drawn again.
	count := func(letters int) float64 { return math.Pow(float64(letters), minPassword) }
	u, l, d := len(upperLetters), len(lowerLetters), len(digits)
	all := count(u+l+d) - count(l+d) - count(u+d) - count(u+l) + count(u) + count(l) + count(d)
	if bits := math.Log2(all); bits < 70 {
		t.Errorf("%.1f bits, want 70", bits)
	}
	if strings.ContainsAny(alphabet, "Il1Oo0yzYZ") {
		t.Errorf("%q has characters that people mistake", alphabet)
	}
	seen := map[string]bool{}
	counts := map[rune]int{}
	for range 2000 {
		p, err := newPassword(directory.PasswordPolicy{MinLength: 7, Complexity: true})
		if err != nil {
			t.Fatal(err)
		}
		text := p.Reveal()
		if len(text) < minPassword || seen[text] {
			t.Fatalf("%d characters, seen before: %v", len(text), seen[text])
		}
		seen[text] = true
		for _, class := range []string{upperLetters, lowerLetters, digits} {
			if !strings.ContainsAny(text, class) {
				t.Fatal("a class of characters is missing")
			}
		}
		for _, c := range text {
			counts[c]++
		}
	}
	// 28,000 characters over 52: each about 538 times, digits a little more often.
	for _, c := range alphabet {
		if counts[c] < 400 || counts[c] > 750 {
			t.Errorf("%q came %d times in 28,000", c, counts[c])
		}
	}
}

func TestP16_TemporaryPasswordIsAsLongAsThePolicyAsks(t *testing.T) {
	p, err := newPassword(directory.PasswordPolicy{MinLength: 30})
	if err != nil || len(p.Reveal()) != 30 {
		t.Errorf("%d characters, %v", len(p.Reveal()), err)
	}
	if _, err := newPassword(directory.PasswordPolicy{MinLength: 65}); protocol.CodeOf(err) != protocol.CodePasswordPolicy {
		t.Errorf("got %v", err)
	}
}
