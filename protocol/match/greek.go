package match

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// greek spells Greek letters by ELOT 743. It is a hint for review only: national
// documents carry their own Latin name, which is what counts.
var greek = strings.NewReplacer(
	"ου", "ou", "αυ", "av", "ευ", "ev", "γγ", "ng", "γχ", "nch", "μπ", "b",
	"α", "a", "β", "v", "γ", "g", "δ", "d", "ε", "e", "ζ", "z", "η", "i", "θ", "th", "ι", "i", "κ", "k", "λ", "l", "μ", "m",
	"ν", "n", "ξ", "x", "ο", "o", "π", "p", "ρ", "r", "σ", "s", "ς", "s", "τ", "t", "υ", "y", "φ", "f", "χ", "ch", "ψ", "ps", "ω", "o",
)

// isGreek reports whether any letter of n is Greek.
func (n Name) isGreek() bool {
	return strings.ContainsFunc(n.Given+n.Family+n.Full, func(r rune) bool { return unicode.Is(unicode.Greek, r) })
}

// latin returns n with its Greek letters spelled in Latin ones.
func (n Name) latin() Name {
	spelled := func(s string) string {
		if len(s) > maxName {
			return ""
		}
		return greek.Replace(strings.Map(func(r rune) rune {
			if unicode.Is(unicode.Mn, r) {
				return -1
			}
			return r
		}, strings.ToLower(norm.NFD.String(s))))
	}
	return Name{Given: spelled(n.Given), Family: spelled(n.Family), Full: spelled(n.Full)}
}
