package agent

import (
	"maps"
	"math"
	"slices"
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
		p, err := newPassword(directory.Facts{Policy: directory.PasswordPolicy{MinLength: 7, Complexity: true}})
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
	p, err := newPassword(directory.Facts{Policy: directory.PasswordPolicy{MinLength: 30}})
	if err != nil || len(p.Reveal()) != 30 {
		t.Errorf("%d characters, %v", len(p.Reveal()), err)
	}
	if _, err := newPassword(directory.Facts{Policy: directory.PasswordPolicy{MinLength: 65}}); protocol.CodeOf(err) != protocol.CodePasswordPolicy {
		t.Errorf("got %v", err)
	}
}

// Active Directory and 389-ds refuse a password that has three letters in a row of the
// account's own names; some are set to refuse runs, too.
func TestP16_TemporaryPasswordHasNoPartOfTheAccountsNames(t *testing.T) {
	words := []string{"jacqueline.featherstonehaugh@manufacturing.corp.example", "Jacqueline Featherstonehaugh", "E22345"}
	refused := partsOf(words)
	for range 2000 {
		p, err := newPassword(directory.Facts{Words: words})
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ToLower(p.Reveal())
		for i := range len(text) - 2 {
			piece := text[i : i+3]
			if refused[piece] || strings.Contains(alphabetically, piece) || strings.Contains(counting, piece) || piece[0] == piece[1] && piece[1] == piece[2] {
				t.Fatalf("a password has %q", piece)
			}
		}
	}
	if !refused["que"] || !refused["euq"] || !refused["345"] || refused["xyz"] {
		t.Error("the pieces are not those of the words, forwards and backwards")
	}
}

func TestP16_AnEntryFullOfWordsStillGetsATemporaryPassword(t *testing.T) {
	every := parts{}
	for _, c := range alphabet {
		for _, a := range alphabet {
			for _, b := range alphabet {
				every.add([]byte(strings.ToLower(string([]rune{a, b, c}))))
			}
		}
	}
	book := directory.Facts{Words: slices.Collect(maps.Keys(every))}
	if p, err := newPassword(book); err != nil || len(p.Reveal()) != minPassword {
		t.Errorf("%d characters, %v", len(p.Reveal()), err)
	}
}
